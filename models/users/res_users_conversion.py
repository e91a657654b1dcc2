from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tools import SQL

MANAGER = "auth_integration.auth_integration_group_manager"
# Only elements of the user itself: fields such as the user's keys contain other ``state`` fields.
_INVITATIONS = (
    "(//button[@name='action_reset_password'] | //field[@name='state'])[not(ancestor::field)]"
)


class ResUsers(models.Model):
    """Accounts whose personal keys are converted to keys of an integration.

    Only facts that user administrators may know are shown.
    """

    _inherit = "res.users"

    is_integration_user = fields.Boolean(
        compute="_compute_is_integration_user",
        help="A service account: an internal user that signs in with API keys only.",
    )

    @api.depends_context("uid")
    def _compute_is_integration_user(self):
        """Show it only to administrators, although every form of a user has the field."""
        may_know = self.env.su or self.env.user.has_groups(f"{MANAGER},base.group_erp_manager")
        found = self._origin._integration_users() if may_know else self.browse()
        for user in self:
            user.is_integration_user = user._origin in found

    @api.model
    def _get_view(self, view_id=None, view_type="form", **options):
        """Extend :meth:`BaseModel._get_view`: an integration user is never invited.

        The invitation state and button are hidden here, because the module that adds them (such as
        ``auth_signup``) may be loaded after this one.
        """
        arch, view = super()._get_view(view_id, view_type, **options)
        if arch.find(".//field[@name='is_integration_user']") is not None:
            for node in arch.xpath(_INVITATIONS):
                before = node.get("invisible")
                node.set(
                    "invisible",
                    f"is_integration_user or ({before})" if before else "is_integration_user",
                )
        return arch, view

    # Facts about an account -------------------------------------------------------------------

    def _uses_web_client(self):
        """Return whether this user has ever opened a web session, as far as the database knows."""
        self.ensure_one()
        return bool(
            self.env.execute_query(
                SQL(
                    "SELECT WHERE EXISTS (SELECT FROM res_device_log WHERE user_id = %(user)s)"
                    " OR EXISTS (SELECT FROM mail_presence WHERE user_id = %(user)s)",
                    user=self.id,
                )
            )
        )

    def _last_password_call(self):
        """Return when an external system last signed in as this user by password, or None.

        The log is searched by login, because that has an index.
        """
        self.ensure_one()
        [[last]] = self.env.execute_query(
            SQL(
                "SELECT max(last_seen) FROM auth_attempt WHERE login = %s AND user_id = %s"
                " AND outcome = 'success' AND key_id IS NULL AND channel IN ('xmlrpc', 'jsonrpc')",
                self.login,
                self.id,
            )
        )
        return last

    def _kind_of_user(self):
        """Return the group that makes this user an internal or a portal user."""
        return self.all_group_ids & self.env["res.groups"]._get_user_type_groups()

    def _offered_groups(self):
        """Return the groups a replacing integration user may get: theirs beyond the user type."""
        self.ensure_one()
        kind = self._kind_of_user()
        return self.all_group_ids - kind.all_implied_ids

    def _conversion_blocking_reason(self):
        """Return why this account cannot become the integration user of its own keys, or False.

        :rtype: str | bool
        """
        self.ensure_one()
        if not self.env.is_system():
            return self.env._(
                "Only a Settings administrator can make an existing account an integration user."
            )
        if not self.active:
            return self.env._(
                "%(user)s is archived. Restore the user, or create a new integration user.",
                user=self.name,
            )
        if self == self.env.ref("base.user_admin", raise_if_not_found=False):
            return self.env._(
                "%(user)s is the administrator account and cannot be an integration user.",
                user=self.name,
            )
        return self._takeover_blocking_reason()

    def _is_account_of_systems(self):
        """Return whether to propose that this account itself becomes the integration user."""
        return not self._uses_web_client() and not self._conversion_blocking_reason()

    def _check_offered(self, groups):
        """Prevent a new integration user from getting more rights than the user it replaces.

        :raise UserError: a group gives more
        """
        if beyond := groups.all_implied_ids - self.all_group_ids:
            raise UserError(
                self.env._(
                    "%(user)s does not have the access rights %(groups)s. An integration user can"
                    " have only rights of the user it replaces.",
                    user=self.name,
                    groups=", ".join(beyond.mapped("display_name")),
                )
            )

    def _settle_like(self, person):
        """Copy the values of a person that affect responses to a new integration user.

        These are its companies, language and time zone; for a portal user also the user type and
        the customer.
        """
        self.write(
            {
                "company_id": person.company_id.id,
                "company_ids": [Command.set(person.company_ids.ids)],
                "lang": person.lang,
                "tz": person.tz,
            }
        )
        if person.share:
            self.group_ids = [Command.set(person._kind_of_user().ids)]
            self.partner_id.parent_id = person.partner_id.commercial_partner_id

    def action_convert_api_keys(self):
        """Open the dialog that converts the personal API keys of these users."""
        keys = self.env["auth.integration.key"].search(
            [("user_id", "in", self.ids), ("integration_id", "=", False), ("is_live", "=", True)]
        )
        if not keys:
            raise UserError(self.env._("This user has no active personal API key."))
        return keys.action_convert()
