from datetime import datetime
from typing import NamedTuple

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ...tools.attempt import causes
from ...tools.health import probe
from ...tools.health.findings import ABOUT_CALLS, BY_CODE, codes_of
from .auth_integration_rejections import rejected_key

# Condition on a finding with the alias ``f``.
IS_OPEN = SQL("NOT f.accepted AND NOT f.folded")
NO_FINDINGS = ("ok", None, None, None)
REJECTED = codes_of("rejected")


class Finding(NamedTuple):
    """The columns of an open finding that are needed here."""

    id: int
    code: str
    severity: str
    cause: str | None
    rejected_key: int


class AuthIntegration(models.Model):
    """The current state of an integration: its health, its last calls, and counts."""

    _inherit = "auth.integration"
    _sql_computed = {
        "last_success": "_last_success_sql",
        "last_failure": "_last_failure_sql",
        "last_cause": "_last_cause_sql",
        "health": "_health_sql",
        "status": "_status_sql",
        "next_expiry": "_next_expiry_sql",
        "is_never_called": "_never_called_sql",
    }

    live_key_count = fields.Integer("Current Keys", compute="_compute_counts")
    open_rotation_count = fields.Integer("Open Rotations", compute="_compute_counts")
    has_key_to_claim = fields.Boolean(compute="_compute_has_key_to_claim")
    finding_ids = fields.One2many(
        "auth.integration.finding",
        string="Open Issues",
        compute="_compute_from_findings",
        compute_sudo=True,
    )
    main_finding_ids = fields.One2many(
        "auth.integration.finding",
        string="Most Severe Issue",
        compute="_compute_from_findings",
        compute_sudo=True,
    )
    main_issue = fields.Char(compute="_compute_from_findings", compute_sudo=True)
    finding_count = fields.Integer(
        "Issues", compute="_compute_from_findings", compute_sudo=True
    )
    more_finding_count = fields.Integer(
        "More Issues", compute="_compute_from_findings", compute_sudo=True
    )
    health = fields.Selection(
        [("ok", "OK"), ("warning", "Warning"), ("critical", "Critical")],
        compute="_compute_from_findings",
        compute_sudo=True,
        search="_search_health",
        help="The severity of the worst open issue.",
    )
    last_success = fields.Datetime(
        "Last Successful Call", compute="_compute_from_sql", compute_sudo=True,
        search="_search_last_success",
    )
    last_failure = fields.Datetime(
        "Last Rejected Call", compute="_compute_from_sql", compute_sudo=True,
        search="_search_last_failure",
    )
    last_cause = fields.Selection(
        lambda self: self.env["auth.attempt"]._selection_cause(),
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_last_cause",
        help="Why the last rejected attempt was rejected.",
    )

    def _last_attempt_sql(self, alias, outcome, column):
        return SQL(
            "(SELECT a.%s FROM auth_attempt a WHERE a.integration_id = %s AND a.outcome = %s"
            f" AND NOT {probe.IS_DIAGNOSTIC}"
            " ORDER BY a.last_seen DESC LIMIT 1)",
            SQL.identifier(column),
            SQL.identifier(alias, "id"),
            outcome,
        )

    def _last_success_sql(self, alias):
        return self._last_attempt_sql(alias, "success", "last_seen")

    def _last_failure_sql(self, alias):
        return self._last_attempt_sql(alias, "failure", "last_seen")

    def _last_cause_sql(self, alias):
        return self._last_attempt_sql(alias, "failure", "cause")

    def _health_sql(self, alias):
        """Return the SQL of the severity of the worst open finding, for searches.

        The findings are looked up once per query, not once per row.
        """
        return SQL(
            """
            COALESCE((
                SELECT jsonb_object_agg(worst.integration_id, worst.health) FROM (
                    SELECT f.integration_id, %s AS health
                    FROM auth_integration_finding f
                    WHERE f.severity <> 'info' AND NOT f.accepted AND NOT f.folded
                      AND f.integration_id IS NOT NULL
                    GROUP BY f.integration_id
                ) worst
            ) ->> %s::text, 'ok')
            """,
            self._health_of_findings_sql(),
            SQL.identifier(alias, "id"),
        )

    def _health_of_findings_sql(self):
        """Return the SQL of the health by the findings ``f`` of one integration, open or not."""
        return SQL(
            """
            CASE WHEN bool_or(f.severity = 'critical') FILTER (WHERE %(is_open)s) THEN 'critical'
                 WHEN bool_or(f.severity = 'warning') FILTER (WHERE %(is_open)s) THEN 'warning'
                 ELSE 'ok' END
            """,
            is_open=IS_OPEN,
        )

    def _search_health(self, operator, value):
        """Return the search domain of ``health``, which reads only findings of some severities."""
        if operator not in ("in", "not in"):
            return NotImplemented

        def with_findings(severities, having="TRUE"):
            return Domain(
                "id",
                "in",
                SQL(
                    """(
                    SELECT f.integration_id FROM auth_integration_finding f
                    WHERE f.severity IN %s AND NOT f.accepted AND NOT f.folded
                      AND f.integration_id IS NOT NULL
                    GROUP BY f.integration_id HAVING %s
                    )""",
                    severities,
                    SQL(having),
                ),
            )

        not_ok = ("critical", "warning")
        domains = {
            "critical": with_findings(("critical",)),
            "warning": with_findings(not_ok, "bool_and(f.severity = 'warning')"),
            "ok": ~with_findings(not_ok),
        }
        wanted = Domain.OR(domains[health] for health in value if health in domains)
        return wanted if operator == "in" else ~wanted

    def _search_last_success(self, operator, value):
        return self._search_from_sql("last_success", operator, value)

    def _search_last_failure(self, operator, value):
        return self._search_from_sql("last_failure", operator, value)

    def _search_last_cause(self, operator, value):
        return self._search_from_sql("last_cause", operator, value)

    @api.depends("key_ids")
    def _compute_counts(self):
        live = dict(
            self.env["auth.integration.key"]._read_group(
                [("integration_id", "in", self.ids), ("is_live", "=", True)],
                ["integration_id"],
                ["__count"],
            )
        )
        rotations = dict(
            self.env["auth.integration.rotation"]._read_group(
                [
                    ("integration_id", "in", self.ids),
                    ("state", "in", ("due", "delivering", "delivered", "overlap")),
                ],
                ["integration_id"],
                ["__count"],
            )
        )
        for integration in self:
            integration.open_rotation_count = rotations.get(integration, 0)
            integration.live_key_count = live.get(integration, 0)

    def _compute_has_key_to_claim(self):
        waiting = self._rotations_to_claim().integration_id
        for integration in self:
            integration.has_key_to_claim = integration._origin in waiting

    def _rotations_to_claim(self):
        """Return the rotations of these integrations that wait for an owner, most urgent first."""
        rotations = self.env["auth.integration.rotation"].search(
            [
                ("integration_id", "in", self.ids),
                ("delivery", "in", self.env["auth.integration.delivery"]._codes("_asks_owners")),
                ("state", "=", "due"),
            ]
        )
        return rotations.sorted(lambda rotation: rotation.deadline or datetime.max)

    @api.depends("is_never_called", "active")
    @api.depends_context("lang")
    def _compute_from_findings(self):
        """Compute all fields that follow from the findings, in one query.

        They are not stored, because findings appear and disappear without any record being written.
        """
        found = self._found_findings()
        findings = self.env["auth.integration.finding"]
        solved, to_fix = self.browse(
            id_ for id_, (*_texts, rows) in found.items()
            if any(code in ABOUT_CALLS for _id, code, *_rest in rows or ())
        )._review_calls()
        for integration in self:
            id_ = integration._origin.id
            health, status, only_calls, rows = found.get(id_) or NO_FINDINGS
            rows = [Finding(*row) for row in rows or ()]
            unsolved = [
                row for row in rows
                if (row.severity == "critical" or row.code in REJECTED)
                and (row.code not in ABOUT_CALLS or (id_, row.rejected_key) not in solved)
            ]
            if only_calls and not unsolved:
                status = "waiting"
            # A fixed issue must not hide one that still fails.
            main = (unsolved or [row for row in rows if row.severity != "info"])[:1]
            integration.health = health
            integration.status = integration._status_by_findings(status)
            integration.finding_ids = findings.browse(row.id for row in rows)
            integration.main_finding_ids = findings.browse(row.id for row in main)
            integration.main_issue = bool(main) and self._issue_title(
                *main, to_fix.get((id_, main[0].rejected_key))
            )
            integration.finding_count = len(integration.finding_ids)
            shown = integration.main_finding_ids
            integration.more_finding_count = len(integration.finding_ids - shown) if shown else 0

    def _found_findings(self):
        """Return health, status and open findings, by the ids of the integrations with findings."""
        self.env.flush_all()
        return {
            integration: values
            for integration, *values in self.env.execute_query(
                SQL(
                    """
                    SELECT f.integration_id, %(health)s, %(status)s, %(only_calls)s,
                           jsonb_agg(jsonb_build_array(
                                   f.id, f.code, f.severity, f.cause, %(rejected_key)s
                               ) ORDER BY f.severity_rank, f.since DESC, f.id)
                               FILTER (WHERE %(is_open)s)
                    FROM auth_integration_finding f WHERE f.integration_id IN %(ids)s
                    GROUP BY f.integration_id
                    """,
                    health=self._health_of_findings_sql(),
                    status=self._status_of_findings_sql(),
                    only_calls=self._only_calls_fail_sql(),
                    rejected_key=rejected_key("f"),
                    is_open=IS_OPEN,
                    ids=tuple(self.ids),
                )
            )
        } if self.ids else {}

    def _issue_title(self, finding, rejected):
        """Return the title of the cause of rejected calls, or else of the issue.

        :param rejected: the incident or attempt that is still to be fixed, if there is one
        """
        code = finding.cause
        if rejected and finding.code in ABOUT_CALLS:
            is_other = rejected.open_cause != rejected.cause
            code = rejected.open_cause if code or is_other else None
        cause = code and causes.get(code)
        return self.env._((cause or BY_CODE[finding.code]).title)

    def action_view_findings(self):
        """Show the issues of this integration."""
        return self._action_view("auth_integration_finding_action", search_default_open=1)
