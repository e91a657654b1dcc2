from odoo import fields, models
from odoo.addons.base.models.res_users import check_identity


class AuthIntegrationUndoRevocation(models.TransientModel):
    """Ask why a revoked key should work again."""

    _name = "auth.integration.undo.revocation"
    _description = "Undo Revocation"
    _inherit = ["auth.integration.dialog.mixin"]

    key_id = fields.Many2one(
        "auth.integration.key", required=True, readonly=True, ondelete="cascade"
    )
    reason = fields.Char(required=True)

    @check_identity
    def action_undo(self):
        """Make the key work again; see :meth:`auth.integration.key._undo_revocation`."""
        self.key_id._undo_revocation(self.reason)
        return {"type": "ir.actions.act_window_close"}
