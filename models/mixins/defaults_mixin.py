from odoo import api, models


class DefaultsMixin(models.AbstractModel):
    """Records for which a caller's default values count only if the caller may create them.

    Core takes defaults from the context not only for new records but for any ID that is no row,
    such as 0, which everyone can read, and reads the names of the records in them as superuser.
    """

    _name = "auth.integration.defaults.mixin"
    _description = "Defaults of Users Who May Create"

    @api.model
    def default_get(self, fields):
        """Extend :meth:`models.BaseModel.default_get`: check who gives defaults, and of what.

        Code that runs as superuser gets the context of its caller, so it is checked as well.

        :raise AccessError: a default names a record of this app that the user may not read
        """
        caller = self.sudo(False).browse()
        if not caller.has_access("create"):
            context = {k: v for k, v in self.env.context.items() if not k.startswith("default_")}
            return super(DefaultsMixin, self.with_context(context)).default_get(fields)
        defaults = super().default_get(fields)
        for name, value in defaults.items():
            if self._names_records_of_app(name):
                field = self._fields[name]
                field.convert_to_record(
                    field.convert_to_cache(value, caller, validate=False), caller
                ).check_access("read")
        return defaults

    @api.model
    def _names_records_of_app(self, name):
        """Return whether a field refers to records of this app."""
        field = self._fields.get(name)
        return bool(
            field and field.relational
            and self.env[field.comodel_name]._original_module == "auth_integration"
        )
