from odoo import api, fields, models

from ...models.mixins.fresh_identity import fresh_identity
from ...tools.moment import moment_text


class AuthIntegrationRevoke(models.TransientModel):
    """Ask why keys are revoked; the reason is kept on their tombstones."""

    _name = "auth.integration.revoke"
    _description = "Revoke Key"
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

    key_count = fields.Integer(compute="_compute_key_count")
    alternative = fields.Char(compute="_compute_alternative")

    @api.depends("key_ids")
    def _compute_key_count(self):
        for dialog in self:
            dialog.key_count = len(dialog.key_ids)

    @api.depends("key_ids")
    @api.depends_context("lang", "tz")
    def _compute_alternative(self):
        """Tell how the keys can be ended without downtime, if there is a way."""
        for dialog in self:
            dialog.alternative = dialog._alternative()

    def _alternative(self):
        keys = self.key_ids.filtered("is_live")
        if set(keys.mapped("state")) == {"retiring"}:
            end = moment_text(self.env, max(keys.mapped("retire_at")))
            if len(keys) == 1:
                return self.env._(
                    "This key is being replaced. It stops working by itself on %s.", end
                )
            return self.env._(
                "These keys are being replaced. The last one stops working by itself on %s.", end
            )
        if keys.filtered(lambda key: key.integration_id and key.state in ("pending", "active")):
            return self.env._("To replace a key without downtime, rotate it instead.")
        return False

    @fresh_identity
    def action_revoke(self):
        """Revoke the keys at once."""
        self.key_ids._revoke(self.reason, compromised=self.compromised)
        return {"type": "ir.actions.act_window_close"}
