from contextlib import suppress

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ...tools.delivery import https_client, signatures
from ...tools.delivery.secret_box import SecretBoxError, secret_box


class AlertTarget(models.AbstractModel):
    """Where alerts are posted, for an integration or a company, and the secret that signs them."""

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

    @api.constrains("alert_url")
    def _check_alert_url(self):
        for target in self.filtered("alert_url"):
            try:
                https_client.check_url(target.alert_url)
            except ValueError as error:
                raise ValidationError(str(error)) from error

    def _alert_secret(self):
        """The secret that signs alerts; empty when there is none.

        :raise UserError: it cannot be decrypted on this server
        """
        self.ensure_one()
        token = self.sudo().alert_secret
        if not token:
            return ""
        return secret_box().decrypt(token, self._alert_secret_purpose())

    def _alert_secret_purpose(self):
        return f"alert:{self._name}:{self.id}"

    @api.model
    def _encrypt_alert_secrets_again(self):
        """Encrypt with the server's newest key what an older one has encrypted."""
        try:
            box = secret_box()
        except SecretBoxError:
            return
        every = self.sudo().with_context(active_test=False)
        for target in every.search([("alert_secret", "!=", False)]):
            if not box.is_current(target.alert_secret):
                purpose = target._alert_secret_purpose()
                # One whose key is gone stays: sending an alert says so.
                with suppress(SecretBoxError):
                    target.alert_secret = box.encrypt(
                        box.decrypt(target.alert_secret, purpose), purpose
                    )

    def _set_alert_secret(self, secret):
        """Set the secret that signs alerts.

        :raise UserError: it is unusable, or the server has no key to encrypt it with
        """
        self.ensure_one()
        signatures.check_secret(secret)
        token = secret_box().encrypt(secret, self._alert_secret_purpose())
        self.sudo().write(
            {"alert_secret": token, "alert_secret_set_at": fields.Datetime.now()}
        )


class AuthIntegration(models.Model):
    """Where alerts about this integration are posted, instead of its company's webhook."""

    _name = "auth.integration"
    _inherit = ["auth.integration", "auth.integration.alert.target.mixin"]

    def write(self, vals):
        """Extend ``write``: who chooses where alerts go learns what fails and from where."""
        if "alert_url" in vals:
            self._check_may_operate()
        return super().write(vals)

    def action_new_alert_secret(self):
        """Open the dialog that creates the signing secret of alerts and shows it once."""
        self.ensure_one()
        self._check_may_operate()
        self._check_can_encrypt()
        return self.env["auth.integration.alert.secret"]._get_records_action(
            name=self.env._("Create Signing Secret"),
            target="new",
            context={"default_integration_id": self.id},
        )
