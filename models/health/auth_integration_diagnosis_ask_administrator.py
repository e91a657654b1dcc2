from odoo import api, fields, models

from .auth_integration_admin_request import MANAGER, SETTINGS

# Fixes that owners can make, unless the integration user has administration rights.
OWNER_FIXES = ("issue_key", "rotate", "view_rotation")


class AuthIntegrationDiagnosisLine(models.Model):
    """Show which checks the reader can fix, and let them ask those who can fix the others."""

    _inherit = "auth.integration.diagnosis.line"

    may_fix = fields.Boolean(compute="_compute_help")
    can_ask = fields.Boolean(compute="_compute_help")
    was_asked = fields.Boolean(compute="_compute_help")

    @api.depends("result", "fix", "res_model", "res_id", "is_solved")
    @api.depends_context("uid")
    def _compute_help(self):
        requests = self.env["auth.integration.admin.request"]
        for line in self:
            line.may_fix = line._may_fix()
            needs_help = line._needs_administrator()
            line.was_asked = needs_help and requests._was_made(
                line.integration_id, line._request_cause()
            )
            line.can_ask = needs_help and not line.was_asked

    def _may_fix(self):
        """Return whether the current user may use the button of this check."""
        record = self._record()
        if not self.fix or record is None:
            return False
        if self.fix == "open":
            return record.has_access("read")
        if record._name == "auth.attempt":
            return record._offers(self.fix)
        integration = self.sudo().integration_id.with_env(self.env)
        if self.fix == "restore_user":
            return integration._may_restore_user()
        return integration._may_operate()

    def _needs_administrator(self):
        """Return whether others can fix what this check found, and the current user cannot."""
        if self.result not in ("failed", "warning") or self.is_solved:
            return False
        record = self._record()
        if record is not None and record._name == "auth.attempt":
            return record._needs_administrator()
        if self.fix == "restore_user" and self.sudo().integration_id.user_id.active:
            return False  # restored since
        if self.fix in OWNER_FIXES or self.fix == "restore_user":
            return not self._may_fix()
        # Opening a record is not a fix: an administrator has to change something there.
        of_server = self.side == "outside" or not self.fix
        return not self.env.user.has_group(SETTINGS if of_server else MANAGER)

    def _record(self):
        """Return the record that was checked, or None if there is none any more."""
        if not self.res_model:
            return None
        return self.env[self.res_model].browse(self.res_id).exists() or None

    def _rejected_attempt(self):
        return self._record() if self.res_model == "auth.attempt" else None

    def _request_cause(self):
        return self.cause or self.check_name

    def action_ask_administrator(self):
        """Ask those who can fix what the current user cannot fix."""
        self.ensure_one()
        self.check_access("read")
        if self._needs_administrator():
            self.env["auth.integration.admin.request"]._make(
                self.integration_id,
                self._request_cause(),
                [f"{self.check_name}: {self.seen}", self.meaning, self.remedy],
                self.diagnosis_id,
                attempt=self._rejected_attempt(),
            )
            self.invalidate_recordset()
        return True
