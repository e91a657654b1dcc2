from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.health.findings import ABOUT_CALLS, SEVERITIES
from ...tools.key.key_policy import END_CODES
from ...tools.moment import moment_text
from ..integration.auth_integration_rejections import rejected_key

# Values of findings that are fixed and only wait for the next call.
OF_FIXED = {"severity": "info", "severity_rank": SEVERITIES.index("info")}
# The most likely fix by code of a finding; for other codes the record is opened.
FIX_OF_CODE = {
    "archived_user_live_key": "restore_user",
    "archived_user_still_called": "restore_user",
    "no_valid_key": "issue_key",
    "key_expired": "issue_key",
    "key_expiring": "rotate",
    "rotation_overdue": "rotate",
    "rotation_stuck": "view_rotation",
    "failing_now": "view_attempts",
    "call_rejected": "view_attempts",
    "key_expired_still_used": "view_attempts",
    "silent": "view_attempts",
    "key_dormant": "revoke",
    "key_outlived_end": "revoke",
    "guessing": "unlock",
    "personal_account_used": "convert",
    "password_set": "remove_password",
    "access_narrowed": "change_access",
    "access_unused": "change_access",
    "rpc_sunset_ready": "close_old_protocols",
}
OF_REJECTED_CALLS = ("failing_now", "call_rejected")
# Fixes that exist only for integrations, not for a personal key.
OF_INTEGRATIONS = ("issue_key", "rotate", "view_attempts")


