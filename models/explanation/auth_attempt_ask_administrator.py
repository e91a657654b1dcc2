from odoo import api, fields, models

from ...tools.attempt import causes


class AuthAttempt(models.Model):
    """Let the reader of a rejected attempt ask an administrator for a fix they may not apply."""

    _inherit = "auth.attempt"

    can_ask = fields.Boolean(compute="_compute_can_ask")
    was_asked = fields.Boolean(compute="_compute_can_ask")

    @api.depends("cause", "key_id", "user_id", "integration_id", "remote_addr", "operation")
    @api.depends_context("uid")
    def _compute_can_ask(self):
        requests = self.env["auth.integration.admin.request"]
        for row in self:
            needs_help = row._needs_administrator()
            row.was_asked = needs_help and requests._was_made(
                row._known_integration(), row.open_cause
            )
            row.can_ask = needs_help and not row.was_asked

    def _needs_administrator(self):
        """Return whether others could fix this and the current user cannot."""
        if self.outcome != "failure" or self.env.su or not self._known_integration():
            return False
        best = next(filter(self.sudo()._offers, self._helpful_fixes()), None)
        return bool(best) and not self._offers(best)

    def action_ask_administrator(self):
        """Ask those who can fix this."""
        self.ensure_one()
        self.check_access("read")
        if self._needs_administrator():
            self.env["auth.integration.admin.request"]._make(
                self._known_integration().sudo(self.env.su),
                self.open_cause,
                [
                    self.env._(causes.get(self.open_cause).title),
                    *self._case_lines(),
                    self.env._(causes.get(self.open_cause).remedy),
                ],
                self,
                attempt=self,
            )
            self.invalidate_recordset()
        return True
