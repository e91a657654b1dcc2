import json
import logging
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from odoo import api, fields, models
from odoo.exceptions import AccessDenied
from odoo.http import SessionExpiredException
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from werkzeug.exceptions import HTTPException

from ..tools import attempt as attempt_context
from ..tools import buckets, caller, causes, references
from ..tools.attempt import Attempt
from ..tools.log_limit import LogLimit
from ..tools.redaction import clean, describe_unknown_login, escape, scrub
from ..tools.usage_writer import SuccessfulUse, usage_writer

_logger = logging.getLogger(__name__)
_write_failures = LogLimit(per_minute=60)

# Milliseconds a row of ours may wait for a lock; beyond, the attempt goes to the server log.
LOCK_TIMEOUT_MS = 500
NEAREST_LOGIN_CANDIDATES = 5000
CHANNELS = [
    ("xmlrpc", "XML-RPC"),
    ("jsonrpc", "JSON-RPC"),
    ("json2", "JSON-2"),
    ("http", "HTTP route"),
    ("session", "Session"),
    ("web", "Web login"),
    ("totp", "Second factor"),
    ("passkey", "Passkey"),
    ("oauth", "OAuth"),
    ("webhook", "Webhook"),
]
# The server will try the whole request again: nothing has been decided yet.
RETRIED_ERRORS = (*PG_CONCURRENCY_EXCEPTIONS_TO_RETRY, ReadOnlySqlTransaction)
REFUSALS = (AccessDenied, SessionExpiredException, HTTPException)
IDENTIFYING_COLUMNS = (
    "outcome",
    "cause",
    "channel",
    "auth_type",
    "login",
    "user_id",
    "integration_id",
    "attribution",
    "key_id",
    "remote_addr",
    "user_agent",
    "database",
    "reference",
)


