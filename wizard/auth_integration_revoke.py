from odoo import fields, models


class AuthIntegrationRevoke(models.TransientModel):
    """Ask why keys are revoked: the reason stays on their tombstones."""

    _name = "auth.integration.revoke"
    _description = "Revoke API Keys"

    key_ids = fields.Many2many(
        "auth.integration.key",
        string="Keys",
        required=True,
        readonly=True,
        default=lambda self: self.env.context.get("active_ids"),
    )
    reason = fields.Char(required=True)
    compromised = fields.Boolean(
        "Somebody else may have this key",
        help="The key is marked as compromised. Nobody can undo this revocation.",
    )

    def action_revoke(self):
        """End the keys at once."""
        self.key_ids.revoke(self.reason, compromised=self.compromised)
        return {"type": "ir.actions.act_window_close"}
