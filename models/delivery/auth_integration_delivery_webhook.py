from datetime import datetime, timezone

from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools import settings
from ...tools.delivery import https_client, signatures
from .auth_integration_delivery import DeliveryRefused, DeliveryUncertain

# Types of the messages.
ROTATED = "api_key.rotated"
TEST = "api_key.test"


class AuthIntegration(models.Model):
    """The endpoint to which new keys are sent, and the secret that signs them."""

    _inherit = "auth.integration"

    webhook_url = fields.Char(
        "Endpoint for New Keys",
        copy=False,
        tracking=True,
        help="https://… Signed new keys are sent to this URL if the policy uses webhook delivery.",
    )
    webhook_secret = fields.Char(
        groups=fields.NO_ACCESS, copy=False, help="Encrypted; see tools/delivery/secret_box.py."
    )
    webhook_secret_set_at = fields.Datetime("Signing Secret Since", readonly=True, copy=False)

    def action_new_webhook_secret(self):
        """Open the dialog that creates the signing secret and shows it once."""
        self._check_may_operate()
        return self._new_secret_action("auth.integration.signing.secret", "integration_id")

    def _set_webhook_secret(self, secret):
        """Set the secret that signs new keys; see :meth:`_set_signing_secret`."""
        self._set_signing_secret("webhook_secret", secret)


class AuthIntegrationDeliveryWebhook(models.AbstractModel):
    """Send the new key to the integration's endpoint, signed according to Standard Webhooks."""

    _name = "auth.integration.delivery.webhook"
    _inherit = "auth.integration.delivery"
    _description = "Sent to the integration"
    _sends = True

    @api.model
    def _label(self):
        return self.env._("Sent to the endpoint of the integration")

    @api.model
    def _blocking_reason(self, integration):
        """Extend :meth:`auth.integration.delivery._blocking_reason`: tell what is not set up."""
        if signatures.Webhook is None:
            return signatures.HOW_TO_INSTALL
        if not integration.webhook_url:
            return self.env._("The integration has no endpoint for new keys.")
        if not integration.webhook_secret:
            return self.env._("The integration has no signing secret.")
        try:
            integration._decrypt(integration.webhook_secret, "webhook")
            settings.webhook_networks(self.env)
        except UserError as error:
            return str(error)
        except ValueError as error:
            return f"{settings.WEBHOOK_NETWORKS}: {error}"
        return False

    @api.model
    def _send(self, rotation, secret, new_key):
        """Extend :meth:`auth.integration.delivery._send`: post the key to the endpoint.

        The body of the answer is ignored, because it might repeat the key.
        """
        integration = rotation.integration_id
        data = {
            "integration": integration.code,
            "key": secret,
            "prefix": new_key.prefix,
            "expires_at": fields.Datetime.to_string(new_key.expires_at),
            "replaces": rotation.old_key_id.prefix,
        }
        message_id = f"rotation-{rotation.id}-{new_key.id}"
        return self._post(integration, message_id, ROTATED, data)

    @api.model
    def _post(self, integration, message_id, message_type, data):
        """Sign a message, send it, and return the status of the answer.

        :raise DeliveryFailed: the message was not sent, or the answer was not a 2xx
        """
        now = datetime.now(timezone.utc)
        body = signatures.message_text(now, {"type": message_type, "data": data})
        signing_secret = integration._decrypt(integration.webhook_secret, "webhook")
        headers = signatures.headers(signing_secret, message_id, now, body)
        try:
            status = https_client.post(
                integration.webhook_url, body, headers, settings.webhook_networks(self.env)
            )
        except https_client.NotSent as error:
            raise DeliveryRefused(str(error)) from error
        except https_client.NoAnswer as error:
            raise DeliveryUncertain(str(error)) from error
        if 400 <= status < 500:
            raise DeliveryRefused(self.env._("The endpoint answered %s.", status), status)
        if not 200 <= status < 300:
            raise DeliveryUncertain(self._uncertain_text(message_type, status), status)
        return status

    @api.model
    def _uncertain_text(self, message_type, status):
        if message_type == TEST:
            return self.env._("The endpoint answered %s.", status)
        return self.env._(
            "The endpoint answered %s. It is unknown whether it received the key.", status
        )
