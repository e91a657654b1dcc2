import json
import logging
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import odoo.modules.module
from odoo import api, fields, models
from odoo.exceptions import AccessDenied, AccessError
from odoo.fields import Domain
from odoo.http import SessionExpiredException
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from werkzeug.exceptions import HTTPException

from ..tools import (
    agents,
    buckets,
    caller,
    causes,
    kept_connections,
    prepared,
    probe,
    references,
)
from ..tools import attempt as attempt_context
from ..tools.attempt import Attempt
from ..tools.log_limit import LogLimit
from ..tools.redaction import clean, describe_unknown_login, escape
from ..tools.usage_writer import SuccessfulUse, usage_writer

_logger = logging.getLogger(__name__)
_write_failures = LogLimit(per_minute=60)

# Milliseconds a row of ours may wait for a lock; beyond, the attempt goes to the server log.
LOCK_TIMEOUT_MS = 500
# READ COMMITTED, unlike Odoo's: two workers that count the same bucket must not raise a
# serialization failure.  READ WRITE, like Odoo's: whatever the default of the database.
TRANSACTION_SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;"
    f" SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms';"
)
NEAREST_LOGIN_CANDIDATES = 5000
# What stands in a column whose values were too many to keep apart (see ``_flood_level``).
MANY = "(many)"
GC_BATCH = 20_000
# Settings: parameter and default.
PARAMETERS = {
    "attempt_keep_failures_days": 365,
    "attempt_keep_successes_days": 90,
    "attempt_max_rows": 5_000_000,
    "attempt_new_rows_per_minute": 120,
}
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

