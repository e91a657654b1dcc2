from odoo import models


class AuthIntegrationFinding(models.Model):
    """Keys that may do more than they ever did."""

    _inherit = "auth.integration.finding"

    def _access_unused_values(self):
        """What a key has done that may do everything, for the message."""
        key = self.sudo().key_id
        if not key.last_write_at:
            return {"done": self.env._("has only read data")}
        if key.operation_count == 1:
            return {"done": self.env._("has called only 1 operation")}
        return {
            "done": self.env._("has called only %(count)s operations", count=key.operation_count)
        }

    def action_change_access(self):
        """Open the dialog with what the use of the key of this finding suggests."""
        self.ensure_one()
        return self.key_id.action_suggest_access()