class AuthIntegrationFinding(models.Model):
    """Determine the next step for a finding: its one button, and what to do now."""

    _inherit = "auth.integration.finding"

    fix = fields.Char(compute="_compute_fix", help="The action that helps most.")
    is_next_step = fields.Boolean(
        compute="_compute_fix", help="The form of the integration offers this action first."
    )
    may_undo_revocation = fields.Boolean(compute="_compute_fix")
    is_solved = fields.Boolean("Fixed", compute="_compute_resolution")
    resolution = fields.Text(compute="_compute_resolution")
    rejected_cause = fields.Char(
        compute="_compute_resolution", help="Why the last call was rejected that is to be fixed."
    )
    open_cause = fields.Char(
        compute="_compute_resolution",
        help="What is to be fixed now: another cause, if that of the last call was fixed.",
    )

    @api.depends("code", "cause", "key_id", "integration_id")
    @api.depends_context("lang")
    def _compute_resolution(self):
        """For findings about rejected calls, tell whether the reason has been fixed."""
        about_calls = self.filtered(lambda finding: finding.code in ABOUT_CALLS)
        resolutions, unsolved = about_calls.sudo().integration_id._review_calls()
        for finding in self:
            found = finding in about_calls and resolutions.get(finding._rejected_issue())
            finding.resolution = found
            finding.is_solved = bool(found)
            rejected = finding in about_calls and unsolved.get(finding._rejected_issue())
            finding.rejected_cause = rejected.cause if rejected else finding.cause
            finding.open_cause = rejected.open_cause if rejected else finding.cause

    def _rejected_issue(self):
        """Return the key of this finding in ``_resolutions_of_calls``; see ``rejected_key``."""
        record = self.sudo()
        of_key = record.code == "key_expired_still_used" or record.cause in END_CODES
        return record.integration_id.id, of_key and record.key_id.id or 0

    @api.depends("code", "key_id", "integration_id")
    @api.depends_context("uid")
    def _compute_fix(self):
        for finding in self:
            finding.fix = finding._fix()
            next_step = finding.integration_id.next_step
            asks_for_it = (
                finding.fix == "ask_administrator" and FIX_OF_CODE.get(finding.code) == next_step
            )
            finding.is_next_step = finding.fix and (
                finding.fix == next_step
                or asks_for_it
                or finding.code in OF_REJECTED_CALLS and not next_step
            )
            finding.may_undo_revocation = (
                finding.code == "no_valid_key" and finding.key_id._offers_undo_revocation()
            )

    def _fix(self):
        fix = FIX_OF_CODE.get(self.code, False)
        if fix in OF_INTEGRATIONS and not self.integration_id:
            return False
        if fix == "unlock" and not self.user_id:
            return False
        if fix == "rotate" and (rotation := self._open_rotation()):
            return "claim" if rotation.sudo()._is_to_claim() else "view_rotation"
        return fix

    def _field_to_sql(self, alias, field_expr, query=None):
        """Extend ``_field_to_sql``: findings that only wait for the next call are information."""
        column = super()._field_to_sql(alias, field_expr, query)
        if query is None or field_expr not in OF_FIXED:
            return column
        fixed = SQL.identifier(self._join_fixed(alias, query), "integration_id")
        return SQL("CASE WHEN %s IS NULL THEN %s ELSE %s END", fixed, column, OF_FIXED[field_expr])

    def _join_fixed(self, alias, query):
        """Join the issues that only wait for the next call, once per query."""
        fixed = query.make_alias(alias, "fixed")
        if fixed not in query._joins:
            condition = SQL(
                "%s = %s AND %s = %s AND %s IN %s",
                SQL.identifier(fixed, "integration_id"), SQL.identifier(alias, "integration_id"),
                SQL.identifier(fixed, "key_id"), rejected_key(alias),
                SQL.identifier(alias, "code"), ABOUT_CALLS,
            )
            table = SQL("(SELECT * FROM %s)", self.env["auth.integration"]._fixed_issues_sql())
            query.add_join("LEFT JOIN", fixed, table, condition)
        return fixed

    def _open_rotation(self):
        """Return the rotation of this finding's key that still has a new key to hand over."""
        return self.key_id._open_rotations()

    def _case_message(self, values):
        """Return a message for this specific case, or False for that of its kind.

        It tells who revoked a key, and avoids a text with the same date twice.
        """
        if self.code == "no_valid_key" and self.sudo().key_id.end_kind == "revoked":
            return self._revoked_message(values)
        if self.code != "key_expiring" or values["since"] != values["expires"]:
            return False
        return self.env._(
            "The key %(prefix)s… of %(login)s expires on %(expires)s. Replace it before then.",
            **values,
        )

    def _revoked_message(self, values):
        """Tell which key was revoked and, to users who may read the key, by whom and why."""
        key = self.sudo().key_id
        if not (key.ended_by and self.key_id.has_access("read")):
            return self.env._(
                "%(integration)s has no valid key: the key %(prefix)s… was revoked on %(since)s.",
                **values,
            )
        text = self.env._(
            "%(integration)s has no valid key: the key %(prefix)s… was revoked on %(since)s by"
            " %(user)s.",
            user=key.ended_by.name,
            **values,
        )
        if not key.end_reason:
            return text
        return f"{text} {self.env._('Recorded reason: %(reason)s', reason=key.end_reason)}"

    def _case_remedy(self):
        """Return the remedy for this specific case, or False for that of its kind."""
        if self.code == "rpc_sunset" and not self.integration_id:
            return self.env._(
                "Change the external system to JSON-2 before you upgrade to Odoo 22. The developer"
                " guide has examples."
            )
        if self.code == "no_valid_key" and (text := self.key_id._undo_revocation_remedy()):
            return text
        if FIX_OF_CODE.get(self.code) != "rotate" or not (rotation := self._open_rotation()):
            return False
        if rotation.sudo()._is_to_claim():
            return self.env._(
                "Claim the new key and install it in the external system. The old key keeps"
                " working for some days after the first call with the new key."
            )
        if rotation.state == "delivered":
            return self.env._(
                "The new key %(key)s is ready. Install it in the external system. Its first call"
                " confirms the rotation.",
                key=rotation.new_key_id.display_name,
            )
        return False

    def _failing_now_values(self):
        """Return caller and start, for the message.

        The start has a time, because earlier calls of that day succeeded.
        """
        integration = self.sudo().integration_id
        address = self._last_address(
            ("integration_id", "=", integration.id), ("cause", "=", self.rejected_cause)
        )
        return {
            "since": self.since and moment_text(self.env, self.since),
            "caller": f"{integration.name} ({address})" if address else integration.name,
        }

    _call_rejected_values = _failing_now_values

    def _key_expired_still_used_values(self):
        return self._last_call_values(
            ("key_id", "=", self.sudo().key_id.id), ("cause", "in", list(END_CODES))
        )

    def _archived_user_still_called_values(self):
        return self._last_call_values(
            ("user_id", "=", self.sudo().user_id.id), ("cause", "=", "user_archived")
        )

    def _last_call_values(self, *which):
        """Return when the last rejected call was made, and from where."""
        time = self.since and moment_text(self.env, self.since)
        address = self._last_address(*which)
        return {
            "since": self.env._("%(time)s from %(address)s", time=time, address=address)
            if address else time,
        }

    def _last_address(self, *which):
        """Return the address of the last of some rejected calls; False if it is not known."""
        domain = [*which, ("outcome", "=", "failure"), ("question", "=", False)]
        address = self.env["auth.attempt"].sudo().search(domain, limit=1).remote_addr
        return address if address != COLLAPSED else False

    def action_undo_revocation(self):
        """Open the dialog that undoes the revocation of the last key."""
        self.ensure_one()
        return self.key_id.action_undo_revocation()

    def action_claim(self):
        """Claim the new key that is waiting in the rotation of this finding."""
        self.ensure_one()
        return self._open_rotation().action_claim()