# What a refused attempt may need to know of the database; see ``_surroundings``.
SURROUNDINGS = {
    # Failures of this minute, no more than matter.
    "new_rows": """
        SELECT count(*) FROM (
            SELECT FROM auth_attempt
            WHERE outcome = 'failure' AND first_seen >= %(minute)s
            ORDER BY first_seen LIMIT %(most_rows)s
        ) new
    """,
    "login": "SELECT login FROM res_users WHERE id = %(user)s",
    # Ids of the integration, by the way in which it was found; one, or up to two of them.
    "by_login": "SELECT id FROM auth_integration WHERE user_id = %(user)s",
    "by_key": "SELECT integration_id FROM auth_integration_key WHERE id = %(key)s",
    "by_address": """
        SELECT array_agg(integration_id) FROM (
            SELECT DISTINCT k.integration_id
            FROM auth_integration_key_address a
            JOIN auth_integration_key k ON k.id = a.key_id
            WHERE a.address = %(address)s AND a.last_seen > %(lately)s
            LIMIT 2
        ) lately
    """,
}


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
                ON auth_attempt (reference varchar_pattern_ops) WHERE reference IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_login_idx
                ON auth_attempt (login varchar_pattern_ops) WHERE login IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_remote_addr_idx
                ON auth_attempt (remote_addr varchar_pattern_ops) WHERE remote_addr IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_cause_idx
                ON auth_attempt (cause, last_seen DESC, id DESC) WHERE cause IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_channel_idx ON auth_attempt (channel);
            CREATE INDEX IF NOT EXISTS auth_attempt_new_failure_idx
                ON auth_attempt (first_seen) WHERE outcome = 'failure';
            -- For findings: who still calls with what has ended.
            CREATE INDEX IF NOT EXISTS auth_attempt_archived_user_idx
                ON auth_attempt (last_seen, user_id)
                WHERE cause = 'user_archived' AND user_id IS NOT NULL;
            CREATE INDEX IF NOT EXISTS auth_attempt_ended_key_idx
                ON auth_attempt (last_seen, key_id)
                WHERE cause IN ('key_expired', 'key_superseded', 'key_revoked')
                    AND key_id IS NOT NULL;
            """
        )

    def _register_hook(self):
        """Let the hooks of this registry work, provided the database has what they touch."""
        super()._register_hook()
        registry = self.env.registry
        registry.auth_integration_reference_key = self._reference_key()
        registry.auth_integration_ready = self._schema_is_current()

    def _schema_is_current(self):
        """Whether the database has every column the hooks use: updated files, ``-u`` not run."""
        needed = {
            "auth_attempt": {"bucket", *IDENTIFYING_COLUMNS, "count", "first_seen", "last_seen"},
            "auth_attempt_daily_key": {"id", "day", "value"},
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
            _log_unwritten(attempt, error)

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
        _log_refusal(attempt)

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

    def _query_planned(self, statement, params):
        """Like :meth:`_query`; a kept connection plans the statement once, not every time.

        :param statement: SQL with ``%(name)s`` for each parameter; a constant
        """
        if self.env.cr._cnx.autocommit:
            return prepared.run(self.env.cr, statement, params, TRANSACTION_SETTINGS)
        return self._run(statement, params)

    @api.model
    def _complete(self, attempt, now):
        """Find what the hooks did not: whose login this is, why it failed, which integration.

        :return: as :meth:`_surroundings`
        """
        if attempt.user_id is None and attempt.login is not None:
            self._complete_by_login(attempt)
        if attempt.user_id is None and type(attempt.uid) is int and 0 < attempt.uid < 2**31:
            attempt.user_id = attempt.uid
        user_id, integration_id = attempt.technical_user or (None, None)
        if user_id == attempt.user_id and integration_id and not attempt.integration_id:
            attempt.integration_id, attempt.attribution = integration_id, "login"
        found = self._surroundings(attempt, now)
        if attempt.user_id and not attempt.known_login:
            attempt.known_login = clean(found["login"], 256)
            attempt.user_id = attempt.user_id if attempt.known_login else None
        if not attempt.integration_id:
            attempt.integration_id, attempt.attribution = self._attribute(attempt, found)
        attempt.completed = True
        return found

    def _surroundings(self, attempt, now):
        """All that a refused attempt needs to know of the database, in one query.

        :return: by the names of ``SURROUNDINGS``, those that may be wanted
        :rtype: dict
        """
        wanted = ["new_rows"]
        if attempt.user_id and not attempt.known_login:
            wanted.append("login")
        if attempt.user_id and not attempt.integration_id:
            wanted.append("by_login")
        if attempt.key_id and not attempt.integration_id:
            wanted.append("by_key")
        # Not where the address is only that of a proxy, nor where the caller merely says whence
        # it comes.
        if (
            attempt.remote_addr
            and attempt.address_trusted
            and not attempt.known_login
            and not probe.is_question(attempt.user_agent, attempt.cause)
        ):
            wanted.append("by_address")
        [row] = self._query_planned(
            "SELECT " + ", ".join(f"({SURROUNDINGS[name]})" for name in wanted),
            {
                "minute": now.replace(second=0),
                "most_rows": 2 * self._setting("attempt_new_rows_per_minute"),
                "user": attempt.user_id,
                "key": attempt.key_id,
                "address": attempt.remote_addr,
                "lately": now - timedelta(days=30),
            },
        )
        return dict(zip(wanted, row, strict=True))

    @staticmethod
    def _attribute(attempt, found):
        """The integration that a refused attempt belongs to, and how it was found.

        By address if it alone has recently succeeded from there.

        :param found: of :meth:`_surroundings`
        """
        if attempt.user_id and found.get("by_login"):
            return found["by_login"], "login"
        if found.get("by_key"):
            return found["by_key"], "key"
        by_address = found.get("by_address") or ()
        if not attempt.user_id and len(by_address) == 1 and by_address[0]:
            return by_address[0], "address"
        return None, None

    def _login_of(self, user_id):
        rows = self._query(SQL("SELECT login FROM res_users WHERE id = %s", user_id))
        return clean(rows[0][0], 256) if rows else None

    def _complete_by_login(self, attempt):
        login = attempt.login
        if not isinstance(login, str) or "\x00" in login or not _is_text(login):
            attempt.note("malformed_request" if login else "login_missing")
            return
        if not login:
            attempt.note("login_missing")
            return
        users = self.env["res.users"].with_context(active_test=False)
        query = users._search(
            users._get_login_domain(login),
            order=f"active DESC, {users._get_login_order()}",
            limit=1,
        )
        rows = self._query(
            query.select(*(SQL.identifier(query.table, name) for name in ("id", "login", "active")))
        )
        if not rows:
            attempt.note("user_unknown")
            return
        attempt.user_id, attempt.known_login, active = rows[0]
        if not active:
            attempt.note("user_archived")

    @api.model
    def _failure_values(self, attempt, new_rows):
        level = self._flood_level(new_rows)
        values = {
            "outcome": "failure",
            "cause": attempt.cause,
            "channel": attempt.channel,
            "auth_type": attempt.auth_type,
            "login": clean(attempt.known_login, 256) or self._describe_login(attempt, level),
            "user_id": attempt.user_id,
            "integration_id": attempt.integration_id,
            "attribution": attempt.attribution,
            "key_id": attempt.key_id,
            "remote_addr": attempt.remote_addr,
            "user_agent": agents.describe(attempt.user_agent),
            "database": attempt.database,
            "reference": attempt.reference,
        }
        if level:
            values.update(remote_addr=MANY, user_agent=MANY, reference=None)
        if level > 1:
            values.update(login=MANY)
        return values

    @api.model
    def _flood_level(self, new_rows):
        """How much must be kept together: 0 nothing, 1 address and agent, 2 the login as well.

        The number of new rows of this minute, in all workers, decides, so that the log stays
        bounded whoever calls with however many logins from however many addresses.  Never kept
        together are users, integrations, keys and causes, and the counts stay exact.  The
        reference goes with the address, of which it is made; the server log still has it.
        """
        return min(new_rows // self._setting("attempt_new_rows_per_minute"), 2)

    @api.model
    def _setting(self, name):
        """A setting of the log: a positive number, the default when it is anything else."""
        text = self.env["ir.config_parameter"].sudo().get_param(f"auth_integration.{name}") or ""
        return int(text) if text.isdecimal() and int(text) else PARAMETERS[name]

    def _describe_login(self, attempt, flood_level=0):
        """What is kept of a login or user id that does not exist: never the text itself."""
        if attempt.user_id or attempt.login in (False, ""):
            return None
        if attempt.login is None:
            return f"unknown user id {attempt.uid}" if _is_short_number(attempt.uid) else None
        key = self._correlation_key()
        described = describe_unknown_login(attempt.login, (), key)
        if not isinstance(attempt.login, str) or flood_level:
            return described
        return self._described_lately(described) or describe_unknown_login(
            attempt.login, self._nearest_candidates(attempt.login), key
        )

    def _described_lately(self, described):
        """The description that this unknown login was given in this minute, if it was.

        Searching for the nearest login costs more than all the rest: whoever repeats a login as
        fast as he can must not have it done each time. New ones are soon too many for it.
        """
        size, _comma, repeats = described.partition(", #")
        rows = self._query(
            SQL(
                "SELECT login FROM auth_attempt WHERE outcome = 'failure' AND first_seen >= %s"
                " AND starts_with(login, %s) AND right(login, %s) = %s LIMIT 1",
                fields.Datetime.now().replace(second=0),
                size,
                len(repeats),
                repeats,
            )
        )
        return rows and rows[0][0]

    def _nearest_candidates(self, login):
        rows = self._query(
            SQL(
                "SELECT login FROM res_users WHERE active AND abs(length(login) - %s) <= 4"
                " ORDER BY id LIMIT %s",
                min(len(login), 1000),
                NEAREST_LOGIN_CANDIDATES,
            )
        )
        return [login for (login,) in rows]

    @api.model
    def _upsert(self, values, count, first_seen, last_seen):
        """Add ``count`` equal attempts to their bucket."""
        bucket = buckets.bucket_hash(
            values, buckets.bucket_start(first_seen, values["outcome"])
        )
        self._query_planned(
            UPSERT,
            values | {"bucket": bucket, "count": count, "first": first_seen, "last": last_seen},
        )

    @api.model
    def _write_uses(self, uses):
        """Write batches of successful uses, on a cursor of their own: log, key and address.

        :param uses: :class:`~odoo.addons.auth_integration.tools.usage.Batch` objects
        """
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

    # Secrets of the log ----------------------------------------------------------------------

    @api.model
    def _reference_key(self):
        """Key of the references: made of the database's own secret, so that every worker agrees.

        Read once when the registry is loaded: an answer has its reference even when nothing can
        be read any more.
        """
        secret = self.env["ir.config_parameter"].sudo().get_param("database.secret") or ""
        return f"auth_integration.reference:{secret}".encode()

    # Reading and keeping ---------------------------------------------------------------------

    # pylint: disable=method-required-super,no-raise-unlink  # refusing is what they are for

    @api.model_create_multi
    def create(self, vals_list):
        """Refuse: attempts are written by the hooks only."""
        raise self._append_only()

    def write(self, vals):
        """Refuse: what was recorded stays as it was."""
        raise self._append_only()

    def unlink(self):
        """Refuse: attempts leave by retention only (see Settings)."""
        raise self._append_only()

    def _append_only(self):
        return AccessError(
            self.env._(
                "The log of attempts cannot be changed, by administrators neither. Old attempts are"
                " removed after the time that is set in Settings."
            )
        )

    def _search(self, domain, *args, **kwargs):
        """Extend ``_search``: a reference is found however it was typed or dictated."""

        def as_written(condition):
            if condition.field_expr != "reference" or not isinstance(condition.value, str):
                return condition
            meant = references.normalize(condition.value)
            return Domain("reference", condition.operator, meant) if meant else condition

        return super()._search(Domain(domain).map_conditions(as_written), *args, **kwargs)

    @api.model
    def explain_reference(self, reference):
        """Tell whoever has a reference why that attempt was refused, when and how it was made.

        For internal users.  Neither who it was nor from where: the log itself says that to those
        who may read it.

        :param str reference: as in the header ``X-Auth-Reference``, however typed
        :return: one dictionary per row: ``cause``, ``title``, ``explanation``, ``remedy``,
            ``channel``, ``first_seen``, ``last_seen`` (UTC strings) and ``count``
        :rtype: list[dict]
        """
        if not self.env.user._is_internal():
            raise AccessError(self.env._("References are explained to internal users only."))
        meant = references.normalize(reference)
        rows = self.sudo().search([("reference", "=", meant)], limit=20) if meant else self
        return [
            {
                "cause": row.cause,
                "title": self.env._(causes.get(row.cause).title),
                "explanation": row.cause_explanation,
                "remedy": row.cause_remedy,
                "channel": row.channel,
                "first_seen": fields.Datetime.to_string(row.first_seen),
                "last_seen": fields.Datetime.to_string(row.last_seen),
                "count": row.count,
            }
            for row in rows
        ]

    @api.autovacuum
    def _gc_attempts(self):
        """Remove a batch of attempts that are too old, or too many, and record that.

        :return: number of rows removed, and 1 if there may be more, for the autovacuum
        """
        removed, remaining = 0, 0
        for outcome, plural in (("failure", "failures"), ("success", "successes")):
            days = self._setting(f"attempt_keep_{plural}_days")
            before = fields.Datetime.now() - timedelta(days=days)
            number = self._remove("age", SQL("outcome = %s AND last_seen < %s", outcome, before))
            removed, remaining = removed + number, remaining or int(number == GC_BATCH)
        if not remaining:
            excess = self._query(
                SQL(
                    "SELECT last_seen, id FROM auth_attempt ORDER BY last_seen DESC, id DESC"
                    " OFFSET %s LIMIT 1",
                    self._setting("attempt_max_rows"),
                )
            )
            if excess:
                number = self._remove("number", SQL("(last_seen, id) <= %s", tuple(excess[0])))
                removed, remaining = removed + number, int(number == GC_BATCH)
        return removed, remaining

    def _remove(self, reason, condition):
        """Remove a batch, the oldest first, and record it in the same transaction."""
        rows = self._query(
            SQL(
                """
                WITH removed AS (
                    DELETE FROM auth_attempt WHERE id IN (
                        SELECT id FROM auth_attempt WHERE %(condition)s
                        ORDER BY last_seen, id LIMIT %(batch)s
                    )
                    RETURNING outcome, count, first_seen, last_seen
                )
                INSERT INTO auth_attempt_removal
                    (date, reason, outcome, row_count, attempt_count, first_seen, last_seen)
                SELECT %(now)s, %(reason)s, outcome, count(*), sum(count), min(first_seen),
                    max(last_seen)
                FROM removed GROUP BY outcome
                RETURNING row_count
                """,
                condition=condition,
                batch=GC_BATCH,
                now=fields.Datetime.now(),
                reason=reason,
            )
        )
        return sum(row[0] for row in rows)

    @api.model
    def _correlation_key(self):
        """Key of the 16-bit hashes of unknown logins: another one every day, the last is gone."""
        today = fields.Date.to_string(fields.Date.today())
        [row] = self._query(
            SQL("SELECT value FROM auth_attempt_daily_key WHERE id = 1 AND day = %s", today)
        ) or self._query(
            SQL(
                """
                INSERT INTO auth_attempt_daily_key AS k (id, day, value)
                VALUES (1, %s, gen_random_uuid()::text)
                ON CONFLICT (id) DO UPDATE
                SET value = CASE WHEN k.day = EXCLUDED.day THEN k.value ELSE EXCLUDED.value END,
                    day = EXCLUDED.day
                RETURNING value
                """,
                today,
            )
        )
        return row[0].encode()


def _from_epoch(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None, microsecond=0)


def _is_text(value):
    """Whether text can be sent to PostgreSQL: half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_short_number(value):
    return type(value) is int and value.bit_length() <= 64


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


