from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ...tools.attempt import causes
from ...tools.integration import networks
from ..mixins.fresh_identity import fresh_identity

# One button of the form for each: its field ``fix_*``, its condition ``_can_*`` and its method
# ``action_fix_*``. Which of them help against a cause is in the registry of causes.
FIXES = (
    "restore_user", "issue_key", "revoke", "view_rotation", "add_network",
    "allow_operation", "change_access", "undo_revocation", "unlock", "open",
)
# What helps after a diagnostic request; the rest is on the integration's own form.
DIAGNOSTIC_FIXES = ("add_network",)


class AuthAttempt(models.Model):
    """The buttons that put right what a rejected attempt shows."""

    _inherit = "auth.attempt"

    fix_restore_user = fields.Boolean(compute="_compute_fixes")
    fix_issue_key = fields.Boolean(compute="_compute_fixes")
    fix_revoke = fields.Boolean(compute="_compute_fixes")
    fix_view_rotation = fields.Boolean(compute="_compute_fixes")
    fix_add_network = fields.Boolean(compute="_compute_fixes")
    fix_allow_operation = fields.Boolean(compute="_compute_fixes")
    fix_change_access = fields.Boolean(compute="_compute_fixes")
    fix_undo_revocation = fields.Boolean(compute="_compute_fixes")
    fix_unlock = fields.Boolean(compute="_compute_fixes")
    fix_open = fields.Boolean(compute="_compute_fixes")

    @api.depends("cause", "key_id", "user_id", "integration_id", "remote_addr", "operation")
    @api.depends_context("uid")
    def _compute_fixes(self):
        for row in self:
            for name in FIXES:
                row[f"fix_{name}"] = row._offers(name)

    def _offers(self, name):
        """Whether a fix helps against this cause, and the current user may apply it now."""
        helps = name == "open" or name in self._helpful_fixes()
        return helps and bool(getattr(self, f"_can_{name}")())

    def _helpful_fixes(self):
        """Fixes that help against this cause, the best first; none once it is solved."""
        if self.is_solved:
            return []
        fixes = causes.get(self.cause).fixes if self.cause else ()
        # Nothing has failed where somebody only asked.
        return [name for name in fixes if not self.question or name in DIAGNOSTIC_FIXES]

    def _can_restore_user(self):
        user = self._known_user()
        if not user or user.active:
            return False
        if not user.sudo(self.env.su).has_access("write"):
            return False
        return self._may_operate() if self._known_integration() else True

    def _can_issue_key(self):
        integration = self._known_integration()
        return (
            integration and integration.active and integration.user_id.active
            and self._may_operate()
        )

    def _can_revoke(self):
        key = self._known_key()
        return (
            key and key.integration_id == self._known_integration() and key.is_live
            and self._may_operate()
        )

    def _can_view_rotation(self):
        return bool(self._open_rotation()) and self._may_operate()

    def _can_add_network(self):
        integration = self._known_integration()
        return (
            integration
            and networks.normalize(self.remote_addr)
            and not networks.contains(
                networks.parse(integration.allowed_networks), self.remote_addr
            )
            and integration.sudo(self.env.su).has_access("write")
            and self._may_operate()
        )

    def _can_undo_revocation(self):
        key = self._known_key()
        return key and key.sudo(self.env.su)._offers_undo_revocation()

    def _can_unlock(self):
        user = self._known_user()
        may_unlock = self.env.su or self.env.user.has_group("base.group_erp_manager")
        return bool(user) and may_unlock

    def _can_open(self):
        return bool(self._fix_target())

    def _may_operate(self):
        integration = self._known_integration()
        try:
            integration.sudo(self.env.su)._check_may_operate()
        except AccessError:
            return False
        return bool(integration)

    def _open_rotation(self):
        """The rotation of this key that still has something to hand over."""
        return self.env["auth.integration.rotation"].search(
            [
                ("old_key_id", "=", self.sudo().key_id.id),
                ("old_key_id", "!=", False),
                ("cancelled_at", "=", False),
            ],
            limit=1,
        )

    def _fix_target(self):
        """The integration to open; of an unknown login, the one that was probably meant."""
        return self._known_integration() or self._nearest_integration() or self.env[
            "auth.integration"
        ]

    def _check_fix(self, name):
        """Refuse a button that this attempt does not offer to this user.

        :raise UserError: it would not help here, or it has been done meanwhile
        :raise AccessError: the user may not do this
        """
        self.ensure_one()
        self.check_access("read")
        if not self._offers(name):
            if self._known_integration():
                self._known_integration().sudo(self.env.su)._check_may_operate()
            raise UserError(
                self.env._(
                    "This action is no longer available. Reload the page to see the current status."
                )
            )

    def _note_fix(self, text):
        """Leave a line about a fix in the integration's history."""
        self._known_integration().message_post(
            body=self.env._(
                "%(text)s, from the rejected attempt %(reference)s.",
                text=text,
                reference=self.reference or self.id,
            ),
            author_id=self.env.user.partner_id.id,
        )
        self._known_integration()._close_activities_of_fixed()

    def action_fix_restore_user(self):
        """Restore the archived user that was refused."""
        self._check_fix("restore_user")
        user = self._known_user()
        integration = self._known_integration()
        if integration:
            integration.sudo(self.env.su).action_restore_user()
            self._note_fix(
                self.env._(
                    "%(user)s restored %(login)s", user=self.env.user.name, login=user.login
                )
            )
        else:
            user.sudo(self.env.su).action_restore_archived()
        return True

    def action_fix_issue_key(self):
        """Open the wizard that issues a key; issuing it leaves its own line in the history."""
        self._check_fix("issue_key")
        integration = self._known_integration().sudo(self.env.su)
        return integration._action_issue_key(self._known_key())

    def action_fix_revoke(self):
        """Ask why the key is revoked that was used from a place where it has no business."""
        self._check_fix("revoke")
        return self._known_key().sudo(self.env.su).action_revoke()

    def action_fix_view_rotation(self):
        """Show the rotation that retired the key which was refused."""
        self._check_fix("view_rotation")
        return self._open_rotation()._get_records_action()

    def action_ask_add_network(self):
        """Ask whether the address is to be allowed, by its name."""
        self._check_fix("add_network")
        return self.env["auth.integration.allow.address"]._get_records_action(
            name=self.env._("Allow This Address"),
            target="new",
            context={"default_attempt_id": self.id},
        )

    @fresh_identity
    def action_fix_add_network(self):
        """Allow the address that was refused; for administrators of integrations."""
        self._check_fix("add_network")
        integration = self._known_integration().sudo(self.env.su)
        address = networks.normalize(self.remote_addr)
        lines = (integration.allowed_networks or "").rstrip()
        integration.allowed_networks = f"{lines}\n{address}".strip()
        self._note_fix(
            self.env._(
                "%(user)s allowed calls from %(address)s",
                user=self.env.user.name,
                address=address,
            )
        )
        return True

    def action_fix_undo_revocation(self):
        """Ask why the revocation of the key that was refused is undone."""
        self._check_fix("undo_revocation")
        return self._known_key().sudo(self.env.su).action_undo_revocation()

    def action_fix_unlock(self):
        """Let the user sign in again at once, from wherever they were rejected."""
        self._check_fix("unlock")
        return self._known_user().with_env(self.env).action_unlock_sign_in()

    def action_fix_open(self):
        """Open the integration that was refused, or that was probably meant."""
        self._check_fix("open")
        return self._fix_target()._get_records_action()
