from odoo import models


class AuthIntegrationFinding(models.Model):
    """Findings about keys with more access than they have ever used."""

    _inherit = "auth.integration.finding"

    def _access_unused_values(self):
        """Return, for the message, what a key with full access has done."""
        key = self.sudo().key_id
        if not key.last_write_at:
            return {"done": self.env._("has only read data")}
        if key.operation_count == 1:
            return {"done": self.env._("has called only 1 operation")}
        return {
            "done": self.env._("has called only %(count)s operations", count=key.operation_count)
        }

    def action_change_access(self):
        """Open the dialog with the access that the use of this finding's key suggests."""
        self.ensure_one()
        return self.key_id.action_suggest_access()
