from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools.attempt import causes
from ...tools.integration import networks
from ...tools.key.key_policy import KEY_CHANNELS
from ..mixins.fresh_identity import fresh_identity

# Each has a button on the form, a field ``fix_*``, a condition ``_can_*`` and a method
# ``action_fix_*``. The registry of causes lists which of them help against a cause.
FIXES = (
    "restore_user", "issue_key", "revoke", "view_rotation", "add_network",
    "allow_protocol", "allow_operation", "change_access", "undo_revocation", "unlock", "open",
)
# The fixes offered after a diagnostic request; the others are on the integration's own form.
DIAGNOSTIC_FIXES = ("add_network",)


class AuthAttempt(models.Model):
    """The buttons that fix the cause of a rejected attempt."""

    _inherit = "auth.attempt"

    fix_restore_user = fields.Boolean(compute="_compute_fixes")
    fix_issue_key = fields.Boolean(compute="_compute_fixes")
    fix_revoke = fields.Boolean(compute="_compute_fixes")
    fix_view_rotation = fields.Boolean(compute="_compute_fixes")
    fix_add_network = fields.Boolean(compute="_compute_fixes")
    fix_allow_protocol = fields.Boolean(compute="_compute_fixes")
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
        """Return whether a fix helps against this cause and the current user may apply it now."""
        helps = name == "open" or name in self._helpful_fixes()
        return helps and bool(getattr(self, f"_can_{name}")())

    def _helpful_fixes(self):
        """Return the fixes that help against this cause, best first; none once it is solved."""
        if self.is_solved:
            return []
        fixes = causes.get(self.open_cause).fixes if self.open_cause else ()
        # A diagnostic request is not a failed call, so most fixes do not apply.
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

    def _can_allow_protocol(self):
        integration = self._known_integration()
        return (
            integration
            and self.channel in KEY_CHANNELS
            and not self._is_channel_allowed(integration)
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
        integration = self._known_integration().sudo(self.env.su)
        return bool(integration) and integration._may_operate()

    def _open_rotation(self):
        """Return the rotation that replaces or has replaced this key, unless it was cancelled."""
        return self.env["auth.integration.rotation"].search(
            [
                ("old_key_id", "=", self.sudo().key_id.id),
                ("old_key_id", "!=", False),
                ("cancelled_at", "=", False),
            ],
            limit=1,
        )

    def _fix_target(self):
        """Return the integration to open; for an unknown login, the one probably meant."""
        return self._known_integration() or self._nearest_integration() or self.env[
            "auth.integration"
        ]

    def _check_fix(self, name):
        """Check that this attempt offers a fix to the current user.

        :raise UserError: it would not help here, or it has been applied in the meantime
        :raise AccessError: the user may not do this
        """
        self.ensure_one()
        self.check_access("read")
        if not self._offers(name):
            if self._known_integration():
                self._known_integration().sudo(self.env.su)._check_may_operate()
            raise UserError(self._outdated_action())

    def _note_fix(self, text):
        """Post to the integration's chatter that a fix was applied."""
        self._known_integration().message_post(
            body=self.env._(
                "%(text)s, from the rejected attempt %(reference)s.",
                text=text,
                reference=self.reference or self.id,
            ),
            author_id=self.env.user.partner_id.id,
        )

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
        """Open the wizard that issues a key, which notes that in the history itself."""
        self._check_fix("issue_key")
        integration = self._known_integration().sudo(self.env.su)
        return integration._action_issue_key(self._known_key())

    def action_fix_revoke(self):
        """Open the dialog that revokes a working key of which the use was rejected."""
        self._check_fix("revoke")
        return self._known_key().sudo(self.env.su).action_revoke()

    def action_fix_view_rotation(self):
        """Show the rotation of the key that was refused."""
        self._check_fix("view_rotation")
        return self._open_rotation()._get_records_action()

    def action_ask_add_network(self):
        """Open the dialog that shows the address and asks whether to allow it."""
        self._check_fix("add_network")
        return self.env["auth.integration.allow.address"]._get_records_action(
            name=self.env._("Allow This Address"),
            target="new",
            context={"default_attempt_id": self.id},
        )

    @fresh_identity
    def action_fix_add_network(self):
        """Allow the address that was refused; needs write access to the integration."""
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

    @fresh_identity
    def action_fix_allow_protocol(self):
        """Allow the protocol that was refused; needs write access to the integration."""
        self._check_fix("allow_protocol")
        self._known_integration().sudo(self.env.su)[f"allowed_channel_{self.channel}"] = True
        self._note_fix(
            self.env._(
                "%(user)s allowed calls over %(protocol)s",
                user=self.env.user.name,
                protocol=dict(self._selection_channel())[self.channel],
            )
        )
        return True

    def action_fix_undo_revocation(self):
        """Open the dialog that undoes the revocation of the refused key."""
        self._check_fix("undo_revocation")
        return self._known_key().sudo(self.env.su).action_undo_revocation()

    def action_fix_unlock(self):
        """Let the user sign in again at once, from all addresses where they were rejected."""
        self._check_fix("unlock")
        return self._known_user().with_env(self.env).action_unlock_sign_in()

    def action_fix_open(self):
        """Open the integration that was refused or, for an unknown login, probably meant."""
        self._check_fix("open")
        return self._fix_target()._get_records_action()
