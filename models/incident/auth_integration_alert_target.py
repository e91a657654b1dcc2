from odoo import fields, models


class AlertTarget(models.AbstractModel):
    """The alert webhook of an integration or a company, and the secret that signs its alerts."""

    _name = "auth.integration.alert.target.mixin"
    _description = "Alert Webhook"

    alert_url = fields.Char(
        "Alert Webhook",
        copy=False,
        help="https://… Alerts are posted to this URL as Standard Webhooks. Slack, Teams and"
             " Mattermost show the text of the message.",
    )
    alert_secret = fields.Char(
        groups=fields.NO_ACCESS, copy=False, help="Encrypted; see tools/delivery/secret_box.py."
    )
    alert_secret_set_at = fields.Datetime(
        "Alert Signing Secret Since", readonly=True, copy=False
    )

    def _alert_secret(self):
        """Return the secret that signs alerts; empty if there is none.

        :raise UserError: it cannot be decrypted on this server
        """
        self.ensure_one()
        token = self.sudo().alert_secret
        return self._decrypt(token, self._secret_purposes["alert_secret"]) if token else ""

    def _set_alert_secret(self, secret):
        """Set the secret that signs alerts; see :meth:`_set_signing_secret`."""
        self._set_signing_secret("alert_secret", secret)


class AuthIntegration(models.Model):
    """A webhook for alerts about this integration, used instead of its company's webhook."""

    _name = "auth.integration"
    _inherit = ["auth.integration", "auth.integration.alert.target.mixin"]

    def action_new_alert_secret(self):
        """Open the dialog that creates the signing secret of alerts and shows it once."""
        self._check_may_operate()
        return self._new_secret_action("auth.integration.alert.secret", "integration_id")
