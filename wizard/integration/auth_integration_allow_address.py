from odoo import fields, models

from ...models.mixins.fresh_identity import fresh_identity


class AuthIntegrationAllowAddress(models.TransientModel):
    """Show the address of a rejected attempt and ask for confirmation before it is allowed."""

    _name = "auth.integration.allow.address"
    _description = "Allow This Address"
    _inherit = ["auth.integration.dialog.mixin"]

    attempt_id = fields.Integer(required=True, readonly=True)  # the log has no foreign keys
    integration_name = fields.Char(compute="_compute_from_attempt")
    address = fields.Char(compute="_compute_from_attempt")

    def _attempt(self):
        """Return the attempt with the rights of the current user, as the ID may be any number."""
        return self.env["auth.attempt"].browse(self.attempt_id)

    def _compute_from_attempt(self):
        for dialog in self:
            attempt = dialog._attempt()
            dialog.integration_name = attempt.integration_id.name
            dialog.address = attempt.remote_addr

    @fresh_identity
    def action_allow(self):
        """Allow the address; see ``auth.attempt.action_fix_add_network``."""
        self.ensure_one()
        self._attempt().action_fix_add_network()
        return {"type": "ir.actions.act_window_close"}
