from datetime import datetime, time, timedelta

import pytz
from odoo import fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ...tools.health import probe
from .auth_attempt import CHANNELS

DIMENSIONS = SQL("outcome, cause, channel, integration_id")


class AuthAttemptReport(models.Model):
    """Number of attempts by day, outcome, cause, protocol and integration, for charts and pivots.

    Days are those of the reader's time zone. The table holds the closed hours, one row per zone,
    day and dimensions, and is maintained by ``auth_attempt_report_rollup.py``. Newer attempts are
    read from the log in the same query, so that every figure is exact at any moment. A zone that
    has not been rolled up yet is read from the log alone.
    """

    _name = "auth.attempt.report"
    _description = "Attempt Analysis"
    _inherit = [
        "auth.integration.append.only.mixin",
        "auth.attempt.links.mixin",
        "auth.integration.defaults.mixin",
    ]
    _auto = False
    _log_access = False
    _allow_sudo_commands = False
    _order = "day desc, count desc, id desc"
    _rec_name = "day"

    day = fields.Date(readonly=True)
    outcome = fields.Selection([("success", "Accepted"), ("failure", "Rejected")], readonly=True)
    cause = fields.Selection(
        lambda self: self.env["auth.attempt"]._selection_cause(), readonly=True
    )
    channel = fields.Selection(CHANNELS, "Protocol", readonly=True)
    integration_id = fields.Many2one("auth.integration", readonly=True)
    count = fields.Integer("Attempts", readonly=True, aggregator="sum")
    row_count = fields.Integer("Log Rows", readonly=True, aggregator="sum")

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_attempt_report (
                id bigserial PRIMARY KEY,
                zone varchar NOT NULL,
                day date NOT NULL,
                outcome varchar NOT NULL,
                cause varchar,
                channel varchar NOT NULL,
                integration_id integer,
                count bigint NOT NULL,
                row_count bigint NOT NULL
            );
            CREATE UNIQUE INDEX IF NOT EXISTS auth_attempt_report_key ON auth_attempt_report
                (zone, day, outcome, COALESCE(cause, ''), channel, COALESCE(integration_id, 0));
            CREATE TABLE IF NOT EXISTS auth_attempt_report_zone (
                zone varchar PRIMARY KEY,
                until timestamp NOT NULL
            );
            -- Rows of the log that the table counts in this zone.
            ALTER TABLE auth_attempt_report_zone
                ADD COLUMN IF NOT EXISTS row_count bigint NOT NULL DEFAULT 0;
            CREATE TABLE IF NOT EXISTS auth_attempt_report_invalid (since timestamp NOT NULL);
            """
        )

    # Reading ---------------------------------------------------------------------------------

    @property
    def _table_sql(self):
        """Extend :meth:`_table_sql`: combine the table with the newest rows of the log.

        This is not a ``_table_query``, because the registry evaluates that while it is loaded,
        before an upgrade has created the tables.
        """
        zone = self._zone().zone
        day, complete, until = self._boundary(zone)
        return SQL(
            """(
            SELECT id, day, %(dimensions)s, count, row_count FROM auth_attempt_report
            WHERE zone = %(zone)s AND day < %(day)s AND count > 0
            UNION ALL
            SELECT max(id), day, %(dimensions)s, sum(count)::bigint, sum(row_count)::bigint
            FROM (
                SELECT id, day, %(dimensions)s, count, row_count FROM auth_attempt_report
                WHERE zone = %(zone)s AND day >= %(day)s AND %(complete)s
                UNION ALL
                SELECT -id, %(log_day)s, %(dimensions)s,
                    CASE WHEN %(diagnostic)s THEN 0 ELSE count END, 1 FROM auth_attempt
                WHERE last_seen >= %(until)s
            ) recent
            GROUP BY day, %(dimensions)s
            HAVING sum(count) > 0
            )""",
            diagnostic=SQL(probe.IS_DIAGNOSTIC),
            dimensions=DIMENSIONS,
            zone=zone,
            day=day,
            complete=complete,
            log_day=local_day(SQL("last_seen"), zone),
            until=until,
        )

    def _zone(self):
        """Return the reader's time zone, determined as for any grouping by date in Odoo."""
        name = self.env.context.get("tz")
        return pytz.timezone(name) if name in pytz.all_timezones_set else pytz.utc

    def _in_rolled_up_zone(self):
        """Return the model in the reader's time zone or, if that is not rolled up, in UTC."""
        rolled_up = self.env.execute_query(
            SQL("SELECT zone FROM auth_attempt_report_zone WHERE zone = %s", self._zone().zone)
        )
        return self if rolled_up else self.with_context(tz="UTC")

    def _boundary(self, zone):
        """Return where the table ends and the log begins.

        :return: the first day for which the log is read, whether the table's rows from that day on
            count too, and the moment from which rows of the log count
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT until, %(until_day)s, since < until, %(since_day)s, %(since_start)s
                FROM auth_attempt_report_zone,
                    (SELECT min(since) AS since FROM auth_attempt_report_invalid) invalid
                WHERE zone = %(zone)s
                """,
                until_day=local_day(SQL("until"), zone),
                since_day=local_day(SQL("since"), zone),
                since_start=start_of_day(local_day(SQL("since"), zone), zone),
                zone=zone,
            )
        )
        if not rows:
            return "-infinity", False, "-infinity"
        [(until, until_day, is_invalid, since_day, since_start)] = rows
        return (since_day, False, since_start) if is_invalid else (until_day, True, until)

    # Actions ---------------------------------------------------------------------------------

    def action_view_attempts(self):
        """Show the attempts in the log that this row counts."""
        self.ensure_one()
        zone = self._zone()
        begin, end = (
            zone.localize(datetime.combine(day, time())).astimezone(pytz.utc).replace(tzinfo=None)
            for day in (self.day, self.day + timedelta(days=1))
        )
        domain = Domain("last_seen", ">=", begin) & Domain("last_seen", "<", end)
        for name in ("outcome", "cause", "channel"):
            domain &= Domain(name, "=", self[name])
        # Unlike the field, a group has the id of an integration even after its deletion.
        [[integration]] = self._read_group([("id", "=", self.id)], ["integration_id"])
        domain &= Domain("integration_id", "=", integration.id)
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "auth_integration.auth_attempt_action"
        )
        return action | {"domain": list(domain), "context": {}}


def local_day(moment, zone):
    """Return SQL for the day of a moment in UTC, in a time zone."""
    return SQL("(%s AT TIME ZONE 'UTC' AT TIME ZONE %s)::date", moment, zone)


def start_of_day(day, zone):
    """Return SQL for the moment, in UTC, at which a day of a time zone begins.

    It is computed as one minute after the last minute of the day before: where clocks are set back
    to midnight, midnight occurs twice, and PostgreSQL would return the second one.
    """
    return SQL(
        "((%s - interval '1 minute') AT TIME ZONE %s + interval '1 minute') AT TIME ZONE 'UTC'",
        day,
        zone,
    )
