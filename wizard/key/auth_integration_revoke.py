from odoo import fields, models

from ...models.mixins.fresh_identity import fresh_identity


class AuthIntegrationRevoke(models.TransientModel):
    """Ask why keys are revoked: the reason stays on their tombstones."""

    _name = "auth.integration.revoke"
    _description = "Revoke Keys"
    _inherit = ["auth.integration.dialog.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"reason": 500}

    key_ids = fields.Many2many(
        "auth.integration.key",
        string="Keys",
        required=True,
        readonly=True,
        default=lambda self: self.env.context.get("active_ids"),
    )
    reason = fields.Char(required=True)
    compromised = fields.Boolean(
        "Someone else may have this key",
        help="The key is marked as compromised. You cannot undo this revocation.",
    )

    @fresh_identity
    def action_revoke(self):
        """End the keys at once."""
        self.key_ids._revoke(self.reason, compromised=self.compromised)
        return {"type": "ir.actions.act_window_close"}
