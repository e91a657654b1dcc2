from odoo import api, fields, models

WAITING = ("due", "delivering", "delivered")
# What most likely puts a finding right; of the others, opening the record does.
FIX_OF_CODE = {
    "archived_user_live_key": "restore_user",
    "archived_user_still_called": "restore_user",
    "no_valid_key": "issue_key",
    "key_expired": "issue_key",
    "key_expiring": "rotate",
    "rotation_overdue": "rotate",
    "rotation_stuck": "view_rotation",
    "failing_now": "view_attempts",
    "key_expired_still_used": "view_attempts",
    "silent": "view_attempts",
    "key_dormant": "revoke",
    "key_outlived_end": "revoke",
    "guessing": "unlock",
    "personal_account_used": "convert",
    "password_set": "remove_password",
    "access_unused": "change_access",
    "rpc_sunset_ready": "close_old_protocols",
}
# What does so for an integration only, not for the key of a person.
OF_INTEGRATIONS = ("issue_key", "rotate", "view_attempts")


class AuthIntegrationFinding(models.Model):
    """The next step about a finding: its one button, and what to do, as things are now."""

    _inherit = "auth.integration.finding"

    fix = fields.Char(compute="_compute_fix", help="The action that helps most.")
    is_solved = fields.Boolean("Solved", compute="_compute_resolution")
    resolution = fields.Text(compute="_compute_resolution")

    @api.depends("code", "integration_id")
    @api.depends_context("lang")
    def _compute_resolution(self):
        """Of calls that are rejected: what they were rejected for may have been fixed."""
        for finding in self:
            about_calls = finding.code in ("failing_now", "key_expired_still_used")
            integration = finding.sudo().integration_id
            text = about_calls and integration and integration._resolution_of_failing()
            finding.resolution = text
            finding.is_solved = bool(text)

    @api.depends("code", "key_id", "integration_id")
    def _compute_fix(self):
        for finding in self:
            finding.fix = finding._fix()

    def _fix(self):
        fix = FIX_OF_CODE.get(self.code, False)
        if fix in OF_INTEGRATIONS and not self.integration_id:
            return False
        if fix == "unlock" and not self.user_id:
            return False
        if fix == "rotate" and (rotation := self._open_rotation()):
            return "claim" if rotation.sudo()._is_to_claim() else "view_rotation"
        return fix

    def _open_rotation(self):
        """The rotation of the key of this finding that has still something to hand over."""
        return self.env["auth.integration.rotation"].search(
            [
                ("old_key_id", "=", self.key_id.id),
                ("old_key_id", "!=", False),
                ("cancelled_at", "=", False),
                ("state", "in", WAITING),
            ],
            limit=1,
        )

    def _case_remedy(self):
        """What to do in this very case, where that is more exact than what its kind says."""
        if FIX_OF_CODE.get(self.code) != "rotate" or not (rotation := self._open_rotation()):
            return False
        if rotation.sudo()._is_to_claim():
            return self.env._(
                "Claim the new key and install it in the external system. The current key keeps"
                " working until the new one is in use."
            )
        if rotation.state == "delivered":
            return self.env._(
                "The new key %(key)s is ready. Install it in the external system. Its first call"
                " confirms the rotation.",
                key=rotation.new_key_id.display_name,
            )
        return False

    def _failing_now_values(self):
        """Since when: with the time, for the calls before it on that day succeeded."""
        return {"since": self.since and self.env["auth.integration.incident"]._format_time(
            self.since
        )}

    def action_claim(self):
        """Claim the new key that the rotation of this finding waits with."""
        self.ensure_one()
        return self._open_rotation().action_claim()
