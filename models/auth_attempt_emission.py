import logging
from contextlib import contextmanager
from datetime import datetime, timezone

import odoo.modules.module
from odoo import api, fields, models
from odoo.exceptions import AccessDenied
from odoo.http import SessionExpiredException
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from werkzeug.exceptions import HTTPException

from ..tools import agents, attempt_lines, buckets, caller, kept_connections, prepared, references
from ..tools import attempt as attempt_context
from ..tools.attempt import Attempt
from ..tools.durable_rows import durable_rows
from ..tools.redaction import clean
from ..tools.usage_writer import SuccessfulUse, usage_writer
from .auth_attempt import IDENTIFYING_COLUMNS
from .auth_attempt_rollup import LATE_AFTER

_logger = logging.getLogger(__name__)

# Milliseconds a row of ours may wait for a lock; beyond, the attempt goes to the server log.
LOCK_TIMEOUT_MS = 500
# READ COMMITTED, unlike Odoo's: two workers that count the same bucket must not raise a
# serialization failure.  READ WRITE, like Odoo's: whatever the default of the database.
TRANSACTION_SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;"
    f" SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms';"
)
WITHOUT_WAITING_FOR_THE_DISK = "SET LOCAL synchronous_commit = off;"
# The server will try the whole request again: nothing has been decided yet.
RETRIED_ERRORS = (*PG_CONCURRENCY_EXCEPTIONS_TO_RETRY, ReadOnlySqlTransaction)
REFUSALS = (AccessDenied, SessionExpiredException, HTTPException)
UPSERT = f"""
    INSERT INTO auth_attempt
        (bucket, {", ".join(IDENTIFYING_COLUMNS)}, count, first_seen, last_seen)
    VALUES (%(bucket)s, {", ".join(f"%({name})s" for name in IDENTIFYING_COLUMNS)},
        %(count)s, %(first)s, %(last)s)
    ON CONFLICT (bucket) DO UPDATE
    SET count = auth_attempt.count + EXCLUDED.count,
        first_seen = LEAST(auth_attempt.first_seen, EXCLUDED.first_seen),
        last_seen = GREATEST(auth_attempt.last_seen, EXCLUDED.last_seen)
"""


