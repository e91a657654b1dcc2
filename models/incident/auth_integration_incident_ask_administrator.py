from odoo import api, fields, models
from odoo.exceptions import AccessError

from ...tools.incident import kinds


class AuthIntegrationIncident(models.Model):
    """What the reader may do about rejected calls, and a way to ask those who may do more.

    The last rejected attempt decides, as on its own form.
    """

    _inherit = "auth.integration.incident"

    can_ask = fields.Boolean(compute="_compute_help")
    was_asked = fields.Boolean(compute="_compute_help")
    may_revoke = fields.Boolean(compute="_compute_help")

    @api.depends("kind", "is_open", "cause", "key_id")
    @api.depends_context("uid")
    def _compute_help(self):
        for incident in self:
            attempt = incident._last_rejected_attempt()
            incident.can_ask = attempt.can_ask
            incident.was_asked = attempt.was_asked
            incident.may_revoke = attempt.fix_revoke or incident._may_revoke_used_key()

    def _last_rejected_attempt(self):
        """Return the last attempt with this incident's cause; none if that is fixed or over."""
        attempts = self.env["auth.attempt"]
        if self.kind != "failing" or not self.is_open or self.is_solved:
            return attempts
        domain = [*self._domain_of_attempts(), ("cause", "=", self.cause)]
        return attempts.search(domain, limit=1)

    def _may_revoke_used_key(self):
        """Return whether the user may revoke a working key that may be in the wrong hands."""
        if not kinds.KINDS[self.kind].is_event or not self.is_open or not self.key_id.is_live:
            return False
        try:
            self.integration_id._check_may_operate()
        except AccessError:
            return False
        return True

    def action_ask_administrator(self):
        """Ask those who can fix this."""
        self.ensure_one()
        self.check_access("read")
        self._last_rejected_attempt().action_ask_administrator()
        self.invalidate_recordset()
        return True

    def action_revoke(self):
        """Open the dialog that revokes the key, which someone else may have."""
        self.ensure_one()
        if self._may_revoke_used_key():
            return self.key_id.action_revoke()
        return self._last_rejected_attempt().action_fix_revoke()
