from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity


class AuthIntegrationExtend(models.TransientModel):
    """Ask until when a key should work, and why."""

    _name = "auth.integration.extend"
    _description = "Extend Key"
    _inherit = ["auth.integration.dialog.mixin"]

    key_id = fields.Many2one(
        "auth.integration.key", required=True, readonly=True, ondelete="cascade"
    )
    current_end = fields.Datetime(
        "Expires", related="key_id.effective_end", related_sudo=False
    )
    latest = fields.Datetime("Latest Date", compute="_compute_latest", compute_sudo=False)
    expires_at = fields.Datetime("New Expiration Date", required=True)
    reason = fields.Char(required=True)

    @api.depends("key_id")
    def _compute_latest(self):
        for wizard in self:
            wizard.latest = wizard.key_id._latest_extension()

    @check_identity
    def action_extend(self):
        """Postpone the end of the key; see :meth:`auth.integration.key._extend`."""
        self.key_id._extend(self.expires_at, self.reason)
        return {"type": "ir.actions.act_window_close"}
