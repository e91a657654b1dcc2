from datetime import timedelta

import pytz
from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.health import findings
from ...tools.key.key_state import JOIN_NATIVE_SQL, JOINED_END_SQL, LIVE_SQL
from .auth_integration_rejections import rejected_key
from .auth_integration_status import IS_OPEN

HISTORY_DAYS = 7
# Worst first; the overview is sorted in this order.
STATUSES = ("failing", "rejected", "expiring", "waiting", "to_set_up", "working")
IS_FAILING = SQL(
    "%s AND f.severity = 'critical' AND f.code IN %s", IS_OPEN, findings.codes_of("failing")
)
IS_REJECTED = SQL("%s AND f.code IN %s", IS_OPEN, findings.codes_of("rejected"))
CALLS_FAIL = SQL("(%s OR %s)", IS_FAILING, IS_REJECTED)
STATUS_COLORS = {
    "failing": 1, "rejected": 2, "expiring": 3, "waiting": 4, "to_set_up": 4, "working": 10,
}


class AuthIntegration(models.Model):
    """Overview fields, computed for many integrations at once, whatever the size of the log."""

    _inherit = "auth.integration"

    status = fields.Selection(
        [
            ("failing", "Failing"),
            ("rejected", "Last Call Rejected"),
            ("expiring", "Expiring"),
            ("waiting", "Waiting for Next Call"),
            ("to_set_up", "To Set Up"),
            ("working", "Working"),
        ],
        compute="_compute_from_findings",
        compute_sudo=True,
        search="_search_status",
        help="Failing: calls are rejected. Last call rejected: one or two calls were rejected and"
             " none has succeeded since. Expiring: a key must be replaced. Waiting for next call:"
             " the reason for rejected calls has been fixed. To set up: no call has succeeded yet.",
    )
    status_color = fields.Integer(compute="_compute_status_color")
    next_expiry = fields.Datetime(
        "Next Expiration",
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_next_expiry",
        help="When the first of its active keys expires.",
    )
    call_history = fields.Json(
        "Calls, 7 Days",
        compute="_compute_call_history",
        help="Accepted and rejected calls of each day.",
    )
    attempt_failure_count = fields.Integer("Rejected, 7 Days", compute="_compute_call_history")

    # Status ----------------------------------------------------------------------------------

    def _sql_expression(self, alias, field_name, query=None):
        """Extend ``_sql_expression``: join the findings for the status once per query."""
        if field_name != "status" or query is None:
            return super()._sql_expression(alias, field_name, query)
        found = query.make_alias(alias, "status")
        if found not in query._joins:
            query.add_join("LEFT JOIN", found, self._found_statuses_sql(), SQL("TRUE"))
        return self._status_sql(alias, SQL.identifier(found, "by_id"))

    def _status_sql(self, alias, found=None):
        """Return the SQL of the status, for searches.

        The findings are looked up once per query, not once per row.

        :param found: SQL of the statuses by findings, if they are looked up elsewhere
        """
        return SQL(
            """
            CASE WHEN %(active)s THEN COALESCE(
                %(found)s ->> %(id)s::text,
                CASE WHEN %(never_called)s THEN 'to_set_up' ELSE 'working' END) END
            """,
            active=SQL.identifier(alias, "active"),
            found=found or self._found_statuses_sql(),
            id=SQL.identifier(alias, "id"),
            never_called=self._never_called_sql(alias),
        )

    def _found_statuses_sql(self):
        """Return the SQL of one row: the statuses that follow from findings, by integration id."""
        return SQL(
            """(
                SELECT jsonb_object_agg(found.integration_id, found.status) AS by_id FROM (
                    SELECT f.integration_id, CASE
                        WHEN %(only_calls)s AND %(all_fixed)s THEN 'waiting'
                        ELSE %(status)s END AS status
                    FROM auth_integration_finding f
                    WHERE f.code IN %(codes)s AND f.integration_id IS NOT NULL
                    GROUP BY f.integration_id
                ) found WHERE found.status IN ('failing', 'rejected', 'waiting') OR NOT EXISTS (
                    SELECT FROM auth_integration i
                    WHERE i.id = found.integration_id AND %(never_called)s)
            )""",
            only_calls=self._only_calls_fail_sql(),
            all_fixed=SQL(
                "bool_and((f.integration_id, %s) IN (SELECT * FROM %s)) FILTER (WHERE %s)",
                rejected_key("f"), self._fixed_issues_sql(), CALLS_FAIL,
            ),
            status=self._status_of_findings_sql(),
            codes=sum(map(findings.codes_of, ("failing", "rejected", "expiring")), ()),
            never_called=self._never_called_sql("i"),
        )

    def _status_of_findings_sql(self):
        """Return the SQL of the status by the findings ``f`` of one integration, or NULL.

        An expired key that is still called has a single visible finding, which is about the key.
        """
        return SQL(
            """
            CASE WHEN bool_or(%(is_failing)s)
                   OR bool_or(%(is_open)s AND f.code = 'key_expired')
                      AND bool_or(f.code = 'key_expired_still_used') THEN 'failing'
                 WHEN bool_or(%(is_rejected)s) THEN 'rejected'
                 WHEN bool_or(%(is_open)s AND f.code IN %(expiring)s) THEN 'expiring' END
            """,
            is_open=IS_OPEN,
            is_failing=IS_FAILING,
            is_rejected=IS_REJECTED,
            expiring=findings.codes_of("expiring"),
        )

    def _only_calls_fail_sql(self):
        """Return the SQL of whether only calls fail, by the findings ``f`` of an integration."""
        return SQL(
            "bool_and(f.code IN %s) FILTER (WHERE %s)", findings.ABOUT_CALLS, CALLS_FAIL
        )

    def _status_by_findings(self, status):
        """Return the status of this integration from that of its findings; see ``_status_sql``."""
        if not (self._origin.id and self.active):
            return False
        if self.is_never_called and status not in ("failing", "rejected", "waiting"):
            return "to_set_up"
        return status or "working"

    def _never_called_sql(self, alias):
        return SQL(
            findings.NEVER_CALLED.format(integration="%(id)s", created="%(created)s"),
            id=SQL.identifier(alias, "id"),
            created=SQL.identifier(alias, "create_date"),
        )

    def _search_status(self, operator, value):
        return self._search_from_sql("status", operator, value)

    def _order_field_to_sql(self, alias, field_name, direction, nulls, query):
        """Extend ``_order_field_to_sql``: sort the status from worst to best."""
        if field_name == "status":
            rank = SQL(
                "array_position(%s, %s::text)",
                list(STATUSES), self._field_to_sql(alias, field_name, query),
            )
            return SQL("%s %s %s", rank, direction, nulls)
        return super()._order_field_to_sql(alias, field_name, direction, nulls, query)

    @api.depends("status")
    def _compute_status_color(self):
        """Compute the kanban color number of the edge of the card."""
        for integration in self:
            integration.status_color = STATUS_COLORS.get(integration.status, 0)

    # Keys ------------------------------------------------------------------------------------

    def _next_expiry_sql(self, alias):
        """Return the SQL of the first end of a live key that is not in its overlap."""
        return SQL(
            f"""(
            SELECT min({JOINED_END_SQL.format(k="k")})
            FROM auth_integration_key k {JOIN_NATIVE_SQL.format(k="k")}
            WHERE k.integration_id = %s AND k.retire_at IS NULL AND {LIVE_SQL.format(k="k")}
            )""",
            SQL.identifier(alias, "id"),
        )

    def _search_next_expiry(self, operator, value):
        return self._search_from_sql("next_expiry", operator, value)

    # Calls -----------------------------------------------------------------------------------

    def _compute_call_history(self):
        """Count the calls of each of the last days, from the daily totals instead of the log.

        Days are those of the user's time zone, as in the analysis of attempts.
        """
        report = self.env["auth.attempt.report"].sudo()._in_rolled_up_zone()
        today = pytz.utc.localize(fields.Datetime.now()).astimezone(report._zone()).date()
        days = [today - timedelta(days=ago) for ago in reversed(range(HISTORY_DAYS))]
        # The totals have only ids. Users who may read an integration may read its totals.
        counts = {
            (integration.id, day, outcome): count
            for integration, day, outcome, count in report._read_group(
                [("integration_id", "in", self.ids), ("day", ">=", days[0])],
                ["integration_id", "day:day", "outcome"],
                ["count:sum"],
            )
        }
        for integration in self:
            of_days = [
                {
                    "day": fields.Date.to_string(day),
                    "accepted": counts.get((integration._origin.id, day, "success"), 0),
                    "rejected": counts.get((integration._origin.id, day, "failure"), 0),
                }
                for day in days
            ]
            integration.call_history = of_days
            integration.attempt_failure_count = sum(day["rejected"] for day in of_days)
