import logging

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.fields import Domain
from odoo.tools import SQL

from ...tools.attempt import causes, log_schema, references
from ...tools.throttle.counters_sql import COLUMNS

_logger = logging.getLogger(__name__)

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
# Attempts with equal values in all of these columns share one row per bucket.
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
    "operation",
    "similar_key_id",
)


class AuthAttempt(models.Model):
    """The append-only log of authentication attempts, written on database connections of its own.

    Equal attempts within a bucket (a minute for failures, an hour for successes) share a row with
    an exact ``count``.  The table is created by SQL with wide ids and without foreign keys, so that
    the deletion of a user is not blocked by the log and does not blank any of its rows.

    Rows are written in ``auth_attempt_recorder.py``, completed for refused attempts in
    ``auth_attempt_enrichment.py``, removed in ``auth_attempt_retention.py`` and counted in
    ``auth_attempt_report.py``.
    """

    _name = "auth.attempt"
    _description = "Sign-in Attempt"
    _inherit = [
        "auth.integration.append.only.mixin",
        "auth.attempt.links.mixin",
        "auth.integration.guide.link.mixin",
        "auth.integration.defaults.mixin",
    ]
    _auto = False
    _log_access = False
    _allow_sudo_commands = False
    _order = "last_seen desc, id desc"
    _rec_name = "reference"

    outcome = fields.Selection([("success", "Accepted"), ("failure", "Rejected")], readonly=True)
    cause = fields.Selection("_selection_cause", readonly=True)
    cause_explanation = fields.Text("What happened", compute="_compute_cause_texts")
    cause_remedy = fields.Text("What to do", compute="_compute_cause_texts")
    channel = fields.Selection(CHANNELS, "Protocol", readonly=True)
    auth_type = fields.Char(
        "Authentication Type", readonly=True,
        help="The authentication method (auth=) of the HTTP route.",
    )
    login = fields.Char(
        readonly=True, help="An unknown login is described, never stored as typed."
    )
    user_id = fields.Many2one("res.users", readonly=True)
    integration_id = fields.Many2one("auth.integration", readonly=True)
    attribution = fields.Selection(
        [("login", "Login"), ("key", "Key"), ("address", "Address")],
        readonly=True,
        help="How the integration was identified. Key: by the key, or by a key that starts with the"
             " same characters. Address: it is the only one with recent successful calls from"
             " there.",
    )
    key_id = fields.Many2one("auth.integration.key", "API Key", readonly=True)
    remote_addr = fields.Char("Address", readonly=True)
    user_agent = fields.Char(readonly=True)
    database = fields.Char(readonly=True)
    reference = fields.Char(
        readonly=True, help="The code that the caller got in the X-Auth-Reference response header."
    )
    operation = fields.Char(
        readonly=True, help="The model and method that the key cannot call."
    )
    similar_key_id = fields.Many2one(
        "auth.integration.key", readonly=True,
        help="The unknown key starts with the same 8 characters as this key.",
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
    @api.depends_context("uid")
    def _compute_cause_texts(self):
        for row in self:
            cause = causes.CAUSES.get(row.cause)
            row.cause_explanation = cause and self.env._(cause.explanation)
            row.cause_remedy = cause and row._remedy_for_reader(cause.code)

    def init(self):
        self.env.cr.execute(log_schema.TABLES)
        self.env.cr.execute(log_schema.INDEXES)
        self.env.cr.execute(log_schema.FORMER_INDEXES)

    def _register_hook(self):
        """Enable the hooks of this registry if the database has the columns that they use."""
        super()._register_hook()
        registry = self.env.registry
        registry.auth_integration_reference_key = self._reference_key()
        registry.auth_integration_ready = self._schema_is_current()

    def _schema_is_current(self):
        """Return whether the database has every column that the hooks use.

        Columns are missing after the files were updated without running ``-u``.
        """
        needed = self._needed_columns()
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

    def _needed_columns(self):
        """Return the columns that the hooks use, by table.

        :rtype: dict[str, set[str]]
        """
        needed = {
            "auth_attempt": {"bucket", *IDENTIFYING_COLUMNS, "count", "first_seen", "last_seen"},
            "auth_attempt_daily_key": {"id", "day", "value"},
            "auth_attempt_report_invalid": {"since"},
            "auth_attempt_late": {"since", "at"},
            "auth_attempt_counter": {"outcome", "cause", "channel", "count"},
            "auth_attempt_counter_until": {"until"},
            "auth_integration_session_end": {"user_id", "ends"},
            "auth_attempt_budget": {"name", "start", "rows"},
            "auth_throttle": COLUMNS,
            **{
                self.env[model]._table: {
                    field.name for field in self.env[model]._fields.values() if field.column_type
                    and field.store
                }
                for model in (
                    "auth.integration",
                    "auth.integration.key",
                    "auth.integration.key.address",
                    "auth.integration.key.operation",
                    "auth.integration.policy",
                )
            },
        }
        needed["auth_integration_key"] |= {"hash", "digest"}
        return needed

    @api.model
    def _reference_key(self):
        """Return the key that references are made with, derived from the database secret.

        Every worker therefore makes the same references. The key is read once, when the registry
        is loaded, so that a response has a reference even if the database can no longer be read.
        """
        secret = self.env["ir.config_parameter"].sudo().get_param("database.secret") or ""
        return f"auth_integration.reference:{secret}".encode()

    # Reading ---------------------------------------------------------------------------------

    @api.depends("reference", "cause")
    def _compute_display_name(self):
        titles = dict(self._selection_cause())
        for row in self:
            row.display_name = row.reference or titles.get(row.cause) or self.env._("Accepted")

    @api.model
    def _search(self, domain, *args, **kwargs):
        """Extend ``_search``: normalize references, however they were typed or dictated."""

        def as_written(condition):
            if condition.field_expr != "reference" or not isinstance(condition.value, str):
                return condition
            meant = references.normalize(condition.value)
            return Domain("reference", condition.operator, meant) if meant else condition

        return super()._search(Domain(domain).map_conditions(as_written), *args, **kwargs)

    @api.model
    def explain_reference(self, reference):
        """Explain to any internal user why the attempt with a reference was refused.

        The result tells when and how the attempt was made, but not by whom or from where: that is
        only for users who may read the log.

        :param str reference: the value of the header ``X-Auth-Reference``, however typed
        :return: one dictionary per row: ``cause``, ``title``, ``explanation``, ``remedy``,
            ``channel``, ``first_seen``, ``last_seen`` (UTC strings) and ``count``
        :rtype: list[dict]
        """
        if not self.env.user._is_internal():
            raise AccessError(self.env._("Only internal users can look up references."))
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