def _log_refusal(attempt):
    """One line per failure: address and cause first, then what the caller has chosen."""
    _logger.info(
        "Authentication refused: address=%s cause=%s channel=%s reference=%s database=%s user=%s"
        ' integration=%s agent="%s"',
        attempt.remote_addr or "n/a",
        attempt.cause,
        attempt.channel,
        attempt.reference,
        attempt.database,
        attempt.user_id or "-",
        attempt.integration_id or "-",
        agents.describe(attempt.user_agent, 128) or "-",
    )


def _log_unwritten(attempt, error):
    """The row could not be written: keep the whole attempt in the server log, one JSON line."""
    try:
        suppressed = _write_failures.admit()
        if suppressed is None:
            return
        decided = attempt.codes or attempt.outcome == "success" or attempt.completed
        _logger.error(
            "Attempt not written: %s",
            json.dumps(
                {
                    "address": attempt.remote_addr,
                    "outcome": attempt.outcome,
                    "cause": attempt.cause if decided else "undetermined",
                    "channel": attempt.channel,
                    "reference": attempt.reference,
                    "database": attempt.database,
                    "auth_type": attempt.auth_type,
                    "user": attempt.user_id,
                    "integration": attempt.integration_id,
                    "attribution": attempt.attribution,
                    "key": attempt.key_id,
                    "seen": fields.Datetime.to_string(fields.Datetime.now()),
                    "error": type(error).__name__,
                    "suppressed": suppressed,
                    "login": _loggable_identity(attempt),
                    "agent": agents.describe(attempt.user_agent, 128),
                }
            ),
        )
    except Exception:
        _logger.exception("An attempt could be written neither to the database nor here")


def _loggable_identity(attempt):
    if attempt.known_login:
        return escape(attempt.known_login)
    presented = attempt.presented_identity
    if presented is None or _is_short_number(presented):
        return presented
    if isinstance(presented, str):
        return f"<{len(presented)} characters>"
    return f"<{type(presented).__name__}>"
