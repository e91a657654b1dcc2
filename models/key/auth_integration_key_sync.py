import logging
from contextlib import contextmanager

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.key import key_state
from .auth_integration_key import UTC_NOW

_logger = logging.getLogger(__name__)

# How many milliseconds the cron job waits for a call that is recording the same key.
CRON_LOCK_TIMEOUT_MS = 60_000
# How many milliseconds the first call with an unrecorded key waits for another such call.
IMPORT_LOCK_TIMEOUT_MS = 5000
# Rows per transaction of the cron job; one such transaction takes some tenths of a second.
SLICE = 5000
# Condition on a native key ``n``.
_UNRECORDED = SQL("NOT EXISTS (SELECT FROM auth_integration_key k WHERE k.hash = n.key)")


def _chosen(column, table, condition):
    """Return SQL for the rows of a table that fulfill a condition on its own columns."""
    if condition is None:
        return SQL("TRUE")
    return SQL("%s IN (SELECT id FROM %s WHERE %s)", SQL(column), SQL.identifier(table), condition)


class AuthIntegrationKey(models.Model):
    """Record API keys that were created, changed or deleted outside this add-on."""

    _inherit = "auth.integration.key"

    @api.model
    def _cron_reconcile(self):
        """Run :meth:`_reconcile` from the cron job, unless the schema is behind the code."""
        if not getattr(self.env.registry, "auth_integration_ready", False):
            return
        processed = self._reconcile_apart()
        self.env["ir.cron"]._commit_progress(processed, remaining=0)

    @api.model
    def _reconcile_apart(self):
        """Run :meth:`_reconcile` in separate transactions, each of which locks few rows.

        Ends, and new keys if they are many, are recorded a slice at a time. Few new keys are
        recorded in one pass over the table, which is much faster than one pass per slice.

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
        """Return the first and last ids of a table's slices of :data:`SLICE` rows each."""
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
        """Record one native key that was made outside this add-on, in a separate transaction.

        :param then: called with the environment of that transaction before it ends
        :return: what ``then`` returns
        """
        with self._apart(IMPORT_LOCK_TIMEOUT_MS) as keys:
            keys._reconcile_natives(SQL("id = %s", native_id))
            return then(keys.env)

    @contextmanager
    def _apart(self, lock_timeout_ms):
        """Yield this model in a separate transaction that does not depend on the caller's.

        It is READ COMMITTED: a first call and the cron job that find the same key at the same time
        wait for each other instead of failing.

        :param lock_timeout_ms: milliseconds to wait for a lock
        """
        with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
            cr.execute("SET LOCAL lock_timeout = %s", [f"{lock_timeout_ms}ms"])
            yield self.with_env(self.env(cr=cr, su=True))

    @api.model
    def _record_end_apart(self, key_id):
        """Record the end of one key if it has come, in a separate transaction.

        :return: whether it was recorded
        """
        with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
            keys = self.with_env(self.env(cr=cr, su=True))
            cr.execute(
                keys._reconcile_ended_sql(SQL("k.id = %s", key_id)),
                log_exceptions=False,  # a lock timeout is no error
            )
            return bool(cr.rowcount)

    @api.model
    def _reconcile(self, condition=None):
        """Make sure that every native key has exactly one live record, and every ended key a date.

        Finds what bypassed our hooks: keys from before the installation, and keys inserted, changed
        or deleted by SQL, by the native vacuum or by a restored backup. Also applies the policy to
        keys of integration users that have no policy dates yet, so that each of them has an end. No
        end moves later: the earlier of our end and the native one is written to both.

        :param condition: SQL about ``user_id``; the keys of all users without it
        :return: number of rows changed
        :rtype: int
        """
        return self._reconcile_ended(condition) + self._reconcile_natives(condition)

    def _reconcile_ended(self, condition=None):
        """Record the ends that have come.

        :param condition: SQL about ``id`` of our records; all of them without it
        :return: number of rows changed
        """
        self.flush_model()
        self.env.cr.execute(self._reconcile_ended_sql(_chosen("k.id", self._table, condition)))
        self.invalidate_model()
        return self.env.cr.rowcount

    def _reconcile_natives(self, condition=None):
        """Record native keys, and make native rows and their records agree.

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
        """Record the native keys that bypassed our hooks, and the current users of all keys.

        Called before every key of an integration is ended.
        """
        self._import_missing()
        self.env.cr.execute(self._reconcile_owner_sql(SQL("TRUE")))
        self.invalidate_model()

    def _expire_resurrected(self, condition):
        """Expire native keys whose records have ended, and copies of keys under another id.

        Both come from a table restored from a backup. Our verification rejects the former anyway
        and treats a copy like its original, but stock Odoo alone would accept them. The history of
        each key says what happened.

        :return: the number of keys concerned
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
        """Return the statement that expires native keys of ended records, and copies of keys."""
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
        """Return the statement that records ends by date and ends by deletion of the native row."""
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
        """Record missing native keys while their native rows still have the original scope."""
        self.flush_model()
        self.env.cr.execute(self._reconcile_missing_sql(SQL("TRUE")))
        self.invalidate_model()

    def _reconcile_missing_sql(self, condition):
        """Return the statement that imports the native keys whose hash is not in any record.

        The id does not matter: a copied row is not a new key.
        """
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
        """Return the statement that copies the native row's user and that user's integration."""
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
        """Return the statement that gives live keys of integrations the policy dates they lack.

        An end within the policy's lifetime is kept. Without an end, or with a later one, the key
        gets the policy's lifetime from now on, not from its creation: taking over a user must not
        break any calls immediately. Keys imported on the same day become due on different days, and
        none immediately.
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
        """Return the statement that writes our end to native rows with a later one, or none."""
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
