from odoo import api, models


class DialogMixin(models.AbstractModel):
    """A dialog about records of this app, which only those may use who may read all of them.

    Core stores any id in a many2one and reads the name behind it as superuser. Related and computed
    fields are then answered from what that has cached, even where they are not computed as
    superuser.
    """

    _name = "auth.integration.dialog.mixin"
    _description = "Dialog about Readable Records"

    def write(self, vals):
        """Extend :meth:`models.BaseModel.write`, which checks access before the change only."""
        result = super().write(vals)
        self.check_access("write")
        return result

    def _read_format(self, fnames, load="_classic_read"):
        """Extend :meth:`models.BaseModel._read_format`: also new forms are formatted by it, and
        records whose fields are all cached."""
        self.exists().check_access("read")
        return super()._read_format(fnames, load)

    def _check_access(self, operation):
        """Extend :meth:`models.BaseModel._check_access`: what a dialog names must be readable."""
        if denied := super()._check_access(operation):
            return denied
        forbidden, make_error = self.browse(), None
        for dialog in self:
            for records in dialog._named_records():
                if denied := records._check_access("read"):
                    forbidden |= dialog
                    make_error = denied[1]
        return (forbidden, make_error) if forbidden else None

    def _named_records(self):
        """The records of this app that this dialog names, as one recordset for each field."""
        dialog = self.sudo().with_context(active_test=False)
        for name in self._naming_fields():
            yield dialog[name]._origin.with_env(self.env)

    @api.model
    def _naming_fields(self):
        """The stored fields by which a dialog names records of this app."""
        for name, field in self._fields.items():
            if field.store and field.type in ("many2one", "many2many"):
                if self.env[field.comodel_name]._original_module == "auth_integration":
                    yield name
