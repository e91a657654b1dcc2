import logging

from odoo import api, models
from odoo.tools import SQL

from .auth_integration_key import UTC_NOW

_logger = logging.getLogger(__name__)

# Milliseconds that the scheduled job may wait for a call that records the same key.
CRON_LOCK_TIMEOUT_MS = 60_000


class AuthIntegrationKey(models.Model):
    """Finding what did not pass through our hooks."""

    _inherit = "auth.integration.key"

    @api.model
    def _cron_reconcile(self):
        """Run :meth:`_reconcile` from the scheduled job, unless the schema is behind the code."""
        if not getattr(self.env.registry, "auth_integration_ready", False):
            return
        processed = self._reconcile_apart(CRON_LOCK_TIMEOUT_MS)
        self.env["ir.cron"]._commit_progress(processed, remaining=0)

    @api.model
    def _reconcile_apart(self, lock_timeout_ms, then=None):
        """Run :meth:`_reconcile` in a transaction of its own, whatever becomes of the caller's.

        It is READ COMMITTED: two that find the same key at once, in a first call with it and in
        the scheduled job, wait for one another instead of failing.

        :param lock_timeout_ms: milliseconds to wait for a lock
        :param then: called with the environment of that transaction before it ends
        :return: what ``then`` returns, else the number of rows changed
        """
        with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
            cr.execute("SET LOCAL lock_timeout = %s", [f"{lock_timeout_ms}ms"])
            env = self.env(cr=cr, su=True)
            changed = self.with_env(env)._reconcile()
            return then(env) if then else changed

    @api.model
    def _reconcile(self):
        """Give every native key exactly one live record, and every end its date.

        Finds what did not pass through our hooks: keys there before installation, inserted,
        changed or deleted by SQL, by the native vacuum or by a restored backup.  Also brings the
        keys of integration users under their policy: none of them lives without an end.

        :return: number of rows changed
        :rtype: int
        """
        changed = 0
        self.flush_model()
        for statement in (
            self._reconcile_ended_sql(),
            self._reconcile_missing_sql(),
            self._reconcile_owner_sql(),
            self._follow_native_scope_sql(),
            self._reconcile_end_sql(),
            self._reconcile_native_end_sql(),
        ):
            self.env.cr.execute(statement)
            changed += self.env.cr.rowcount
        changed += self._write_native_scopes()
        changed += self._end_risen_keys()
        self.invalidate_model()
        return changed

    def _end_risen_keys(self):
        """End native keys again that are alive although their records have ended.

        So they are in a table restored from a backup.  Our verification refuses them anyway;
        stock Odoo alone would not.

        :return: their number
        """
        self.env.cr.execute(
            SQL(
                """
                UPDATE res_users_apikeys n
                SET expiration_date = k.ended_at
                FROM auth_integration_key k
                WHERE k.ended_at IS NOT NULL AND n.id = k.apikey_id AND n.key = k.hash
                  AND (n.expiration_date IS NULL OR n.expiration_date > k.ended_at)
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key live
                      WHERE live.apikey_id = n.id AND live.ended_at IS NULL)
                RETURNING k.prefix
                """
            )
        )
        prefixes = sorted({prefix for (prefix,) in self.env.cr.fetchall()})
        if prefixes:
            _logger.info(
                "%s API keys that had ended were alive again in Odoo's own table: %s",
                len(prefixes),
                ", ".join(prefixes[:20]),
            )
        return len(prefixes)

    def _reconcile_ended_sql(self):
        """Write down the ends that came by date, or by a native row that is no more."""
        return SQL(
            """
            UPDATE auth_integration_key k
            SET end_kind = %(state)s,
                ended_at = LEAST(k.retire_at, k.expires_at, %(now)s),
                end_reason = CASE
                    WHEN %(state)s = 'revoked' THEN %(removed)s
                    ELSE k.end_reason
                END,
                write_date = %(now)s
            WHERE k.ended_at IS NULL AND NOT %(live)s
            """,
            state=self._state_sql("k"),
            live=self._is_live_sql("k"),
            now=UTC_NOW,
            removed=self.env._("Removed outside of the integrations screens"),
        )

    def _reconcile_missing_sql(self):
        """Adopt the native keys that have no live record and have not ended."""
        return SQL(
            """
            INSERT INTO auth_integration_key (
                apikey_id, name, user_id, login, integration_id, scope, prefix, hash, adopted,
                issued_at, expires_at, original_expires_at, use_count,
                create_uid, create_date, write_uid, write_date
            )
            SELECT n.id, n.name, n.user_id, u.login, i.id, n.scope, n.index, n.key, TRUE,
                   n.create_date, n.expiration_date, n.expiration_date, 0,
                   %(uid)s, %(now)s, %(uid)s, %(now)s
            FROM res_users_apikeys n
            JOIN res_users u ON u.id = n.user_id
            LEFT JOIN auth_integration i ON i.user_id = n.user_id
            WHERE NOT EXISTS (
                SELECT FROM auth_integration_key k WHERE k.apikey_id = n.id AND k.hash = n.key
            )
            ON CONFLICT DO NOTHING
            """,
            uid=self.env.uid,
            now=UTC_NOW,
        )

    def _reconcile_owner_sql(self):
        """Follow the native row's user and that user's integration."""
        return SQL(
            """
            UPDATE auth_integration_key k
            SET user_id = n.user_id, login = u.login, integration_id = i.id, write_date = %(now)s
            FROM res_users_apikeys n
            JOIN res_users u ON u.id = n.user_id
            LEFT JOIN auth_integration i ON i.user_id = n.user_id
            WHERE k.ended_at IS NULL AND n.id = k.apikey_id
              AND (k.user_id, k.login, k.integration_id)
                  IS DISTINCT FROM (n.user_id, u.login, i.id)
            """,
            now=UTC_NOW,
        )

    def _reconcile_end_sql(self):
        """Settle the end of each live key: the native one, within the integration's policy.

        A key that lives too long gets the policy's lifetime from today on, not from its birth:
        taking over a user must break nobody at once. Many adopted on one day end on different
        days, none so early that it is due already.
        """
        return SQL(
            """
            UPDATE auth_integration_key k
            SET expires_at = within.expires_at,
                original_expires_at = LEAST(k.original_expires_at, within.expires_at),
                write_date = %(now)s
            FROM (
                SELECT k.id,
                    CASE
                        WHEN i.id IS NULL AND k.retire_at IS NOT NULL THEN k.expires_at
                        WHEN i.id IS NULL THEN n.expiration_date
                        WHEN n.expiration_date IS NOT NULL AND k.expires_at IS NOT NULL
                            THEN LEAST(k.expires_at, CASE WHEN k.retire_at IS NULL
                                THEN n.expiration_date ELSE k.expires_at END)
                        ELSE COALESCE(k.expires_at, n.expiration_date, 'infinity')
                    END AS expires_at,
                    %(now)s + make_interval(days => p.max_age_days) AS latest,
                    %(spread)s AS spread
                FROM auth_integration_key k
                JOIN res_users_apikeys n ON n.id = k.apikey_id
                LEFT JOIN auth_integration i ON i.id = k.integration_id
                LEFT JOIN auth_integration_policy p ON p.id = i.policy_id
                WHERE k.ended_at IS NULL
            ) settled,
            LATERAL (
                SELECT CASE
                    WHEN settled.expires_at > settled.latest
                        THEN settled.latest - settled.spread
                    ELSE settled.expires_at
                END AS expires_at
            ) within
            WHERE settled.id = k.id AND k.expires_at IS DISTINCT FROM within.expires_at
            """,
            now=UTC_NOW,
            spread=SQL(
                "make_interval(hours => (k.id::bigint * 37 %% GREATEST(1, 24 * LEAST("
                "p.max_age_days / 3, p.max_age_days - p.rotation_lead_days - 1)))::integer)"
            ),
        )

    def _reconcile_native_end_sql(self):
        """Write our end to the native row where they differ."""
        return SQL(
            """
            UPDATE res_users_apikeys n
            SET expiration_date = LEAST(k.expires_at, k.retire_at)
            FROM auth_integration_key k
            WHERE k.ended_at IS NULL AND n.id = k.apikey_id AND n.key = k.hash
              AND n.expiration_date IS DISTINCT FROM LEAST(k.expires_at, k.retire_at)
            """
        )
