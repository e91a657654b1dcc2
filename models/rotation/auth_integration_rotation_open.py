from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.key import key_state
from ..key.auth_integration_key import STATEMENT_NOW


class AuthIntegrationRotation(models.Model):
    """Find the keys that are due, and open their rotations."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _due_at(self, key):
        """Return when a key may be replaced: from ``rotate_after`` or the opening of its rotation.

        :return: naive UTC, or False for a key that is not rotated
        """
        rotation = self.search(
            [("old_key_id", "=", key.id), ("cancelled_at", "=", False)], limit=1
        )
        return min(filter(None, (key.rotate_after, rotation.opened_at)), default=False)

    @api.model
    def _due_keys(self, among=None):
        """Return the ids of keys whose ``rotate_after`` has passed, earliest ``replace_by`` first.

        After a cancelled rotation, the key's next notice opens another one. A new key that was
        never used is not replaced while its old key is live.

        :param among: only these ids
        """
        policies = self._policies_in_window().filtered("auto_rotate")
        if not policies:
            return []
        keys = self.env["auth.integration.key"]
        return self._ids_of(
            SQL(
                """
                SELECT k.id
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id AND i.active
                JOIN res_users u ON u.id = i.user_id AND u.active
                JOIN auth_integration_policy p ON p.id = i.policy_id
                LEFT JOIN auth_integration_key older ON older.id = k.replaces_id
                WHERE p.id IN %(policies)s AND k.ended_at IS NULL
                  AND k.replace_by <= %(now)s + make_interval(days => %(longest_lead)s)
                  AND k.replace_by <= %(now)s + make_interval(days => p.rotation_lead_days)
                  AND %(live)s
                  AND NOT (k.first_used_at IS NULL AND older.id IS NOT NULL
                           AND older.ended_at IS NULL)
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_rotation r
                      WHERE r.old_key_id = k.id AND (
                          r.cancelled_at IS NULL
                          OR r.cancelled_at >= (
                              SELECT max(k.replace_by - make_interval(days => notice.days))
                              FROM %(notices)s notice
                              WHERE k.replace_by - make_interval(days => notice.days) <= %(now)s)))
                  AND %(among)s
                ORDER BY k.replace_by, k.id
                """,
                policies=tuple(policies.ids),
                now=STATEMENT_NOW,
                longest_lead=max(policies.mapped("rotation_lead_days")),
                live=keys._is_live_sql("k"),
                notices=keys._key_sql(key_state.NOTICE_DAYS_SQL),
                among=self._among("k", among),
            )
        )

    @api.model
    def _policies_in_window(self):
        """Return the policies in use whose rotation window is open now, including archived ones."""
        policies = (
            self.env["auth.integration.policy"]
            .with_context(active_test=False)
            .search([("integration_ids.active", "=", True)])
        )
        return policies.filtered(lambda policy: policy._is_in_window(fields.Datetime.now()))

    def _open_batch(self, key_ids):
        """Open rotations for the keys still due: others may have opened some meanwhile."""
        if due := self._due_keys(key_ids):
            self._open_all(self.env["auth.integration.key"].browse(due))

    @api.model
    def _open(self, key, user=None):
        """Open the rotation of one key, or return the open one.

        :raise SerializationFailure: see :meth:`_open_all`
        """
        key.ensure_one()
        rotation = self._open_of(key)
        if not rotation or rotation.state == "cancelled":
            rotation.cancelled_at = fields.Datetime.now()  # its old key was revoked
            self._open_all(key, user)
            rotation = self._open_of(key)
            if user:
                rotation._note_by(
                    user,
                    self.env._(
                        "%(user)s started the rotation of the API key %(old)s…",
                        user=user.name,
                        old=key.prefix,
                    )
                )
        return rotation

    @api.model
    def _open_of(self, key):
        return self.search([("old_key_id", "=", key.id), ("cancelled_at", "=", False)])

    @api.model
    def _open_all(self, keys, user=None):
        """Open a rotation for each of these keys that has none open.

        Of two concurrent calls, the unique index lets one insert and makes the other wait. This is
        SQL because core would log the error of an ORM ``create`` in that case.

        :param user: who opens them; None for the schedule
        :raise SerializationFailure: (of psycopg2.errors) another transaction has opened one since
            this one began; Odoo then retries the call, which finds it open
        """
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_integration_rotation (
                    old_key_id, integration_id, delivery, opened_at, opened_by,
                    create_uid, create_date, write_uid, write_date
                )
                SELECT k.id, i.id, p.delivery, %(now)s, %(user)s,
                       %(uid)s, %(now)s, %(uid)s, %(now)s
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id
                JOIN auth_integration_policy p ON p.id = i.policy_id
                WHERE k.id IN %(keys)s
                ORDER BY k.id
                ON CONFLICT (old_key_id) WHERE cancelled_at IS NULL DO NOTHING
                """,
                keys=tuple(keys.ids),
                user=user.id if user else None,
                uid=self.env.uid,
                now=fields.Datetime.now(),
            ),
            log_exceptions=False,
        )
        self.invalidate_model()