class AuthAttempt(models.Model):
    """The log of attempts to authenticate: append-only, written on connections of its own.

    Equal attempts within a bucket (a minute for failures, an hour for successes) share a row and
    its exact ``count``.  The table is made by hand: wide ids, no foreign keys, so that a deleted
    user neither blocks nor blanks the log.
    """

    _name = "auth.attempt"
    _description = "Authentication Attempt"
    _auto = False
    _log_access = False
    _allow_sudo_commands = False
    _order = "last_seen desc, id desc"
    _rec_name = "reference"

    outcome = fields.Selection([("success", "Success"), ("failure", "Failure")], readonly=True)
    cause = fields.Selection("_selection_cause", readonly=True)
    cause_explanation = fields.Text("What happened", compute="_compute_cause_texts")
    cause_remedy = fields.Text("What to do", compute="_compute_cause_texts")
    channel = fields.Selection(CHANNELS, readonly=True)
    auth_type = fields.Char(readonly=True, help="The auth= of the HTTP route.")
    login = fields.Char(
        readonly=True, help="A login that does not exist is described, never stored as typed."
    )
    user_id = fields.Many2one("res.users", readonly=True)
    integration_id = fields.Many2one("auth.integration", readonly=True)
    attribution = fields.Selection(
        [("login", "By login"), ("key", "By key"), ("address", "By address")],
        readonly=True,
        help="How the integration was found. By address: it alone has recently succeeded from"
        " there.",
    )
    key_id = fields.Many2one("auth.integration.key", "API key", readonly=True)
    remote_addr = fields.Char("Address", readonly=True)
    user_agent = fields.Char(readonly=True)
    database = fields.Char(readonly=True)
    reference = fields.Char(
        readonly=True, help="What the refused caller was told in the header X-Auth-Reference."
    )
    count = fields.Integer(readonly=True, aggregator="sum")
    first_seen = fields.Datetime(readonly=True)
    last_seen = fields.Datetime(readonly=True)

    @api.model
    def _selection_cause(self):
        return [(code, self.env._(cause.title)) for code, cause in causes.CAUSES.items()]

    @api.model
    def _selection_channel(self):
        return self._fields["channel"].get_description(self.env, ["selection"])["selection"]

    @api.depends("cause")
    def _compute_cause_texts(self):
        for row in self:
            cause = causes.CAUSES.get(row.cause)
            row.cause_explanation = cause and self.env._(cause.explanation)
            row.cause_remedy = cause and self.env._(cause.remedy)

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_attempt (
                id bigserial PRIMARY KEY,
                bucket bytea NOT NULL,
                outcome varchar NOT NULL,
                cause varchar,
                channel varchar NOT NULL,
                auth_type varchar,
                login varchar,
                user_id integer,
                integration_id integer,
                attribution varchar,
                key_id integer,
                remote_addr varchar,
                user_agent varchar,
                database varchar,
                reference varchar,
                count bigint NOT NULL DEFAULT 1,
                first_seen timestamp NOT NULL,
                last_seen timestamp NOT NULL
            );
            CREATE TABLE IF NOT EXISTS auth_attempt_daily_key (
                id integer PRIMARY KEY,
                day date NOT NULL,
                value varchar NOT NULL
            );
            CREATE UNIQUE INDEX IF NOT EXISTS auth_attempt_bucket_key ON auth_attempt (bucket);
            CREATE INDEX IF NOT EXISTS auth_attempt_last_seen_idx
                ON auth_attempt (last_seen DESC, id DESC);
            CREATE INDEX IF NOT EXISTS auth_attempt_integration_idx
                ON auth_attempt (integration_id, outcome, last_seen DESC)
                WHERE integration_id IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_user_idx
                ON auth_attempt (user_id, last_seen DESC) WHERE user_id IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_key_idx
                ON auth_attempt (key_id, last_seen DESC) WHERE key_id IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_reference_idx
                ON auth_attempt (reference) WHERE reference IS NOT NULL;
            """
        )

    def _register_hook(self):
        """Let the hooks of this registry work, provided the database has what they touch."""
        super()._register_hook()
        self.env.registry.auth_integration_ready = self._schema_is_current()

    def _schema_is_current(self):
        """Whether the database has every column the hooks use: updated files, ``-u`` not run."""
        needed = {
            "auth_attempt": {"bucket", *IDENTIFYING_COLUMNS, "count", "first_seen", "last_seen"},
            **{
                self.env[model]._table: {
                    field.name for field in self.env[model]._fields.values() if field.column_type
                    and field.store
                }
                for model in (
                    "auth.integration",
                    "auth.integration.key",
                    "auth.integration.key.address",
                    "auth.integration.policy",
                )
            },
        }
        needed["auth_integration_key"] |= {"hash", "digest"}
        rows = self.env.execute_query(
            SQL(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = current_schema AND table_name IN %s",
                tuple(needed),
            )
        )
        missing = {(table, column) for table in needed for column in needed[table]} - set(rows)
        if missing:
            _logger.warning(
                "The database is behind the code of auth_integration: authentication works as"
                " without it. Update it with -u auth_integration. Missing: %s",
                ", ".join(sorted(f"{table}.{column}" for table, column in missing)),
            )
        return not missing

    # Opening and deciding --------------------------------------------------------------------

    @api.model
    def _new_attempt(self, **facts):
        """An attempt of the current caller, with what the HTTP request tells."""
        who = caller.current()
        facts.setdefault("channel", who.channel or "http")
        return Attempt(
            database=self.env.cr.dbname,
            remote_addr=who.remote_addr,
            user_agent=who.user_agent,
            **facts,
        )

    @contextmanager
    def _open(self, **facts):
        """Open the attempt of this call, or join the one that is open; emit it at the end.

        Any exception is passed on unchanged, and nothing of ours adds one.

        :param facts: fields of :class:`~odoo.addons.auth_integration.tools.attempt.Attempt`
        """
        if joined := attempt_context.current():
            yield joined
            return
        opened = self._new_attempt(**facts)
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
        """Write a decided attempt down; never raises and never changes the outcome.

        A failure is committed on a connection of its own before this returns, whatever becomes
        of the caller's transaction.  A success is, when it is the first of its kind in this
        minute; the others follow within a minute (:mod:`usage_writer`).
        """
        attempt_context.mark_decided()
        if attempt.discarded or _was_emitted(attempt):
            return
        try:
            if attempt.outcome == "success":
                usage_writer.add(self._successful_use(attempt), self.env.registry)
            else:
                self._emit_failure(attempt)
        except Exception as error:
            _log_unwritten(attempt, error)

    @api.model
    def _successful_use(self, attempt):
        return SuccessfulUse(
            dbname=attempt.database,
            channel=attempt.channel,
            auth_type=attempt.auth_type,
            login=clean(attempt.known_login, 256),
            user_id=attempt.user_id,
            integration_id=attempt.integration_id,
            attribution=attempt.attribution,
            key_id=attempt.key_id,
            remote_addr=clean(attempt.remote_addr, 64),
            user_agent=clean(scrub(attempt.user_agent or ""), 256) or None,
        )

    @api.model
    def _emit_failure(self, attempt):
        now = fields.Datetime.now()
        attempt.reference = references.reference(
            self._reference_key(),
            minute=now.replace(second=0),
            address=attempt.remote_addr or "",
            channel=attempt.channel,
            identity=attempt.presented_identity,
        )
        attempt_context.answer_with(attempt.reference)
        with self._own_cursor(self.env.registry) as cr:
            attempts = api.Environment(cr, api.SUPERUSER_ID, {})["auth.attempt"]
            attempts._complete(attempt)
            attempts._upsert(attempts._failure_values(attempt), 1, now, now)
        _log_refusal(attempt)

    @staticmethod
    @contextmanager
    def _own_cursor(registry):
        """A cursor that shares nothing with the caller's and never waits long for a lock.

        READ COMMITTED, unlike Odoo's: two workers that count the same bucket must not raise a
        serialization failure.  Inside a test everything is one transaction already under way.
        """
        with registry.cursor() as cr:
            if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE:
                cr.execute(
                    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = %s",
                    [f"{LOCK_TIMEOUT_MS}ms"],
                )
            yield cr

    @api.model
    def _complete(self, attempt):
        """Find what the hooks did not: whose login this is, why it failed, which integration."""
        if attempt.user_id is None and attempt.login is not None:
            self._complete_by_login(attempt)
        if attempt.user_id is None and type(attempt.uid) is int and 0 < attempt.uid < 2**31:
            attempt.user_id = self.env["res.users"].browse(attempt.uid).exists().id or None
        if attempt.user_id and not attempt.known_login:
            user = self.env["res.users"].browse(attempt.user_id).exists()
            attempt.known_login = user.login
        if attempt.user_id and not attempt.integration_id:
            integration = self.env["res.users"].browse(attempt.user_id)._integration()
            attempt.integration_id = integration.id or None
            attempt.attribution = "login" if integration else None
        if not attempt.user_id and not attempt.integration_id and attempt.remote_addr:
            self._attribute_by_address(attempt)

    def _complete_by_login(self, attempt):
        if not isinstance(attempt.login, str) or not attempt.login:
            attempt.note("malformed_request" if attempt.login else "login_missing")
            return
        users = self.env["res.users"].with_context(active_test=False)
        login = attempt.login.replace("\x00", "")
        found = users.search(
            users._get_login_domain(login), order=f"active desc, {users._get_login_order()}",
            limit=1,
        )
        if not found:
            attempt.note("user_unknown")
            return
        attempt.user_id, attempt.known_login = found.id, found.login
        if not found.active:
            attempt.note("user_archived")

    def _attribute_by_address(self, attempt):
        """Attribute to an integration if it alone has recently succeeded from this address."""
        rows = self.env.execute_query(
            SQL(
                """
                SELECT DISTINCT k.integration_id
                FROM auth_integration_key_address a
                JOIN auth_integration_key k ON k.id = a.key_id
                WHERE a.address = %s AND a.last_seen > %s
                LIMIT 2
                """,
                attempt.remote_addr,
                fields.Datetime.now() - timedelta(days=30),
            )
        )
        if len(rows) == 1 and rows[0][0]:
            attempt.integration_id, attempt.attribution = rows[0][0], "address"

    @api.model
    def _failure_values(self, attempt):
        return {
            "outcome": "failure",
            "cause": attempt.cause,
            "channel": attempt.channel,
            "auth_type": attempt.auth_type,
            "login": clean(attempt.known_login, 256) or self._describe_login(attempt),
            "user_id": attempt.user_id,
            "integration_id": attempt.integration_id,
            "attribution": attempt.attribution,
            "key_id": attempt.key_id,
            "remote_addr": clean(attempt.remote_addr, 64),
            "user_agent": clean(scrub(attempt.user_agent or ""), 256) or None,
            "database": attempt.database,
            "reference": attempt.reference,
        }

    def _describe_login(self, attempt):
        if attempt.user_id or attempt.login is None:
            return None
        typed = attempt.login if isinstance(attempt.login, str) else escape(attempt.login, 64)
        candidates = self.env.execute_query(
            SQL(
                "SELECT login FROM res_users WHERE active AND abs(length(login) - %s) <= 3"
                " ORDER BY id LIMIT %s",
                min(len(typed), 1000),
                NEAREST_LOGIN_CANDIDATES,
            )
        )
        return describe_unknown_login(
            typed, [row[0] for row in candidates], self._correlation_key()
        )

    @api.model
    def _upsert(self, values, count, first_seen, last_seen):
        """Add ``count`` equal attempts to their bucket."""
        bucket = buckets.bucket_hash(
            values, buckets.bucket_start(first_seen, values["outcome"])
        )
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_attempt (bucket, %(columns)s, count, first_seen, last_seen)
                VALUES (%(bucket)s, %(values)s, %(count)s, %(first)s, %(last)s)
                ON CONFLICT (bucket) DO UPDATE
                SET count = auth_attempt.count + EXCLUDED.count,
                    first_seen = LEAST(auth_attempt.first_seen, EXCLUDED.first_seen),
                    last_seen = GREATEST(auth_attempt.last_seen, EXCLUDED.last_seen)
                """,
                columns=SQL(", ").join(map(SQL.identifier, IDENTIFYING_COLUMNS)),
                bucket=bucket,
                values=SQL(", ").join(SQL("%s", values[name]) for name in IDENTIFYING_COLUMNS),
                count=count,
                first=first_seen,
                last=last_seen,
            )
        )

    @api.model
    def _write_uses(self, uses):
        """Write batches of successful uses, on a cursor of their own: log, key and address.

        :param uses: :class:`~odoo.addons.auth_integration.tools.usage.Batch` objects
        """
        for batch in sorted(uses, key=lambda batch: batch.identity.key_id or 0):
            use = batch.identity
            values = dict.fromkeys(IDENTIFYING_COLUMNS) | use.columns() | {"outcome": "success"}
            first, last = (
                _from_epoch(moment) for moment in (batch.first_seen, batch.last_seen)
            )
            self._upsert(values, batch.count, first, last)
            if use.key_id:
                self.env["auth.integration.key"]._record_use(use, batch.count, first, last)

    # Secrets of the log ----------------------------------------------------------------------

    @api.model
    def _reference_key(self):
        """Key of the references: the database's own secret, so that every worker agrees."""
        secret = self.env["ir.config_parameter"].sudo().get_param("database.secret") or ""
        return f"auth_integration.reference:{secret}".encode()

    @api.model
    def _correlation_key(self):
        """Key of the 16-bit hashes of unknown logins: another one every day, the last is gone."""
        today = fields.Date.to_string(fields.Date.today())
        self.env.cr.execute(
            """
            INSERT INTO auth_attempt_daily_key AS k (id, day, value)
            VALUES (1, %(today)s, gen_random_uuid()::text)
            ON CONFLICT (id) DO UPDATE
            SET value = CASE WHEN k.day = EXCLUDED.day THEN k.value ELSE EXCLUDED.value END,
                day = EXCLUDED.day
            RETURNING value
            """,
            {"today": today},
        )
        return self.env.cr.fetchone()[0].encode()


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
    identity = (
        attempt.outcome,
        attempt.channel,
        attempt.presented_identity,
        attempt.cause,
        attempt.key_id,
    )
    if identity in emitted:
        return True
    emitted.add(identity)
    return False


