from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.row_locks import wait_and_lock


class AuthIntegrationRotation(models.Model):
    """What a process that died, or the end of a new key, has left to be set right."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _keys_to_confirm(self):
        """New keys in use whose old key was never told."""
        return self._ids_of(
            SQL(
                """
                SELECT n.id FROM auth_integration_key n
                JOIN auth_integration_key k ON k.id = n.replaces_id
                WHERE n.first_used_at IS NOT NULL AND k.retire_at IS NULL AND k.ended_at IS NULL
                  AND %s AND %s
                ORDER BY n.first_used_at
                """,
                self.env["auth.integration.key"]._is_live_sql("n"),
                self.env["auth.integration.key"]._is_live_sql("k"),
            )
        )

    def _confirm_late(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        key._confirm_first_use(key.first_used_at)

    @api.model
    def _keys_wrongly_retiring(self, among=None):
        """Keys in their overlap whose replacement has ended: they are needed again.

        :param among: only these ids
        """
        return self._ids_of(
            SQL(
                """
                SELECT k.id FROM auth_integration_key k
                WHERE k.ended_at IS NULL AND k.retire_at IS NOT NULL AND %s
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key n
                      WHERE n.replaces_id = k.id AND n.first_used_at IS NOT NULL AND %s)
                  AND %s
                """,
                self.env["auth.integration.key"]._is_live_sql("k"),
                self.env["auth.integration.key"]._is_live_sql("n"),
                self._among("k", among),
            )
        )

    def _take_retirement_back(self, key_ids):
        """Let a key live to its own end: what replaced it is no more."""
        key = self.env["auth.integration.key"].browse(key_ids)
        rotation = self._open_of(key)
        wait_and_lock(rotation)  # in the order of a first use
        wait_and_lock(key)
        if not self._keys_wrongly_retiring(key.ids):
            return
        key.write({"retire_at": False, "replaced_by_id": False})
        key._write_native_end()
        rotation.write(
            {
                "delivered_at": False,
                "announced_at": False,
                "stragglers_told_at": False,
                "new_key_id": False,
            }
        )
        self._tell_about(
            key.integration_id,
            self.env._(
                "The key that replaced %(prefix)s… has ended. %(prefix)s… works until %(end)s UTC"
                " and needs another replacement.",
                prefix=key.prefix,
                end=fields.Datetime.to_string(key.expires_at),
            ),
        )

    @api.model
    def _unneeded_siblings(self, among=None):
        """New keys never used although a sibling is: handed over while it was first used.

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
            self.env._("Its sibling %s… was used", key.replaces_id.replaced_by_id.prefix),
        )
