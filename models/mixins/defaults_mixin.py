from odoo import api, models
from odoo.tools.misc import clean_context


class DefaultsMixin(models.AbstractModel):
    """Records for which a caller's default values count only if the caller may create them.

    Core takes defaults from the context not only for new records but for any ID that is no row,
    such as 0, which everyone can read, and reads the names of the records in them as superuser.
    """

    _name = "auth.integration.defaults.mixin"
    _description = "Defaults of Users Who May Create"

    @api.model
    def default_get(self, fields):
        """Extend :meth:`models.BaseModel.default_get`: ignore defaults of who may not create.

        Code that runs as superuser gets the context of its caller, so it is checked as well.
        """
        if self.sudo(False).browse().has_access("create"):
            return super().default_get(fields)
        without_defaults = self.with_env(self.env(context=clean_context(self.env.context)))
        return super(DefaultsMixin, without_defaults).default_get(fields)
