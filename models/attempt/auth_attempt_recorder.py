import logging
from contextlib import contextmanager
from datetime import datetime, timezone

from odoo import api, fields, models
from odoo.exceptions import AccessDenied
from odoo.http import SessionExpiredException
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from werkzeug.exceptions import HTTPException

from ...tools import settings
from ...tools.attempt import (
    attempt_logging,
    buckets,
    caller,
    flood_limits,
    references,
    request_state,
)
from ...tools.attempt import (
    user_agent as user_agents,
)
from ...tools.attempt.redaction import clean
from ...tools.attempt.request_state import Attempt
from ...tools.hook_queries import LOCK_TIMEOUT_MS
from ...tools.key.usage_writer import Batch, SuccessfulUse, usage_writer
from ...tools.throttle.refused_guesses import key_of, refused_guesses
from .auth_attempt import IDENTIFYING_COLUMNS
from .auth_attempt_report_rollup import LATE_AFTER

_logger = logging.getLogger(__name__)

# READ COMMITTED, unlike Odoo's transactions: two workers that count in the same bucket must not
# cause a serialization failure.  READ WRITE, like Odoo's, whatever the default of the database.
TRANSACTION_SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;"
    f" SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms';"
)
SETTINGS_OF_THE_LOG = f"{TRANSACTION_SETTINGS} SET LOCAL synchronous_commit = off; "
# After these errors the server retries the whole request, so nothing has been decided yet.
RETRIED_ERRORS = (*PG_CONCURRENCY_EXCEPTIONS_TO_RETRY, ReadOnlySqlTransaction)
REFUSALS = (AccessDenied, SessionExpiredException, HTTPException)
ROWS_OF_BUDGET = "SELECT rows FROM auth_attempt_budget WHERE name = %s AND start = %s"
# Only a row inserted by this statement has xmax = 0: an existing row was locked by it first.
UPSERT = f"""
    WITH written AS (
        INSERT INTO auth_attempt
            (bucket, {", ".join(IDENTIFYING_COLUMNS)}, count, first_seen, last_seen)
        VALUES (%(bucket)s, {", ".join(f"%({name})s" for name in IDENTIFYING_COLUMNS)},
            %(count)s, %(first)s, %(last)s)
        ON CONFLICT (bucket) DO UPDATE
        SET count = auth_attempt.count + EXCLUDED.count,
            first_seen = LEAST(auth_attempt.first_seen, EXCLUDED.first_seen),
            last_seen = GREATEST(auth_attempt.last_seen, EXCLUDED.last_seen)
        RETURNING xmax = 0 AS is_new
    )
    INSERT INTO auth_attempt_budget AS budget (name, start, rows)
    SELECT name, %(start)s, 1 FROM written, unnest(%(budgets)s::varchar[]) name WHERE is_new
    ON CONFLICT (name) DO UPDATE
    SET rows = CASE WHEN budget.start < EXCLUDED.start THEN 1
                    WHEN budget.start = EXCLUDED.start THEN budget.rows + 1
                    ELSE budget.rows END,
        start = GREATEST(budget.start, EXCLUDED.start)
"""


