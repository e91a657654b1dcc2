from odoo import api, fields, models


class AuthIntegrationShorten(models.TransientModel):
    """Show how many keys a policy would change, and apply it to them."""

    _name = "auth.integration.shorten"
    _description = "Shorten Existing Keys"
    _inherit = ["auth.integration.dialog.mixin"]

    policy_id = fields.Many2one(
        "auth.integration.policy", required=True, readonly=True, ondelete="cascade"
    )
    overlap_days = fields.Integer(related="policy_id.overlap_days")
    key_count = fields.Integer("Keys", compute="_compute_key_count")

    @api.depends("policy_id")
    def _compute_key_count(self):
        keys = self.env["auth.integration.key"]
        for wizard in self:
            policy = wizard.policy_id
            wizard.key_count = policy and keys._count_shortened_by_policy(policy)

    def action_shorten(self):
        """Apply the policy; see :meth:`auth.integration.policy._shorten_existing_keys`."""
        self.policy_id._shorten_existing_keys()
        return {"type": "ir.actions.act_window_close"}