def _log_refusal(attempt):
    """One line per failure: address and cause first, then what the caller has chosen."""
    _logger.info(
        "Authentication refused: address=%s cause=%s channel=%s reference=%s database=%s user=%s"
        " integration=%s agent=%s",
        attempt.remote_addr or "n/a",
        attempt.cause,
        attempt.channel,
        attempt.reference,
        attempt.database,
        attempt.user_id or "-",
        attempt.integration_id or "-",
        escape(scrub(attempt.user_agent or ""), 128),
    )


def _log_unwritten(attempt, error):
    """The row could not be written: keep the whole attempt in the server log, one JSON line."""
    suppressed = _write_failures.admit()
    if suppressed is None:
        return
    _logger.error(
        "Attempt not written: %s",
        json.dumps(
            {
                "address": attempt.remote_addr,
                "outcome": attempt.outcome,
                "cause": attempt.cause,
                "channel": attempt.channel,
                "reference": attempt.reference,
                "database": attempt.database,
                "auth_type": attempt.auth_type,
                "user": attempt.user_id,
                "integration": attempt.integration_id,
                "key": attempt.key_id,
                "seen": fields.Datetime.to_string(fields.Datetime.now()),
                "error": type(error).__name__,
                "suppressed": suppressed,
                "agent": escape(scrub(attempt.user_agent or ""), 128),
            }
        ),
    )
