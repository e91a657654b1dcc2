from odoo import models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools import settings
from .auth_integration_key import UTC_NOW


class AuthIntegration(models.Model):
    """Limit the number of keys that an integration may have at a time."""

    _inherit = "auth.integration"

    def _reserve_place_for_key(self):
        """Check that one more key may be issued, and prevent concurrent issuing.

        A key and its replacement count as one, so the limit never prevents a rotation.

        :raise UserError: the integration has reached its maximum number of keys
        """
        self.ensure_one()
        # Of two concurrent calls, the second fails here, is retried and then sees the first key.
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration SET write_date = %s WHERE id = %s", UTC_NOW, self.id
            ),
            log_exceptions=False,
        )
        live = self.key_ids.filtered("is_live")
        most = settings.number(self.env, "max_active_keys")
        if len(live.filtered(lambda key: key.replaces_id not in live)) >= most:
            raise UserError(
                self.env._(
                    "%(name)s already has %(count)s active keys, the maximum. Revoke a key that is"
                    " no longer used, then try again.",
                    name=self.name,
                    count=most,
                )
            )
