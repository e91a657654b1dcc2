import logging
from contextlib import contextmanager

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.key import key_state
from .auth_integration_key import UTC_NOW

_logger = logging.getLogger(__name__)

# Milliseconds that the scheduled job may wait for a call that records the same key.
CRON_LOCK_TIMEOUT_MS = 60_000
# Milliseconds that the first call with a key we do not know may wait for another one like it.
IMPORT_LOCK_TIMEOUT_MS = 5000
# Rows that one transaction of the scheduled job looks at: some tenths of a second.
SLICE = 5000
# Of a native key n.
_UNRECORDED = SQL("NOT EXISTS (SELECT FROM auth_integration_key k WHERE k.hash = n.key)")


def _chosen(column, table, condition):
    """SQL for the rows of a table that fulfill a condition on its own columns."""
    if condition is None:
        return SQL("TRUE")
    return SQL("%s IN (SELECT id FROM %s WHERE %s)", SQL(column), SQL.identifier(table), condition)


class AuthIntegrationKey(models.Model):
    """Finding what did not pass through our hooks."""

    _inherit = "auth.integration.key"

    @api.model
    def _cron_reconcile(self):
        """Run :meth:`_reconcile` from the scheduled job, unless the schema is behind the code."""
        if not getattr(self.env.registry, "auth_integration_ready", False):
            return
        processed = self._reconcile_apart()
        self.env["ir.cron"]._commit_progress(processed, remaining=0)

    @api.model
    def _reconcile_apart(self):
        """Run :meth:`_reconcile` in transactions of its own, none of which locks many rows.

        Ends and many new keys are written down a slice at a time. With few new keys one look at
        all of them is enough, and much quicker than one for each slice.

        :return: number of rows changed
        """
        changed = 0
        for act, slices in (
            (type(self)._reconcile_ended, self._slices(SQL.identifier(self._table))),
            (type(self)._reconcile_natives, self._slices_of_natives()),
        ):
            for first, last in slices:
                with self._apart(CRON_LOCK_TIMEOUT_MS) as keys:
                    changed += act(keys, first and SQL("id BETWEEN %s AND %s", first, last))
        return changed

    def _slices_of_natives(self):
        [[new]] = self.env.execute_query(
            SQL(
                "SELECT count(*) FROM (SELECT FROM res_users_apikeys n WHERE %s LIMIT %s) missing",
                _UNRECORDED,
                SLICE + 1,
            )
        )
        return self._slices(SQL("res_users_apikeys")) if new > SLICE else [(None, None)]

    def _slices(self, table):
        """The ids of a table in ranges of :data:`SLICE` rows each."""
        return self.env.execute_query(
            SQL(
                """
                SELECT min(id), max(id) FROM (
                    SELECT id, (row_number() OVER (ORDER BY id) - 1) / %s AS slice FROM %s
                ) numbered
                GROUP BY slice ORDER BY slice
                """,
                SLICE,
                table,
            )
        )

    @api.model
    def _import_apart(self, native_id, then):
        """Record one native key that somebody else made, in a transaction of its own.

        :param then: called with the environment of that transaction before it ends
        :return: what ``then`` returns
        """
        with self._apart(IMPORT_LOCK_TIMEOUT_MS) as keys:
            keys._reconcile_natives(SQL("id = %s", native_id))
            return then(keys.env)

    @contextmanager
    def _apart(self, lock_timeout_ms):
        """Give this model in a transaction of its own, whatever becomes of the caller's.

        It is READ COMMITTED: two that find the same key at once, in a first call with it and in
        the scheduled job, wait for one another instead of failing.

        :param lock_timeout_ms: milliseconds to wait for a lock
        """
        with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
            cr.execute("SET LOCAL lock_timeout = %s", [f"{lock_timeout_ms}ms"])
            yield self.with_env(self.env(cr=cr, su=True))

    @api.model
    def _record_end_apart(self, key_id):
        """Write the end of one key down if it has come, in a transaction of its own.

        :return: whether it was written
        """
        with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
            keys = self.with_env(self.env(cr=cr, su=True))
            cr.execute(
                keys._reconcile_ended_sql(SQL("k.id = %s", key_id)),
                log_exceptions=False,  # whoever has it locked may keep it for longer than we wait
            )
            return bool(cr.rowcount)

    @api.model
    def _reconcile(self, condition=None):
        """Give every native key exactly one live record, and every end its date.

        Finds what did not pass through our hooks: keys there before installation, inserted,
        changed or deleted by SQL, by the native vacuum or by a restored backup.  Also brings the
        keys of integration users that have none yet under a policy: none of them lives without
        an end.  No end moves later: of ours and the native one, the earlier is written to both.

        :param condition: SQL about ``user_id``; the keys of all users without it
        :return: number of rows changed
        :rtype: int
        """
        return self._reconcile_ended(condition) + self._reconcile_natives(condition)

    def _reconcile_ended(self, condition=None):
        """Write down the ends that have come.

        :param condition: SQL about ``id`` of our records; all of them without it
        :return: number of rows changed
        """
        self.flush_model()
        self.env.cr.execute(self._reconcile_ended_sql(_chosen("k.id", self._table, condition)))
        self.invalidate_model()
        return self.env.cr.rowcount

    def _reconcile_natives(self, condition=None):
        """Record native keys, and bring their records and them into line.

        :param condition: SQL about columns of ``res_users_apikeys``; all of them without it
        :return: number of rows changed
        """
        changed = 0
        chosen = _chosen("n.id", "res_users_apikeys", condition)
        self.flush_model()
        for statement in (
            self._reconcile_missing_sql(chosen),
            self._reconcile_owner_sql(chosen),
            self._follow_native_scope_sql(chosen),
            self._follow_native_end_sql(chosen),
            self._reconcile_policy_sql(chosen),
            self._reconcile_native_end_sql(chosen),
        ):
            self.env.cr.execute(statement)
            changed += self.env.cr.rowcount
        changed += self._write_native_scopes(chosen)
        changed += self._expire_resurrected(chosen)
        self.invalidate_model()
        return changed

    @api.model
    def _find_unrecorded(self):
        """Record the native keys that did not pass through our hooks, and whose they are now:
        before every key of an integration is ended."""
        self._import_missing()
        self.env.cr.execute(self._reconcile_owner_sql(SQL("TRUE")))
        self.invalidate_model()

    def _expire_resurrected(self, condition):
        """End native keys again that are alive although their records have ended, and copies of
        keys under another id.

        So they are in a table restored from a backup.  Our verification refuses them anyway, or
        takes a copy for what it was copied from; stock Odoo alone would not.  The history of each
        says what happened.

        :return: their number
        """
        self.env.cr.execute(self._expire_resurrected_sql(condition))
        found = self.browse({id_ for (id_,) in self.env.cr.fetchall()})
        found.invalidate_recordset()
        resurrected = found.filtered("ended_at")
        for key in found - resurrected:
            key._add_to_history(
                self.env._(
                    "A copy of this key was found in the database. The copy was revoked so that it"
                    " cannot outlast the key."
                )
            )
        for key in resurrected:
            key._add_to_history(
                self.env._(
                    "The database accepted this key again, for example after a backup was"
                    " restored. The key is still rejected."
                )
            )
        self.flush_model()
        if resurrected:
            prefixes = sorted(set(resurrected.mapped("prefix")))
            _logger.info(
                "%s API keys that had ended were alive again in Odoo's own table: %s",
                len(prefixes),
                ", ".join(prefixes[:20]),
            )
        return len(found)

    def _expire_resurrected_sql(self, condition):
        """End the native keys whose record has ended, and all but the first copy of a key."""
        return SQL(
            """
            UPDATE res_users_apikeys n
            SET expiration_date = COALESCE(k.ended_at, %(now)s)
            FROM auth_integration_key k
            WHERE n.key = k.hash
              AND COALESCE(n.expiration_date, 'infinity') > COALESCE(k.ended_at, %(now)s)
              AND CASE WHEN n.id = k.apikey_id
                  THEN k.ended_at IS NOT NULL AND NOT EXISTS (
                      SELECT FROM auth_integration_key live
                      WHERE live.apikey_id = n.id AND live.ended_at IS NULL)
                  ELSE NOT EXISTS (
                      SELECT FROM auth_integration_key first
                      WHERE first.prefix = k.prefix AND first.hash = k.hash
                        AND first.id < k.id)
                  END
              AND %(condition)s
            RETURNING k.id
            """,
            condition=condition,
            now=UTC_NOW,
        )

    def _reconcile_ended_sql(self, condition=None):
        """Write down the ends that came by date, or by a native row that is no more."""
        return SQL(
            """
            UPDATE auth_integration_key k
            SET end_kind = %(state)s,
                ended_at = LEAST(%(end)s, %(now)s),
                end_reason = CASE
                    WHEN %(state)s = 'revoked' THEN %(removed)s
                    ELSE k.end_reason
                END,
                write_date = %(now)s
            WHERE k.ended_at IS NULL AND NOT %(live)s AND %(condition)s
            """,
            condition=condition or SQL("TRUE"),
            state=self._state_sql("k"),
            end=self._effective_end_sql("k"),
            live=self._is_live_sql("k"),
            now=UTC_NOW,
            removed=self.env._("Removed outside the Integrations app"),
        )

    def _import_missing(self):
        """Give native keys that have no record one, while their own scope can still be read."""
        self.flush_model()
        self.env.cr.execute(self._reconcile_missing_sql(SQL("TRUE")))
        self.invalidate_model()

    def _reconcile_missing_sql(self, condition):
        """Import the native keys that nobody has a record of, be it under another id: whoever
        copies a row makes no new key."""
        return SQL(
            """
            INSERT INTO auth_integration_key (
                apikey_id, name, user_id, login, integration_id, scope, prefix, hash, imported,
                issued_at, expires_at, use_count,
                create_uid, create_date, write_uid, write_date
            )
            SELECT n.id, n.name, n.user_id, u.login, i.id, n.scope, n.index, n.key, TRUE,
                   n.create_date, n.expiration_date, 0,
                   %(uid)s, %(now)s, %(uid)s, %(now)s
            FROM res_users_apikeys n
            JOIN res_users u ON u.id = n.user_id
            LEFT JOIN auth_integration i ON i.user_id = n.user_id
            WHERE %(unrecorded)s AND %(condition)s
            ON CONFLICT DO NOTHING
            """,
            unrecorded=_UNRECORDED,
            condition=condition,
            uid=self.env.uid,
            now=UTC_NOW,
        )

    def _reconcile_owner_sql(self, condition):
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
              AND %(condition)s
            """,
            condition=condition,
            now=UTC_NOW,
        )

    def _reconcile_policy_sql(self, condition):
        """Give the live keys that integrations have from elsewhere the two dates of a key.

        An end within the policy stays. Where there is none, or a later one, the key gets the
        policy's lifetime from now on, not from its birth: taking over a user must break nobody at
        once. Many imported on one day are due on different days, none of them at once.
        """
        return SQL(
            """
            UPDATE auth_integration_key k
            SET replace_by = LEAST(k.replace_by, dates.replace_by),
                expires_at = LEAST(k.expires_at, dates.expires_at),
                managed_since = dates.since,
                write_date = %(now)s
            FROM (
                SELECT k.id, policy.since,
                       CASE WHEN policy.has_end THEN k.expires_at
                            ELSE policy.replace_by END AS replace_by,
                       CASE WHEN policy.has_end THEN k.expires_at
                            ELSE policy.replace_by + make_interval(days => %(extension)s)
                       END AS expires_at
                FROM auth_integration_key k
                JOIN res_users_apikeys n ON n.id = k.apikey_id
                JOIN auth_integration i ON i.id = k.integration_id
                JOIN auth_integration_policy p ON p.id = i.policy_id,
                LATERAL (
                    SELECT %(moment)s - %(spread)s AS since,
                           %(moment)s - %(spread)s + make_interval(days => p.max_age_days)
                               AS replace_by,
                           k.expires_at <= %(moment)s + make_interval(days => p.max_age_days)
                               AS has_end
                ) policy
                WHERE k.ended_at IS NULL AND (k.replace_by IS NULL OR k.expires_at IS NULL)
                  AND %(condition)s
            ) dates
            WHERE dates.id = k.id AND k.ended_at IS NULL
            """,
            condition=condition,
            now=UTC_NOW,
            moment=SQL("%s::timestamp", fields.Datetime.now()),
            extension=SQL(key_state.EXTENSION_DAYS_SQL),
            spread=SQL(
                "make_interval(hours => (k.id::bigint * 37 %% GREATEST(1, 24 * LEAST("
                "p.max_age_days / 3, p.max_age_days - p.rotation_lead_days - 1)))::integer)"
            ),
        )

    def _reconcile_native_end_sql(self, condition):
        """Write our end to the native rows that have a later one, or none."""
        return SQL(
            """
            UPDATE res_users_apikeys n SET expiration_date = %(end)s
            FROM auth_integration_key k
            WHERE k.ended_at IS NULL AND n.id = k.apikey_id AND n.key = k.hash
              AND COALESCE(n.expiration_date, 'infinity') > %(end)s AND %(condition)s
            """,
            condition=condition,
            end=self._key_sql(key_state.OWN_END_SQL),
        )
