from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.row_locks import wait_and_lock


class AuthIntegrationRotation(models.Model):
    """Repair what processes that died have left unfinished."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _keys_to_confirm(self):
        """Return the ids of new keys in use whose old key got no overlap."""
        return self._ids_of(
            SQL(
                """
                SELECT n.id FROM auth_integration_key n
                JOIN auth_integration_key k ON k.id = n.replaces_id
                WHERE n.first_used_at IS NOT NULL AND k.retire_at IS NULL AND k.ended_at IS NULL
                  AND %s AND %s
                ORDER BY n.first_used_at, n.id
                """,
                self.env["auth.integration.key"]._is_live_sql("n"),
                self.env["auth.integration.key"]._is_live_sql("k"),
            )
        )

    def _confirm_late(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        # The overlap starts now, not at the first use, so that the owners have time to act.
        key._confirm_first_use(fields.Datetime.now())

    def _reopen(self):
        """Clear the new key, which was revoked, because another one is needed."""
        self.write(
            {
                "delivered_at": False,
                "announced_at": False,
                "late_callers_notified_at": False,
                "new_key_id": False,
            }
        )

    @api.model
    def _unneeded_siblings(self, among=None):
        """Return the ids of unused new keys with a sibling in use.

        They were delivered while the sibling was first used.

        :param among: only these ids
        """
        return self._ids_of(
            SQL(
                """
                SELECT n.id FROM auth_integration_key n
                JOIN auth_integration_key k ON k.id = n.replaces_id
                JOIN auth_integration_key used ON used.id = k.replaced_by_id
                WHERE n.ended_at IS NULL AND n.first_used_at IS NULL AND n.id != used.id
                  AND used.first_used_at IS NOT NULL AND %s AND %s AND %s
                ORDER BY n.id
                """,
                self.env["auth.integration.key"]._is_live_sql("used"),
                self.env["auth.integration.key"]._is_live_sql("n"),
                self._among("n", among),
            )
        )

    def _end_sibling(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        if not self._unneeded_siblings(key.ids):
            return
        key._end(
            "superseded",
            self.env._("The alternative key %s… was used", key.replaces_id.replaced_by_id.prefix),
        )
