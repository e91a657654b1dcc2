from odoo import api, fields, models
from odoo.fields import Domain

from ...tools.key import key_state, native_scope

# States of a key whose replacement is not in use yet.
REPLACEABLE = ("pending", "active", "expired")


class AuthIntegrationKey(models.Model):
    """The status that screens show: the state of a key, or that it is blocked."""

    _inherit = "auth.integration.key"

    status = fields.Selection(
        selection=lambda self: [
            *self._fields["state"]._description_selection(self.env),
            ("blocked", self.env._("Blocked")),
        ],
        compute="_compute_status",
        search="_search_status",
        help="Blocked: the key is neither expired nor revoked, but every call with it is rejected.",
    )
    blocked_reason = fields.Char(compute="_compute_status")
    replacement_status = fields.Char(compute="_compute_replacement_status")
    shows_replace_by = fields.Boolean(compute="_compute_replacement_status")
    pending_replacement_id = fields.Many2one(
        "auth.integration.key", "Waiting Replacement", compute="_compute_pending_replacement",
        help="The key that replaces this one once it is used.",
    )
    pending_replacement_integration_id = fields.Many2one(
        "auth.integration", "Integration of the Replacement",
        compute="_compute_pending_replacement",
    )

    @api.depends("state", "user_id.active", "integration_id.active", "scope")
    def _compute_status(self):
        for key in self:
            reason = key.is_live and key.sudo()._blocked_reason()
            key.blocked_reason = reason
            key.status = "blocked" if reason else key.state

    @api.depends("state", "replace_by", "rotate_after", "effective_end", "replaced_by_id")
    def _compute_replacement_status(self):
        """Compute how urgent it is to replace a key: ``later``, ``due`` or ``overdue``.

        ``due`` from ``rotate_after`` on, when rotation starts and an issue says so; ``overdue``
        once ``replace_by`` or the end of the key has passed; False for a key that is not rotated,
        has ended for good, or whose replacement is in use. Screens show ``replace_by`` unless the
        key has ended or ends before it.
        """
        now = fields.Datetime.now()
        for key in self:
            status = key._replacement_status(now)
            end = key.effective_end
            key.replacement_status = status
            key.shows_replace_by = bool(status) and key.is_live and (
                not end or key.replace_by <= end
            )

    def _replacement_status(self, now):
        if not self.replace_by or self.replaced_by_id or self.state not in REPLACEABLE:
            return False
        if key_state.earliest(self.replace_by, self.effective_end) <= now:
            return "overdue"
        return "due" if self.rotate_after and self.rotate_after <= now else "later"

    @api.depends("state")
    def _compute_pending_replacement(self):
        waiting = {
            new.replaces_id: new
            for new in self.search(
                [("replaces_id", "in", self.ids), ("state", "=", "pending")], order="id"
            )
        }
        for key in self:
            new = key.is_live and waiting.get(key._origin)
            key.pending_replacement_id = new
            key.pending_replacement_integration_id = new and new.integration_id

    def action_issue_another(self):
        """Open the dialog that creates another key, because nobody has copied this one."""
        self.ensure_one()
        rotation = self.env["auth.integration.rotation"].search(
            [("new_key_id", "=", self.id), ("state", "=", "delivered")], limit=1
        )
        if rotation:
            return rotation.action_claim()
        return self.integration_id._action_issue_key(self)

    def _blocked_reason(self):
        """Return why every call with this key is rejected although it has not ended, or False."""
        integration = self.integration_id
        if integration and not integration.active:
            return self.env._("The integration is archived.")
        if not self.user_id.active:
            return self.env._("The user %s is archived.", self.user_id.login or self.login)
        if self.scope == native_scope.RESTRICTED:
            return self.env._("The original scope of the key is unknown. Create a new key.")
        return False

    def _status_label(self):
        """Return the label of the status in the user's language."""
        return dict(self._fields["status"]._description_selection(self.env))[self.status]

    def _search_status(self, operator, value):
        if operator != "in":
            return NotImplemented
        blocked = Domain("is_live", "=", True) & (
            Domain("user_id.active", "=", False)
            | Domain("integration_id.active", "=", False)
            & Domain("integration_id", "!=", False)
            | Domain("scope", "=", native_scope.RESTRICTED)
        )
        states = [state for state in value if state != "blocked"]
        found = Domain("state", "in", states) & ~blocked if states else Domain.FALSE
        return found | blocked if "blocked" in value else found
