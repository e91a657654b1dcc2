from odoo import api, models
from odoo.exceptions import AccessError

from ...tools.integration import networks
from ..mixins.fresh_identity import fresh_identity, require_fresh_identity

MANAGER = "auth_integration.auth_integration_group_manager"
PRIVILEGED_GROUPS = ("base.group_system", "base.group_erp_manager")
# What describes an integration, and opens nothing.
DESCRIPTIVE_FIELDS = {"name", "purpose", "documentation_url"}
# Written by our own code only.
MAINTAINED_FIELDS = {
    "totp_enrolled_at",
    "totp_locked_until",
    "user_archived_along",
    "webhook_secret_set_at",
    "alert_secret_set_at",
}


class AuthIntegration(models.Model):
    """Who may change what of an integration, and what takes an identity check."""

    _inherit = "auth.integration"

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_integration_session_end (
                user_id integer PRIMARY KEY,
                ends integer NOT NULL
            )
            """
        )
        return super().init()

    # Who may ---------------------------------------------------------------------------------

    def _is_privileged(self):
        """Whether a key of this integration would give its holder administration rights."""
        self.ensure_one()
        return any(self.sudo().user_id.has_group(group) for group in PRIVILEGED_GROUPS)

    def _check_is_responsible(self):
        """Allow owners of all of these integrations, and managers.

        :raise AccessError: the current user is neither
        """
        self.check_access("read")
        if self.env.su or self.env.is_system():
            return
        manager = self.env.user.has_group(MANAGER)
        for integration in self.sudo():
            if not manager and self.env.user not in integration.owner_ids:
                raise AccessError(
                    self.env._(
                        "Only owners of %(name)s and administrators of integrations can do this.",
                        name=integration.name,
                    )
                )

    def _check_may_operate(self):
        """Allow owners of all of these integrations, and managers.

        :raise AccessError: the current user is neither, or the integration user has
            administration rights and the current user is no Settings administrator
        """
        self._check_is_responsible()
        self._check_may_change()

    # CRUD ------------------------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        self.check_access("create")
        vals_list = [self._clean_texts(vals) for vals in vals_list]
        for vals in vals_list:
            self._check_maintained(vals)
        takeovers = [bool(vals.get("user_id")) for vals in vals_list]  # users are made for others
        integrations = super(AuthIntegration, self._without_defaults()).create(vals_list)
        for integration, takes_over in zip(integrations, takeovers, strict=True):
            if takes_over:
                integration._check_may_take_over()
            if takes_over or integration._targets():
                require_fresh_identity(self.env)
        return integrations.with_env(self.env)

    def _without_defaults(self):
        """The model without the defaults of maintained fields that a caller put in the context."""
        defaults = {f"default_{name}" for name in MAINTAINED_FIELDS}
        context = {k: v for k, v in self.env.context.items() if k not in defaults}
        return self.with_env(self.env(context=context))

    def write(self, vals):
        self.check_access("write")
        self._check_maintained(vals)
        if vals.keys() & set(self._webhook_urls):
            # Who chooses where keys are sent gets the keys; where alerts go, learns what fails.
            self._check_may_operate()
        if vals.keys() - DESCRIPTIVE_FIELDS:
            self._check_may_change()
        before = self._rules()
        result = super().write(vals)
        # Looked at afterwards, however it was put; what is refused here is not saved.
        for integration, old, new in zip(self, before, self._rules(), strict=True):
            if new["user"] != old["user"]:
                integration._check_may_take_over()
            if self._is_widened(old, new):
                require_fresh_identity(self.env)
        return result

    def unlink(self):
        self.check_access("unlink")
        self._check_may_change()
        require_fresh_identity(self.env)
        return super().unlink()

    # Checks ----------------------------------------------------------------------------------

    def _check_maintained(self, vals):
        if not self.env.su and (fields := MAINTAINED_FIELDS & vals.keys()):
            raise AccessError(
                self.env._("These fields are set automatically: %s", ", ".join(sorted(fields)))
            )

    def _check_may_change(self):
        """Leave integrations with a privileged user to Settings.

        :raise AccessError: the integration user has administration rights, the current user not
        """
        if self.env.su or self.env.is_system():
            return
        for integration in self.sudo():
            if integration._is_privileged():
                raise AccessError(
                    self.env._(
                        "The integration user of %(name)s has administration rights. Only a"
                        " Settings administrator can change this integration or its keys.",
                        name=integration.name,
                    )
                )

    def _check_may_restore_integration(self):
        """Allow managers to restore what was archived with an integration.

        :raise AccessError: the current user is none, or a user is privileged
        """
        if not self or self.env.su or self.env.is_system():
            return
        if not self.env.user.has_group(MANAGER):
            raise AccessError(
                self.env._(
                    "This user was archived with the integration %(names)s. Ask an administrator"
                    " of integrations to restore the integration.",
                    names=", ".join(self.sudo().mapped("name")),
                )
            )
        self._check_may_change()

    def _check_may_take_over(self):
        """Leave the takeover of a person to Settings: a key of theirs acts as that person.

        :raise AccessError: the user has a password or has signed in before
        """
        if self.env.su or self.env.is_system():
            return
        user = self.sudo().user_id
        if user._is_person():
            raise AccessError(
                self.env._(
                    "%(user)s has a password or has signed in before. Only a Settings"
                    " administrator can turn them into an integration user.",
                    user=user.name,
                )
            )

    # Rules -----------------------------------------------------------------------------------

    def _rules(self):
        """What limits or directs the keys of each of these integrations, to compare later."""
        return [
            {
                "user": integration.user_id,
                "owners": integration.with_context(active_test=False).owner_ids,
                "networks": integration.allowed_networks or "",
                "channels": integration._allowed_channel_set(),
                "policy": integration.policy_id,
                "targets": integration._targets(),
            }
            for integration in self.sudo()
        ]

    def _targets(self):
        """The URLs to which keys and alerts of this integration are posted."""
        return {self[column] for column in self._webhook_urls} - {False}

    @api.model
    def _is_widened(self, old, new):
        """Whether rules allow more than before, or lead new keys elsewhere."""
        return bool(
            new["user"] != old["user"]
            or new["owners"] - old["owners"]
            or networks.is_wider(new["networks"], old["networks"])
            or (old["channels"] and not new["channels"])
            or (old["channels"] and new["channels"] - old["channels"])
            or new["policy"] != old["policy"]
            or new["targets"] - old["targets"]
        )

    @api.model
    @fresh_identity
    def confirm_identity(self):
        """Ask for an identity check, for a change that the web client then saves again."""
        return {"type": "ir.actions.act_window_close", "infos": {"identity_confirmed": True}}
