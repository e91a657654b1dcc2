import hashlib
import hmac
import json
import secrets
from datetime import datetime, timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ...tools.attempt import causes
from ...tools.monitoring.openmetrics import Metric
from ..attempt.auth_attempt import CHANNELS

TOKEN = "auth_integration.metrics_token"
OTHER = "other"
OPEN_ROTATIONS = ("due", "delivering", "delivered", "overlap")
DAY = 24 * 60 * 60
# The cron job that counts findings runs at least every five minutes.
MAX_COUNT_AGE = timedelta(minutes=15)
OUTCOMES, CHANNEL_CODES = ("success", "failure"), tuple(code for code, _label in CHANNELS)


class AuthIntegrationMetrics(models.AbstractModel):
    """The metrics that Prometheus reads at ``/auth_integration/metrics``, and their token.

    Everything is read from the database in one transaction, so that every worker and server gives
    the same answer. No label has a value that was chosen by a client.
    """

    _name = "auth.integration.metrics"
    _description = "Metrics for Prometheus"

    # Token -----------------------------------------------------------------------------------

    def init(self):
        """Create the token at installation, or at an update if there is none."""
        if not self._token():
            self._renew_token()
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_integration_finding_count (
                id integer PRIMARY KEY CHECK (id = 1),
                counts json,
                counted_at timestamp
            );
            INSERT INTO auth_integration_finding_count (id) VALUES (1) ON CONFLICT DO NOTHING
            """
        )
        return super().init()

    @api.model
    def _token(self):
        """Return the token from the database, not from a cache; empty if there is none."""
        self.env["ir.config_parameter"].flush_model()
        rows = self.env.execute_query(
            SQL("SELECT value FROM ir_config_parameter WHERE key = %s", TOKEN)
        )
        return rows[0][0] if rows else ""

    @api.model
    def _renew_token(self):
        """Replace the token; the old one stops working."""
        token = secrets.token_urlsafe(32)
        self.env["ir.config_parameter"].sudo().set_param(TOKEN, token)
        return token

    @api.model
    def _is_token(self, presented):
        """Return whether the presented text is the token, compared in constant time."""
        token = self._token()
        digests = [
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            for text in (presented, token or secrets.token_urlsafe(32))
        ]
        return hmac.compare_digest(*digests)

    # Metrics ---------------------------------------------------------------------------------

    @api.model
    def _metrics(self):
        """Return all current metrics, for :func:`openmetrics.exposition`."""
        return [
            self._attempts(),
            self._keys(),
            self._days_to_expiry(),
            self._gauge("incidents_open", "Open incidents.", self._count_open_incidents()),
            self._findings(),
            self._rotations(),
            *self._log(),
        ]

    @staticmethod
    def _gauge(name, text, value):
        samples = {} if value is None else {(): value}
        return Metric(f"auth_integration_{name}", "gauge", text, (), samples)

    def _attempts(self):
        samples = {}
        for outcome, cause, channel, count in self.env["auth.attempt.counter"]._counts():
            labels = (
                _known(outcome, OUTCOMES),
                _known(cause, causes.CAUSES) if cause else "",
                _known(channel, CHANNEL_CODES),
            )
            samples[labels] = samples.get(labels, 0) + count
        return Metric(
            "auth_integration_attempts", "counter", "Attempts to authenticate since the log began.",
            ("outcome", "cause", "channel"), samples,
        )

    def _by_state(self, name, text, model, domain, states):
        """Return a gauge of the number of records in each of the given states."""
        groups = self.env[model].sudo()._read_group(domain, ["state"], ["__count"])
        samples = {(state,): 0 for state in states} | {
            (state,): count for state, count in groups if state in states
        }
        return Metric(f"auth_integration_{name}", "gauge", text, ("state",), samples)

    def _keys(self):
        keys = self.env["auth.integration.key"]
        states = [state for state, _label in keys._fields["state"].selection]
        return self._by_state("keys", "API keys on record.", keys._name, [], states)

    def _rotations(self):
        return self._by_state(
            "rotations_open", "Rotations that are not done yet.", "auth.integration.rotation",
            [("cancelled_at", "=", False)], OPEN_ROTATIONS,
        )

    def _days_to_expiry(self):
        """Return a gauge of the days until the next working key ends that is not being replaced.

        The gauge has no sample if there is no such key.
        """
        keys = self.env["auth.integration.key"].sudo()
        end = keys._effective_end_sql("k")
        [[seconds]] = self.env.execute_query(
            SQL(
                """
                SELECT extract(epoch FROM min(ends.at) - statement_timestamp() AT TIME ZONE 'UTC')
                FROM (
                    SELECT %(end)s AS at FROM auth_integration_key k
                    LEFT JOIN auth_integration i ON i.id = k.integration_id
                    WHERE k.retire_at IS NULL AND %(live)s AND i.active IS NOT FALSE
                ) ends
                """,
                end=end,
                live=keys._is_live_sql("k"),
            )
        )
        return self._gauge(
            "days_to_expiry", "Days until the next API key expires that is not being replaced.",
            None if seconds is None else float(seconds) / DAY,
        )

    def _count_open_incidents(self):
        return self.env["auth.integration.incident"].sudo().search_count([("state", "=", "open")])

    def _findings(self):
        findings = self.env["auth.integration.finding"]
        severities = [severity for severity, _label in findings._fields["severity"].selection]
        counted = self._stored_finding_counts()
        if counted is None:
            counted = self._count_findings()
        return Metric(
            "auth_integration_findings", "gauge", "Open issues, as of the last minutes.",
            ("severity",), {(severity,): counted.get(severity, 0) for severity in severities},
        )

    @api.model
    def _count_findings(self):
        """Count the open findings by severity, from a view over all keys and the log."""
        groups = self.env["auth.integration.finding"].sudo()._read_group(
            Domain("accepted", "=", False) & Domain("folded", "=", False),
            ["severity"],
            ["__count"],
        )
        return dict(groups)

    @api.model
    def _store_finding_counts(self):
        """Store the counts of findings for the next scrapes; a step of ``ir_cron_incidents``."""
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration_finding_count SET counts = %s, counted_at = %s",
                json.dumps(self._count_findings()),
                fields.Datetime.now(),
            )
        )

    @api.model
    def _stored_finding_counts(self):
        """Return the stored counts by severity; None if they are older than 15 minutes."""
        rows = self.env.execute_query(
            SQL(
                "SELECT counts FROM auth_integration_finding_count WHERE counted_at > %s",
                fields.Datetime.now() - MAX_COUNT_AGE,
            )
        )
        return rows[0][0] if rows else None

    def _log(self):
        rows, oldest = self._log_size()
        return (
            self._gauge("log_rows", "Rows of the log of attempts.", rows),
            self._gauge(
                "log_oldest_timestamp_seconds", "Time of the oldest row of the log of attempts.",
                oldest and (oldest - datetime(1970, 1, 1)).total_seconds(),
            ),
        )

    @api.model
    def _log_size(self):
        """Return the number of rows of the log, and the time of its oldest row or None.

        Only the newest rows are counted; the report has the number of rows in its closed hours.
        """
        [(rows, until)] = self.env.execute_query(
            SQL(
                "SELECT COALESCE(max(row_count), 0), COALESCE(max(until), '-infinity')::text"
                " FROM auth_attempt_report_zone WHERE zone = 'UTC'"
            )
        )
        [(newer, oldest)] = self.env.execute_query(
            SQL(
                """
                SELECT count(*), (SELECT min(last_seen) FROM auth_attempt)
                FROM auth_attempt WHERE last_seen >= %s::timestamp
                """,
                until,
            )
        )
        return rows + newer, oldest


def _known(value, registry):
    """Return a value as a label; values missing from the registry become :data:`OTHER`."""
    return value if value in registry else OTHER
