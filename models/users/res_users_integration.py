from odoo import models
from odoo.fields import Command
from odoo.tools import SQL

from ..integration.auth_integration_rights import PRIVILEGED_GROUPS


class ResUsers(models.Model):
    """Integration users: their integrations, who may become one, and what becoming one ends."""

    _inherit = "res.users"

    def _integration(self):
        """Return the integration, archived or not, with this integration user, or none."""
        return self._all_integrations()[:1]

    def _all_integrations(self):
        """Return the integrations of these integration users, also archived ones, as superuser."""
        integrations = self.env["auth.integration"].sudo().with_context(active_test=False)
        return integrations.search([("user_id", "in", self.ids)])

    def _integration_users(self):
        """Return those of these users that are integration users."""
        return self._all_integrations().user_id

    def _is_administrator(self):
        """Return whether this user has Settings or Access Rights, and with them every secret."""
        return any(self.sudo().has_group(group) for group in PRIVILEGED_GROUPS)

    def _takeover_blocking_reason(self):
        """Return why this user can never be an integration user, or False.

        :rtype: str | bool
        """
        self.ensure_one()
        protected = self.browse(self.env.ref("base.user_root").id)
        for xml_id in ("base.public_user", "base.template_portal_user_id", "base.default_user"):
            protected |= self.env.ref(xml_id, raise_if_not_found=False) or self.browse()
        if self in protected:
            return self.env._(
                "%(user)s is a system user and cannot be an integration user.",
                user=self.name,
            )
        if owned := self._owned_integrations():
            return self.env._(
                "%(user)s owns %(integrations)s. An owner cannot be an integration user. Replace"
                " this owner first.",
                user=self.name,
                integrations=", ".join(owned.mapped("name")),
            )
        if not self._other_interactive_administrators():
            return self.env._(
                "%(user)s is the only administrator who can sign in. Integration users cannot sign"
                " in. Appoint another administrator first.",
                user=self.name,
            )
        return False

    def _collide_with_appointments(self):
        """Make appointing owners conflict with appointing integration users concurrently.

        Neither transaction sees what the other writes, so a user could become both. The rows are
        updated, not only locked, so that the later transaction is retried.
        """
        if self:
            self.env.cr.execute(
                SQL("UPDATE res_users SET login = login WHERE id IN %s", tuple(self.ids)),
                log_exceptions=False,  # a retry is no error
            )

    def _owned_integrations(self):
        """Return the integrations owned by these users, including archived ones."""
        integrations = self.env["auth.integration"].sudo().with_context(active_test=False)
        return integrations.search([("owner_ids", "in", self.ids)])

    def _is_person(self):
        """Return whether this user has a password or has ever signed in."""
        self.ensure_one()
        self.env.flush_all()
        return bool(
            self.env.execute_query(
                SQL(
                    "SELECT FROM res_users u WHERE u.id = %s AND (COALESCE(u.password, '') <> ''"
                    " OR EXISTS (SELECT FROM res_users_log l WHERE l.create_uid = u.id))",
                    self.id,
                )
            )
        )

    def _end_sessions(self):
        """End all current sessions of these users: see :meth:`_session_token_get_values`."""
        self.env.cr.execute(
            SQL(
                "INSERT INTO auth_integration_session_end (user_id, ends)"
                " SELECT unnest(%s::integer[]), 1 ON CONFLICT (user_id)"
                " DO UPDATE SET ends = auth_integration_session_end.ends + 1",
                self.ids,
            )
        )
        self.env.registry.clear_cache()

    def _other_interactive_administrators(self):
        """Return active administrators, other than these users, who are no integration users."""
        administrators = (
            self.env.ref("base.group_system").sudo().all_user_ids.filtered("active")
            - self.browse(self.env.ref("base.user_root").id)
            - self
        )
        return administrators - administrators._integration_users()

    def _remove_owner_group(self):
        """Remove users who no longer own any integration from the owners' group."""
        group = self.env.ref("auth_integration.auth_integration_group_owner").sudo()
        for user in self.sudo() - self._owned_integrations().owner_ids:
            if group in user.group_ids:
                user.group_ids = [Command.unlink(group.id)]

    def _archived_integrations(self):
        """Return the archived integrations of these integration users, as superuser."""
        return self._all_integrations().filtered(lambda integration: not integration.active)

    def _integration_if(self, wanted):
        """Return the integrations of these users in the current environment, if wanted.

        None in superuser mode.
        """
        integrations = self.env["auth.integration"]
        if not wanted or self.env.su:
            return integrations
        return self._all_integrations().with_env(self.env)

    def _integrations_left_behind(self):
        """Return active integrations without an active owner besides these users, as superuser."""
        integrations = self.env["auth.integration"].sudo().search([("owner_ids", "in", self.ids)])
        return integrations.filtered(
            lambda integration: not integration.owner_ids.filtered("active") - self
        )
