from odoo import fields, models


class AuthIntegrationKey(models.Model):
    """Dismiss the calls that a host no longer in use has made with an ended key."""

    _inherit = "auth.integration.key"

    calls_dismissed_at = fields.Datetime(
        readonly=True, help="Earlier calls with this inactive key are no longer an issue."
    )

    def _dismiss_calls(self):
        """Stop reporting the calls that were rejected until now; a later call is an issue again.

        The calling code checks access rights.
        """
        self.sudo().write({"calls_dismissed_at": fields.Datetime.now()})