class AuthAttempt(models.Model):
    """How an attempt is opened, decided and written down, on connections of its own."""

    _inherit = "auth.attempt"

    # Opening and deciding --------------------------------------------------------------------

    @api.model
    def _new_attempt(self, **facts):
        """An attempt of the current caller, with what the HTTP request tells."""
        return attempt_context.of_caller(self.env.cr.dbname, **facts)

    @contextmanager
    def _open(self, **facts):
        """Open the attempt of this call, or join the one that is open; emit it at the end.

        Any exception is passed on unchanged, and nothing of ours adds one.

        :param facts: fields of :class:`~odoo.addons.auth_integration.tools.attempt.Attempt`
        """
        if joined := attempt_context.current():
            yield joined
            return
        try:
            opened = self._new_attempt(**facts)
        except Exception:
            _logger.exception("The caller of an attempt could not be read")
            opened = Attempt(channel="http", database=self.env.cr.dbname, **facts)
        with attempt_context.opened(opened):
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
        """Write a decided attempt down; see :meth:`_emit_in`."""
        self._emit_in(self.env.registry, attempt)

    @classmethod
    def _emit_in(cls, registry, attempt):
        """Write a decided attempt down; never raises and never changes the outcome.

        A failure is committed on a connection of its own before this returns, whatever becomes
        of the caller's transaction.  A success is, when it is the first of its kind in this
        minute; the others follow within a minute (:mod:`usage_writer`).
        """
        try:
            attempt_context.mark_decided()
            if attempt.discarded or _was_emitted(attempt):
                return
            registry["auth.integration.server"]._note_caller(registry, attempt)
            if attempt.outcome == "success":
                usage_writer.add(cls._successful_use(attempt), registry)
            else:
                cls._emit_failure(registry, attempt)
        except Exception as error:
            attempt_lines.log_unwritten(attempt, error)

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
            user_agent=agents.describe(attempt.user_agent),
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
        attempt_context.answer_with(attempt.reference)
        with cls._log_cursor(registry) as cr:
            attempts = api.Environment(cr, api.SUPERUSER_ID, {})[cls._name]
            found = attempts._complete(attempt, now)
            attempts._upsert(attempts._failure_values(attempt, found["new_rows"]), 1, now, now)
        attempt_lines.log_refusal(attempt)

    # Writing ---------------------------------------------------------------------------------

    @staticmethod
    @contextmanager
    def _own_cursor(registry):
        """A cursor that shares nothing with the caller's and never waits long for a lock.

        Inside a test everything is one transaction already under way.
        """
        with registry.cursor() as cr:
            if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE:
                cr.execute(TRANSACTION_SETTINGS)
            yield cr

    @classmethod
    def _log_cursor(cls, registry):
        """Like :meth:`_own_cursor`, for the one row of a refusal: kept ready, and each
        :meth:`_query` is a transaction of its own."""
        if odoo.modules.module.current_test:
            return cls._own_cursor(registry)
        return kept_connections.connections.cursor(registry)

    def _query(self, query):
        """Run a query that may hold what the caller typed: it never goes to the server log."""
        return self._run(query.code, query.params)

    def _run(self, code, params):
        cr = self.env.cr
        if cr._cnx.autocommit:
            # Sent along with it, they are of its transaction and cost no further round trip.
            code = TRANSACTION_SETTINGS + code
        cr.execute(code, params, log_exceptions=False)
        return cr.fetchall() if cr.description else []

    def _query_planned(self, statement, params, settings=""):
        """Like :meth:`_query`; a kept connection plans the statement once, not every time.

        :param statement: SQL with ``%(name)s`` for each parameter; a constant
        :param settings: SQL that precedes it where it is a transaction of its own
        """
        if self.env.cr._cnx.autocommit:
            return prepared.run(self.env.cr, statement, params, TRANSACTION_SETTINGS + settings)
        return self._run(statement, params)

    @api.model
    def _upsert(self, values, count, first_seen, last_seen):
        """Add ``count`` equal attempts to their bucket."""
        bucket = buckets.bucket_hash(
            values, buckets.bucket_start(first_seen, values["outcome"])
        )
        row = self.env.cr.dbname, bucket
        self._query_planned(
            UPSERT,
            values | {"bucket": bucket, "count": count, "first": first_seen, "last": last_seen},
            WITHOUT_WAITING_FOR_THE_DISK if row in durable_rows else "",
        )
        if self.env.cr._cnx.autocommit:
            durable_rows.add(row)

    @api.model
    def _write_uses(self, uses):
        """Write batches of successful uses, on a cursor of their own: log, key and address.

        :param uses: :class:`~odoo.addons.auth_integration.tools.usage.Batch` objects
        """
        earliest = fields.Datetime.now()
        for batch in sorted(uses, key=lambda batch: batch.identity.key_id or 0):
            use = batch.identity
            values = dict.fromkeys(IDENTIFYING_COLUMNS) | use.columns() | {"outcome": "success"}
            if use.user_id and not use.login:
                values["login"] = self._login_of(use.user_id)
            first, last = (
                _from_epoch(moment) for moment in (batch.first_seen, batch.last_seen)
            )
            self._upsert(values, batch.count, first, last)
            if use.key_id:
                self.env["auth.integration.key"]._record_use(use, batch.count, first, last)
            earliest = min(earliest, buckets.bucket_start(first, "success"))
        if fields.Datetime.now() - earliest > LATE_AFTER:
            self.env["auth.attempt.report"]._invalidate_rollup(earliest)


def _from_epoch(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None, microsecond=0)


def _was_emitted(attempt):
    """Whether this request has recorded the attempt already: a retry runs the hooks again.

    The flag lives on the request object, which survives the retries of
    :func:`odoo.service.model.retrying`; the session does not.
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
