from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity


class AuthIntegrationRevokeAll(models.TransientModel):
    """Ask why all keys of an integration are revoked, and warn about the impact."""

    _name = "auth.integration.revoke.all"
    _description = "Revoke All Keys"
    _inherit = ["auth.integration.dialog.mixin"]

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    warning = fields.Text(compute="_compute_warning", compute_sudo=False)
    reason = fields.Char(required=True)
    compromised = fields.Boolean(
        "Someone else may have these keys",
        help="The keys are marked as compromised. You cannot undo the revocation.",
    )

    @api.depends("integration_id")
    @api.depends_context("lang", "tz")
    def _compute_warning(self):
        for wizard in self:
            wizard.warning = wizard.integration_id.key_ids._impact_warning()

    @check_identity
    def action_revoke_all(self):
        """Revoke the keys at once."""
        self.ensure_one()
        self.integration_id._revoke_all_keys(self.reason, self.compromised)
        return {"type": "ir.actions.client", "tag": "soft_reload"}
