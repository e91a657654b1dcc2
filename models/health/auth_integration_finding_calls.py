from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.health import probe
from .auth_integration_finding_fix import OF_REJECTED_CALLS

# The cause of rejected calls, for findings that have none of their own.
CAUSE_OF_CODE = dict.fromkeys(
    ("archived_user_live_key", "archived_user_still_called"), "user_archived"
)
# Fixes on the form of an attempt for which a finding has buttons too.
FIXES_OF_CALLS = (
    "restore_user", "issue_key", "view_rotation", "add_network", "allow_protocol", "unlock",
)
# Issues about keys whose incidents are about calls with these keys.
OF_ENDED_KEYS = ("key_expired", "key_expired_still_used", "no_valid_key")


class AuthIntegrationFinding(models.Model):
    """Offer the fixes of the last rejected attempt; dismiss issues about hosts no longer in use."""

    _inherit = "auth.integration.finding"

    attempt_id = fields.Many2one(
        "auth.attempt", compute="_compute_attempt_id",
        help="The last rejected attempt, which decides what helps.",
    )
    was_asked = fields.Boolean(compute="_compute_can_ask")
    can_ask = fields.Boolean(compute="_compute_can_ask")
    may_dismiss = fields.Boolean(compute="_compute_may_dismiss")
    has_incident = fields.Boolean(compute="_compute_has_incident")

    @api.depends("code", "cause", "integration_id", "is_solved")
    def _compute_attempt_id(self):
        """Look up all attempts in one query; none for other findings, or for what is fixed."""
        failing = self.filtered(
            lambda one: one.integration_id
            and (one.code in OF_REJECTED_CALLS and not one.is_solved or one.code in CAUSE_OF_CODE)
        )
        found = dict(
            self.env.execute_query(
                SQL(
                    f"""
                    SELECT wanted.id, (
                        SELECT a.id FROM auth_attempt a
                        WHERE a.integration_id = wanted.integration_id AND a.outcome = 'failure'
                          AND a.cause = wanted.cause AND NOT {probe.IS_DIAGNOSTIC}
                        ORDER BY a.last_seen DESC LIMIT 1)
                    FROM unnest(%s::int[], %s::int[], %s::text[])
                        AS wanted(id, integration_id, cause)
                    """,
                    failing.ids,
                    [one.integration_id.id for one in failing],
                    [CAUSE_OF_CODE.get(one.code) or one.rejected_cause for one in failing],
                )
            )
        ) if failing else {}
        for finding in self:
            finding.attempt_id = found.get(finding.id)

    @api.depends("attempt_id", "integration_id", "user_id")
    @api.depends_context("uid")
    def _compute_can_ask(self):
        requests = self.env["auth.integration.admin.request"]
        for finding in self:
            if finding._is_of_archived_user():
                cause = CAUSE_OF_CODE[finding.code]
                was_asked = requests._was_made(finding.integration_id, cause)
                finding.was_asked, finding.can_ask = was_asked, not was_asked
            else:
                finding.was_asked = finding.attempt_id.was_asked
                finding.can_ask = finding.attempt_id.can_ask

    def _is_of_archived_user(self):
        """Return whether this is about an archived user whom the current user cannot restore.

        No call may have been rejected for it yet, or only calls with another fault too.
        """
        return (
            self.code in CAUSE_OF_CODE
            and bool(self.integration_id)
            and not self.env.su
            and not self.integration_id._may_restore_user()
        )

    def _fix(self):
        """Extend ``_fix``: offer what fixes the rejected calls, or asking those who may fix it."""
        fix = super()._fix()
        attempt = self.attempt_id
        if self.can_ask:
            return "ask_administrator"
        if attempt.primary_fix in FIXES_OF_CALLS and not attempt.was_asked:
            return attempt.primary_fix
        return fix

    def _case_remedy(self):
        """Extend ``_case_remedy`` by the remedy of the attempt for this reader."""
        return super()._case_remedy() or self.attempt_id.cause_remedy

    def action_ask_add_network(self):
        """Open the dialog that asks whether to allow the address of the last rejected call."""
        self.ensure_one()
        return self.attempt_id.action_ask_add_network()

    def action_fix_allow_protocol(self):
        """Allow the protocol of the last rejected call."""
        self.ensure_one()
        return self.attempt_id.action_fix_allow_protocol()

    def action_ask_administrator(self):
        """Ask those who can fix this."""
        self.ensure_one()
        self.check_access("read")
        if self._is_of_archived_user():
            self.env["auth.integration.admin.request"]._make(
                self.integration_id,
                CAUSE_OF_CODE[self.code],
                [self.message, self.remedy],
                self.integration_id,
                attempt=self.attempt_id,
            )
        else:
            self.attempt_id.action_ask_administrator()
        self.invalidate_recordset()
        return True

    @api.depends("code", "integration_id")
    @api.depends_context("uid")
    def _compute_has_incident(self):
        for finding in self:
            finding.has_incident = (
                finding.code in (*OF_REJECTED_CALLS, *CAUSE_OF_CODE, *OF_ENDED_KEYS)
                and bool(finding.integration_id.open_incident_id)
            )

    def action_open_incident(self):
        """Open the latest incident, of the same cause if there is one.

        It says how it closes, and can be dismissed.

        :raise UserError: none is open any longer
        """
        self.ensure_one()
        incidents = self.env["auth.integration.incident"].search(
            [
                ("integration_id", "=", self.integration_id.id),
                ("kind", "=", "failing"),
                ("is_open", "=", True),
            ]
        )
        if not incidents:
            raise UserError(self.env["auth.integration.rejection.mixin"]._outdated_action())
        cause = CAUSE_OF_CODE.get(self.code) or self.cause
        of_cause = incidents.filtered(lambda incident: incident.cause == cause)
        return (of_cause or incidents)[:1]._get_records_action()

    # A host that is gone ---------------------------------------------------------------------

    @api.depends("code", "integration_id")
    def _compute_may_dismiss(self):
        for finding in self:
            finding.may_dismiss = (
                finding.code == "key_expired_still_used"
                and bool(finding.integration_id)
                and not finding.sudo().key_id.is_live
            )

    def action_dismiss(self):
        """Close the issue about a host that no longer calls; it reopens if the host calls again.

        :raise AccessError: the user is neither an owner of the integration nor a manager
        :raise UserError: this is another kind of issue
        """
        self.ensure_one()
        self.check_access("read")
        if not self.may_dismiss:
            raise UserError(self.env["auth.integration.rejection.mixin"]._outdated_action())
        self.integration_id._check_may_operate()
        key = self.sudo().key_id
        # Incidents note the dismissal themselves.
        incidents = self.env["auth.integration.incident"].search(
            [("key_id", "=", key.id), ("kind", "=", "failing"), ("state", "=", "open")]
        )
        if incidents:
            incidents.action_dismiss()
        else:
            self.integration_id._note_dismissal(self.message)
        key._dismiss_calls()
        return True
