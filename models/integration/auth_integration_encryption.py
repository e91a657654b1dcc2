from odoo import api, models
from odoo.tools import SQL

from ...tools.delivery.secret_box import NoKeyError, secret_box
from ...tools.row_locks import wait_and_lock


class AuthIntegration(models.Model):
    """Secrets of an integration that must be read back; see :mod:`secret_box`."""

    _inherit = "auth.integration"

    @api.model
    def _check_can_encrypt(self):
        """Ask before a dialogue whose last step would need it.

        :raise UserError: the server has no key to encrypt with; says how to set one
        """
        secret_box()

    def _encrypt(self, secret, purpose):
        """Encrypt a secret of this integration.

        :raise UserError: the server has no key for it; says how to set one
        """
        self.ensure_one()
        return secret_box().encrypt(secret, f"{purpose}:{self.id}")

    def _decrypt(self, token, purpose):
        self.ensure_one()
        return secret_box().decrypt(token, f"{purpose}:{self.id}")

    @api.model
    def _secrets_of_old_keys(self):
        """Integrations with a secret that is not encrypted with the server's newest key."""
        try:
            box = secret_box()
        except NoKeyError:
            return []
        self.flush_model()
        stored = self.env.execute_query(
            SQL("SELECT id, totp_seed, webhook_secret FROM auth_integration"
                " WHERE totp_seed IS NOT NULL OR webhook_secret IS NOT NULL")
        )
        return [
            id_ for id_, *tokens in stored if not all(box.is_current(t) for t in tokens if t)
        ]

    def _encrypt_again(self, integration_ids):
        """Encrypt the secrets of one integration with the newest key."""
        integration = self.browse(integration_ids)
        wait_and_lock(integration)
        for field, purpose in (("totp_seed", "totp"), ("webhook_secret", "webhook")):
            if integration[field]:
                secret = integration._decrypt(integration[field], purpose)
                integration[field] = integration._encrypt(secret, purpose)
