from odoo import api, models
from odoo.api import NewId
from odoo.exceptions import AccessError


class DialogMixin(models.AbstractModel):
    """A dialog, which answers to its user only, and only about records that they may read.

    It is a row of the current user, or a form that they are filling in. Anything else that a caller
    can name is no dialog.

    Core stores any ID in a many2one field and reads the name of the record as superuser. Related
    and computed fields are then served from the cache filled that way, even if they are not
    computed as superuser.
    """

    _name = "auth.integration.dialog.mixin"
    _description = "Dialog about Readable Records"
    _inherit = ["auth.integration.defaults.mixin"]

    def write(self, vals):
        """Extend :meth:`models.BaseModel.write`, which checks access only before the change."""
        result = super().write(vals)
        self.check_access("write")
        return result

    def _read_format(self, fnames, load="_classic_read"):
        """Extend :meth:`models.BaseModel._read_format` to check access.

        It also formats new forms, and records whose fields are all cached.
        """
        stored = self.filtered("id")
        (self - stored + stored.exists()).check_access("read")
        return super()._read_format(fnames, load)

    def _check_access(self, operation):
        """Extend :meth:`models.BaseModel._check_access`.

        It must be a row, which record rules limit to that of the current user, or a new form. And
        it must name only records that they may read.
        """
        if denied := super()._check_access(operation):
            return denied
        forbidden, make_error = self.browse(), None
        for dialog in self:
            if not dialog.id and not isinstance(dialog.id, NewId):
                forbidden |= dialog
                make_error = dialog._no_dialog
            for records in dialog._named_records():
                if denied := records._check_access("read"):
                    forbidden |= dialog
                    make_error = denied[1]
        return (forbidden, make_error) if forbidden else None

    def _no_dialog(self):
        return AccessError(self.env._("This dialog does not exist. Open it again."))

    def _named_records(self):
        """Yield the records of this app that this dialog refers to, one recordset per field."""
        dialog = self.sudo().with_context(active_test=False)
        for name in self._naming_fields():
            yield dialog[name]._origin.with_env(self.env)

    @api.model
    def _naming_fields(self):
        """Yield the stored fields of a dialog that refer to records of this app."""
        for name, field in self._fields.items():
            if field.store and field.type in ("many2one", "many2many"):
                if self.env[field.comodel_name]._original_module == "auth_integration":
                    yield name
