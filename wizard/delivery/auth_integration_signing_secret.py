from odoo import fields, models
from odoo.addons.base.models.res_users import check_identity

from ...tools.delivery import signatures
from ..show_secret import show_signing_secret_action


class AuthIntegrationSigningSecret(models.TransientModel):
    """Create the secret that signs messages to an integration's endpoint, and show it once."""

    _name = "auth.integration.signing.secret"
    _description = "Create Signing Secret"
    _inherit = ["auth.integration.dialog.mixin"]

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    webhook_url = fields.Char(related="integration_id.webhook_url", related_sudo=False)
    set_at = fields.Datetime(
        "In Use Since", related="integration_id.webhook_secret_set_at", related_sudo=False
    )

    @check_identity
    def action_make(self):
        """Replace the secret, and show the new one once."""
        return show_signing_secret_action(self.env, self._make())

    def _make(self):
        self.ensure_one()
        self.integration_id._check_may_operate()
        integration = self.integration_id.sudo()
        secret = signatures.new_secret()
        integration._set_webhook_secret(secret)
        integration.message_post(
            body=self.env._("%(user)s created a new signing secret.", user=self.env.user.name)
        )
        return secret
