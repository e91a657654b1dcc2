from odoo import models


class AuthIntegration(models.Model):
    """Webhooks of an integration, and its secrets that are stored encrypted to be read back."""

    _name = "auth.integration"
    _inherit = ["auth.integration", "auth.integration.signing.secret.mixin"]

    _webhook_urls = ("webhook_url", "alert_url")
    _secret_purposes = {
        "totp_seed": "totp",
        "webhook_secret": "webhook",
        "alert_secret": "alert:auth.integration",
    }
