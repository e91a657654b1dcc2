from odoo import models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools import settings
from .auth_integration_key import UTC_NOW


class AuthIntegration(models.Model):
    """How many keys an integration may have at a time."""

    _inherit = "auth.integration"

    def _reserve_place_for_key(self):
        """Make sure that one more key may be issued, and keep others from issuing meanwhile.

        A key and its replacement count as one: rotation is never kept from replacing a key.

        :raise UserError: the integration has as many keys as it may have
        """
        self.ensure_one()
        # Of two calls at once the second begins again, and then sees the first one's key.
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
