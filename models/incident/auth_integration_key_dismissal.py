from odoo import fields, models


class AuthIntegrationKey(models.Model):
    """Calls with a key that has ended, of a host that is gone: nobody has to act on them."""

    _inherit = "auth.integration.key"

    calls_dismissed_at = fields.Datetime(
        readonly=True, help="Earlier calls with this inactive key are no issue any more."
    )

    def _dismiss_calls(self):
        """Take what was rejected until now for no issue; a later call is one again.

        Rights are checked by the caller.
        """
        self.sudo().write({"calls_dismissed_at": fields.Datetime.now()})
