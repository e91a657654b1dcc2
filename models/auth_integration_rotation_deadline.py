from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.row_locks import wait_and_lock
from .auth_integration_key import UTC_NOW

# How long before a key's end it is extended: the schedule may fail to run for that long.
EXTENSION_MARGIN = timedelta(days=1)


class AuthIntegrationRotation(models.Model):
    """What happens to a key about to end that nothing has replaced."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _keys_to_extend(self, among=None):
        """Keys about to end that nothing has taken over, where the policy extends.

        One that ended because no run came in time is extended too, while its native row is
        there; one that somebody ended is not.

        :param among: only these ids
        """
        return self._ids_of(
            SQL(
                """
                SELECT k.id
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id AND i.active
                JOIN res_users u ON u.id = i.user_id AND u.active
                JOIN auth_integration_policy p ON p.id = i.policy_id
                JOIN res_users_apikeys n ON n.id = k.apikey_id AND n.key = k.hash
                WHERE p.on_deadline = 'extend'
                  AND (k.ended_at IS NULL OR k.end_kind = 'expired')
                  AND k.expires_at BETWEEN %(now)s - make_interval(days => p.overlap_days)
                                       AND %(now)s + %(margin)s
                  AND k.expires_at < COALESCE(k.original_expires_at, k.expires_at)
                                     + make_interval(days => p.max_extension_days)
                  AND (p.auto_rotate OR EXISTS (
                      SELECT FROM auth_integration_rotation r
                      WHERE r.old_key_id = k.id AND r.cancelled_at IS NULL))
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key newer
                      WHERE newer.replaces_id = k.id AND newer.first_used_at IS NOT NULL
                        AND newer.ended_at IS NULL)
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key older
                      WHERE older.id = k.replaces_id AND k.first_used_at IS NULL
                        AND older.ended_at IS NULL)
                  AND %(among)s
                ORDER BY k.expires_at, k.id
                """,
                among=self._among("k", among),
                now=UTC_NOW,
                margin=EXTENSION_MARGIN,
            )
        )

    def _extend(self, key_ids):
        """Move the end of one key, here and natively in one transaction, and escalate."""
        key = self.env["auth.integration.key"].browse(key_ids)
        rotation = self._open_of(key)
        # The same order as a first use takes them in: the rotation, then its old key.
        wait_and_lock(rotation)
        wait_and_lock(key)
        if not self._keys_to_extend(key.ids):
            return
        policy = key.integration_id.policy_id
        now = fields.Datetime.now()
        latest = (key.original_expires_at or key.expires_at) + timedelta(
            days=policy.max_extension_days
        )
        step = timedelta(days=max(policy.overlap_days, 1))
        end = min(max(key.expires_at, now) + step, latest)
        key.write(
            {
                "expires_at": end,
                "original_expires_at": key.original_expires_at or key.expires_at,
                "ended_at": False,
                "end_kind": False,
            }
        )
        key._write_native_end()
        rotation.postponed_until = False
        self._tell_about(
            key.integration_id,
            self.env._(
                "The API key %(prefix)s… was about to end and nothing has replaced it: it now"
                " ends on %(end)s UTC. The policy allows no later end than %(latest)s UTC;"
                " %(name)s then stops working.",
                prefix=key.prefix,
                end=fields.Datetime.to_string(end),
                latest=fields.Datetime.to_string(latest),
                name=key.integration_id.name,
            ),
        )
