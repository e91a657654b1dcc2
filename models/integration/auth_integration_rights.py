from odoo import api, models
from odoo.exceptions import AccessError

from ...tools.integration import networks
from ..mixins.fresh_identity import fresh_identity, require_fresh_identity

MANAGER = "auth_integration.auth_integration_group_manager"
PRIVILEGED_GROUPS = ("base.group_system", "base.group_erp_manager")
# Fields that only describe an integration and grant nothing.
DESCRIPTIVE_FIELDS = {"name", "purpose", "documentation_url"}
# Fields that only this add-on writes.
MAINTAINED_FIELDS = {
    "totp_enrolled_at",
    "totp_locked_until",
    "user_archived_along",
    "webhook_secret_set_at",
    "alert_secret_set_at",
}


class AuthIntegration(models.Model):
    """Access checks for changes to an integration, and which changes need an identity check."""

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
        """Return whether a key of this integration would give its holder administration rights."""
        self.ensure_one()
        return self.sudo().user_id._is_administrator()

    def _check_is_responsible(self):
        """Allow owners of all of these integrations, managers and Settings administrators.

        :raise AccessError: the current user is none of these
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
        """Allow owners of all of these integrations, managers and Settings administrators.

        :raise AccessError: the current user is none of these, or the integration user has
            administration rights and the current user is no Settings administrator
        """
        self._check_is_responsible()
        self._check_may_change()

    def _may_operate(self):
        """Return whether the current user passes :meth:`_check_may_operate`."""
        try:
            self._check_may_operate()
        except AccessError:
            return False
        return True

    def _may_restore_user(self):
        """Return whether the current user may restore the archived integration user."""
        user = self.sudo().user_id.with_env(self.env)
        return user.has_access("write") and self._may_operate()

    # CRUD ------------------------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        self.check_access("create")
        vals_list = [self._clean_texts(vals) for vals in vals_list]
        for vals in vals_list:
            self._check_maintained(vals)
        takeovers = [bool(vals.get("user_id")) for vals in vals_list]  # the others get new users
        integrations = super(AuthIntegration, self._without_defaults()).create(vals_list)
        for integration, takes_over in zip(integrations, takeovers, strict=True):
            if takes_over:
                integration._check_may_take_over()
            if takes_over or integration._targets():
                require_fresh_identity(self.env)
        return integrations.with_env(self.env)

    def _without_defaults(self):
        """Return this model without a caller's context defaults for maintained fields."""
        defaults = {f"default_{name}" for name in MAINTAINED_FIELDS}
        context = {k: v for k, v in self.env.context.items() if k not in defaults}
        return self.with_env(self.env(context=context))

    def write(self, vals):
        self.check_access("write")
        self._check_maintained(vals)
        if vals.keys() & set(self._webhook_urls):
            # These URLs receive new keys, and alerts about what fails.
            self._check_may_operate()
        if vals.keys() - DESCRIPTIVE_FIELDS:
            self._check_may_change()
        before = self._rules()
        result = super().write(vals)
        # Compare the stored result, whichever form the values had. An error undoes the change.
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
        """Allow only Settings administrators if an integration user is privileged.

        :raise AccessError: an integration user has administration rights, and the current user is
            no Settings administrator
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

        :raise AccessError: the current user is no manager, or an integration user is privileged and
            the current user is no Settings administrator
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
        """Allow only Settings administrators to take over a person's user.

        Keys of the integration would act as that person.

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
        """Return what limits or directs the keys of each integration, to compare it later."""
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
        """Return the URLs to which keys and alerts of this integration are posted."""
        return {self[column] for column in self._webhook_urls} - {False}

    @api.model
    def _is_widened(self, old, new):
        """Return whether the new rules allow more than the old ones, or send new keys elsewhere."""
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
        """Require an identity check, after which the web client saves a change again."""
        return {"type": "ir.actions.act_window_close", "infos": {"identity_confirmed": True}}
