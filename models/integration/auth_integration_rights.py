from contextlib import contextmanager

from odoo import api, models
from odoo.exceptions import AccessError

from ...tools.access.access_rules import KeyAccess
from ...tools.integration import key_rules
from ...tools.integration.key_rules import KeyRules
from ..mixins.fresh_identity import fresh_identity, require_fresh_identity

MANAGER = "auth_integration.auth_integration_group_manager"
ACCESS_RIGHTS = "base.group_erp_manager"
PRIVILEGED_GROUPS = ("base.group_system", ACCESS_RIGHTS)
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

    def _beyond_grant(self, as_owner):
        """Return the access rights and companies that the current user could not have granted.

        Whoever holds a key of this integration acts with all groups and companies of its user.
        Settings administrators can grant everything, Access Rights administrators everything but
        the rights of an administrator, and everyone else what they have themselves.

        :param bool as_owner: an owner needs no right to grant what their owner role already gives
            them, which is everything but the rights of an administrator
        :return: groups and companies, as superuser
        """
        self.ensure_one()
        user, caller = self.sudo().user_id.with_context(active_test=False), self.env.user.sudo()
        groups, companies = user.all_group_ids, user.company_ids | self.sudo().company_id
        if self.env.su or self.env.is_system():
            return groups.browse(), companies.browse()
        if caller.has_group(ACCESS_RIGHTS) or (as_owner and caller in self.sudo().owner_ids):
            return groups & self._privileged_groups(), companies.browse()
        return groups - caller.all_group_ids, companies - caller.company_ids

    def _privileged_groups(self):
        """Return the groups of administrators, with which a user can read every secret."""
        groups = self.env["res.groups"].sudo()
        return groups.union(*(self.env.ref(xml_id).sudo() for xml_id in PRIVILEGED_GROUPS))

    def _check_may_grant(self, as_owner=False):
        """Check that the current user could grant all rights of these integrations.

        It is asked before somebody gets keys of an integration, or its keys get other rules.

        :param bool as_owner: see :meth:`_beyond_grant`
        :raise AccessError: an integration user has groups or companies that they could not grant
        """
        for integration in self:
            groups, companies = integration._beyond_grant(as_owner)
            if groups & self._privileged_groups():
                raise AccessError(
                    self.env._(
                        "The integration user of %(name)s has administration rights. Only a"
                        " Settings administrator can change this integration or its keys.",
                        name=integration.sudo().name,
                    )
                )
            if groups or companies:
                raise AccessError(
                    self.env._(
                        "%(name)s has access rights or companies that you do not have. Only an"
                        " administrator who can grant them can change this integration or its"
                        " keys.",
                        name=integration.sudo().name,
                    )
                )

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

        :raise AccessError: the current user is none of these, or no owner and could not grant the
            rights of the integration user; see :meth:`_beyond_grant`
        """
        self._check_is_responsible()
        self._check_may_grant(as_owner=True)

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
            [rules] = integration._key_rules()
            before = rules._replace(targets=frozenset(), user=0 if takes_over else rules.user)
            integration._check_change(rules, before)
        integrations._check_may_grant()
        return integrations.with_env(self.env)

    def _without_defaults(self):
        """Return this model without a caller's context defaults for maintained fields."""
        defaults = {f"default_{name}" for name in MAINTAINED_FIELDS}
        context = {k: v for k, v in self.env.context.items() if k not in defaults}
        return self.with_env(self.env(context=context))

    def write(self, vals):
        self.check_access("write")
        self._check_maintained(vals)
        if vals.keys() - DESCRIPTIVE_FIELDS:
            self._check_may_grant(as_owner=True)
        with self._checking_change():
            return super().write(vals)

    def unlink(self):
        self.check_access("unlink")
        self._check_may_grant(as_owner=True)
        require_fresh_identity(self.env)
        return super().unlink()

    # Checks ----------------------------------------------------------------------------------

    def _check_maintained(self, vals):
        if not self.env.su and (fields := MAINTAINED_FIELDS & vals.keys()):
            raise AccessError(
                self.env._("These fields are set automatically: %s", ", ".join(sorted(fields)))
            )

    def _check_may_restore_integration(self):
        """Allow managers to restore what was archived with an integration.

        :raise AccessError: the current user is no manager, or see :meth:`_check_may_operate`
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
        self._check_may_grant(as_owner=True)

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

    # Effect of a change ----------------------------------------------------------------------

    def _key_rules(self):
        """Return what limits or directs the keys of each of these integrations.

        :rtype: list[KeyRules]
        """
        return [
            KeyRules(
                active=integration.active,
                user=integration.user_id.id,
                company=integration.company_id.id,
                owners=frozenset(integration.owner_ids.ids),
                targets=frozenset({integration[url] for url in self._webhook_urls} - {False}),
                delivery=integration.delivery,
                networks=integration.allowed_networks or "",
                channels=frozenset(integration._allowed_channel_set()),
                lifetime=integration.policy_id._lifetime(),
                access=KeyAccess(integration.policy_id.default_access),
            )
            for integration in self.sudo().with_context(active_test=False)
        ]

    @contextmanager
    def _checking_change(self):
        """Return a context manager that checks by its effect what is changed in it.

        The stored result is compared, whichever way it was written. An error undoes the change.
        """
        before = self._key_rules()
        yield
        for integration, new, old in zip(self, self._key_rules(), before, strict=True):
            integration._check_change(new, old)

    def _check_change(self, new, old):
        """Check that the current user may give the keys of this integration new rules.

        :param KeyRules new: those after the change
        :param KeyRules old: those before it
        :raise AccessError: they could not grant what the keys now give, or to whom
        :raise IdentityCheckRequired: keys are widened and the session has no recent identity check
        """
        if new.user != old.user:
            self._check_may_take_over()
        if key_rules.is_wider(new, old):
            self._check_may_grant(as_owner=not key_rules.is_handed_over(new, old))
            require_fresh_identity(self.env)

    @api.model
    @fresh_identity
    def confirm_identity(self):
        """Require an identity check, after which the web client saves a change again."""
        return {"type": "ir.actions.act_window_close", "infos": {"identity_confirmed": True}}