class AuthAttempt(models.Model):
    """Open, decide and record attempts, on database connections of their own."""

    _inherit = "auth.attempt"

    # Opening and deciding --------------------------------------------------------------------

    @api.model
    def _new_attempt(self, **facts):
        """Return an attempt with what the current HTTP request tells about its caller."""
        return caller.new_attempt(self.env.cr.dbname, **facts)

    @contextmanager
    def _open(self, **facts):
        """Open the attempt of this call and emit it at the end, or join the one already open.

        Exceptions are passed on unchanged, and recording the attempt never raises another.

        :param facts: fields of :class:`Attempt`
        """
        if joined := request_state.attempt():
            yield joined
            return
        try:
            opened = self._new_attempt(**facts)
        except Exception:
            _logger.exception("The caller of an attempt could not be read")
            opened = Attempt(channel="http", database=self.env.cr.dbname, **facts)
        with request_state.opened(opened):
            try:
                yield opened
            except RETRIED_ERRORS:
                raise
            except Exception as error:
                opened.outcome = "failure"
                if not isinstance(error, REFUSALS) and not opened.codes:
                    opened.note("internal_error")
                self._emit(opened)
                raise
            opened.outcome = "success"
            self._emit(opened)

    # Emission --------------------------------------------------------------------------------

    @api.model
    def _emit(self, attempt):
        """Record a decided attempt; see :meth:`_emit_in`."""
        self._emit_in(self.env.registry, attempt)

    @classmethod
    def _emit_in(cls, registry, attempt):
        """Record a decided attempt; never raises and never changes the outcome.

        A failure is committed on a connection of its own before this returns, whether or not the
        caller's transaction is committed.  So is the first success of its kind in this minute;
        the others are written within a minute (:mod:`usage_writer`).
        """
        try:
            request_state.current().is_decided = True
            if attempt.discarded or _was_emitted(attempt):
                return
            with request_state.unrestricted():
                cls._write_down(registry, attempt)
        except Exception as error:
            attempt_logging.log_unwritten(attempt, error)

    @classmethod
    def _write_down(cls, registry, attempt):
        if not attempt.address_trusted:
            registry["auth.integration.server"]._detect_untrusted_proxy(registry, attempt)
        if attempt.outcome == "success":
            if error := usage_writer.add(cls._successful_use(attempt), registry):
                attempt_logging.log_waiting(attempt, error)
        else:
            cls._emit_failure(registry, attempt)

    @classmethod
    def _successful_use(cls, attempt):
        return SuccessfulUse(
            dbname=attempt.database,
            channel=attempt.channel,
            auth_type=attempt.auth_type,
            login=clean(attempt.known_login, 256),
            user_id=attempt.user_id,
            integration_id=attempt.integration_id,
            attribution=attempt.attribution,
            key_id=attempt.key_id,
            remote_addr=attempt.remote_addr,
            user_agent=user_agents.describe(attempt.user_agent),
            learned_digest=attempt.learned_digest,
            address_trusted=attempt.address_trusted,
        )

    @classmethod
    def _emit_failure(cls, registry, attempt):
        now = fields.Datetime.now()
        attempt.reference = references.reference(
            registry.auth_integration_reference_key,
            minute=now,
            address=attempt.remote_addr,
            channel=attempt.channel,
            identity=attempt.presented_identity,
        )
        request_state.current().reference = attempt.reference
        attempt.described_agent = user_agents.describe(attempt.user_agent)
        with cls._log_cursor(registry) as cr:
            attempts = api.Environment(cr, api.SUPERUSER_ID, {})[cls._name]
            guess = key_of(attempt)
            values = refused_guesses.recall(guess, attempt)
            if values is None:
                attempts._enrich(attempt, now)
                attempt_logging.log_refusal(attempt)
                refused_guesses.keep(guess, attempt, attempts._write_failure(attempt, now))
            else:
                attempt_logging.log_refusal(attempt)
                attempts._upsert(values, 1, now, now)
        registry["auth.integration.incident"]._refused(registry, attempt)

    # Writing ---------------------------------------------------------------------------------

    @staticmethod
    @contextmanager
    def _own_cursor(registry):
        """Open a cursor that is independent of the caller's and never waits long for a lock.

        In a test, the cursor's transaction is already open and keeps its settings.
        """
        with request_state.unrestricted():
            cr = registry.cursor()
        with cr:
            if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE:
                cr.execute(TRANSACTION_SETTINGS)
            yield cr

    @staticmethod
    def _log_cursor(registry):
        """Open a cursor for the log, like :meth:`_own_cursor`; :meth:`_query_first` sets it up.

        Its commit does not wait for the disk: a crash of PostgreSQL may lose the last moments of
        the log, but the end of an Odoo process does not.
        """
        with request_state.unrestricted():
            return registry.cursor()

    def _query(self, query, params=None, settings=""):
        """Run a query that may contain text typed by a caller, without logging it on errors.

        :param query: an :class:`~odoo.tools.SQL` object or text, as for ``cr.execute()``
        """
        if isinstance(query, SQL):
            query, params = query.code, query.params
        self.env.cr.execute(settings + query, params, log_exceptions=False)
        return self.env.cr.fetchall() if self.env.cr.description else []

    def _query_first(self, query, params=None):
        """Run the first query on a :meth:`_log_cursor`, together with the cursor's settings."""
        is_idle = self.env.cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE
        return self._query(query, params, SETTINGS_OF_THE_LOG if is_idle else "")

    @api.model
    def _write_failure(self, attempt, now):
        """Add a refused attempt to its own row or, if there are too many rows, to a shared one.

        :return: the columns of the row in which repeats are to be counted
        """
        limit = settings.number(self.env, "attempt_new_rows_per_minute")
        level = flood_limits.failure_level(attempt.rows_of_source, attempt.rows_of_minute, limit)
        values = self._failure_values(attempt, search_nearest=not level)
        collapsed = flood_limits.collapse_failure(values, level)
        self._add(
            values,
            collapsed,
            Batch(None, 1, now, now),
            budgets=["", flood_limits.source(attempt.remote_addr)],
        )
        return collapsed

    @api.model
    def _write_use(self, batch):
        """Write successful uses of one kind: to the key and its address, then to the log.

        :param batch: of :class:`~odoo.addons.auth_integration.tools.key.usage_writer.SuccessfulUse`
        """
        use = batch.identity
        seen = batch._replace(
            first_seen=_from_epoch(batch.first_seen),
            last_seen=_from_epoch(batch.last_seen),
        )
        budget = f"key {use.key_id}" if use.key_id else f"user {use.user_id}"
        start = buckets.bucket_start(seen.first_seen, "success")
        level = flood_limits.level(
            self._rows_of_budget(budget, start),
            settings.number(self.env, "attempt_new_rows_per_minute"),
        )
        values = dict.fromkeys(IDENTIFYING_COLUMNS) | use.columns() | {"outcome": "success"}
        if use.user_id and not use.login:
            values["login"] = self._login_of(use.user_id)
        collapsed = flood_limits.collapse_success(values, level)
        if use.key_id:
            self.env["auth.integration.key"]._record_use(
                use,
                seen.count,
                seen.first_seen,
                seen.last_seen,
                is_new_address_kept=collapsed["remote_addr"] == use.remote_addr,
            )
        self._add(values, collapsed, seen, budgets=[budget])
        if fields.Datetime.now() - start > LATE_AFTER:
            self.env["auth.attempt.report"]._invalidate_rollup(start)
            self.env["auth.attempt.counter"]._add_late(values, batch, start)
            self._query(SQL("INSERT INTO auth_attempt_late (since) VALUES (%s)", start))

    def _add(self, values, collapsed, batch, budgets):
        """Add attempts to their own row if it exists, else to the row that the limits allow.

        :param values: the columns with all their details
        :param collapsed: the columns with the details that a new row may have
        :param batch: number of attempts, and when they were seen
        :param budgets: names of the budgets that a new row counts towards
        """
        # Most attempts are repeats, and this UPDATE takes half the time of the upsert.
        if not self._add_to_row(values, batch):
            self._upsert(collapsed, batch.count, batch.first_seen, batch.last_seen, budgets)

    def _add_to_row(self, values, batch):
        rows = self._query(
            """
            UPDATE auth_attempt
            SET count = count + %s, first_seen = LEAST(first_seen, %s),
                last_seen = GREATEST(last_seen, %s)
            WHERE bucket = %s
            RETURNING TRUE
            """,
            [batch.count, batch.first_seen, batch.last_seen, _bucket(values, batch.first_seen)],
        )
        return bool(rows)

    @api.model
    def _upsert(self, values, count, first_seen, last_seen, budgets=()):
        """Add ``count`` equal attempts to their bucket; a new row counts towards its budgets.

        :param values: the identifying columns of the attempts; those left out are empty
        """
        values = dict.fromkeys(IDENTIFYING_COLUMNS) | values
        is_idle = self.env.cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE
        self.env.cr.execute(
            (SETTINGS_OF_THE_LOG if is_idle else "") + UPSERT,
            values
            | {
                "bucket": _bucket(values, first_seen),
                "count": count,
                "first": first_seen,
                "last": last_seen,
                "start": buckets.bucket_start(first_seen, values["outcome"]),
                "budgets": sorted(budgets),
            },
            log_exceptions=False,
        )

    def _rows_of_budget(self, name, start):
        rows = self._query_first(ROWS_OF_BUDGET, [name, start])
        return rows[0][0] if rows else 0


def _bucket(values, first_seen):
    return buckets.bucket_hash(values, buckets.bucket_start(first_seen, values["outcome"]))


def _from_epoch(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None, microsecond=0)


def _was_emitted(attempt):
    """Return whether this request has recorded the attempt already, and note it if not.

    A retried request runs the hooks again. The note is kept on the request object, which survives
    the retries of :func:`odoo.service.model.retrying`; the session does not.
    """
    request = caller.current_request()
    if request is None:
        return False
    emitted = request.__dict__.setdefault("_auth_integration_emitted", set())
    presented = attempt.presented_identity
    identity = (
        attempt.database,
        attempt.number,
        attempt.outcome,
        attempt.channel,
        presented if isinstance(presented, (str, int)) else type(presented),
        attempt.cause,
        attempt.key_id,
    )
    if identity in emitted:
        return True
    emitted.add(identity)
    return False
