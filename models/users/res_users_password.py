from odoo import api, fields, models
from odoo.tools import SQL

from ..mixins.fresh_identity import fresh_identity

MANAGER = "auth_integration.auth_integration_group_manager"


class ResUsers(models.Model):
    """Passwords of integration users: unusable with this app, but usable without it."""

    _inherit = "res.users"

    has_unusable_password = fields.Boolean(
        compute="_compute_has_unusable_password",
        compute_sudo=True,
        groups=MANAGER,
        help="This integration user has a password. It cannot be used to sign in.",
    )

    @api.depends("password")
    def _compute_has_unusable_password(self):
        rows = self.env.execute_query(
            SQL(
                "SELECT id FROM res_users WHERE id = ANY(%s) AND COALESCE(password, '') <> ''",
                self._origin._integration_users().ids,
            )
        )
        with_password = {id_ for [id_] in rows}
        for user in self:
            user.has_unusable_password = user._origin.id in with_password

    @fresh_identity
    def action_remove_password(self):
        """Remove the passwords of these integration users.

        :raise AccessError: the current user may not
        """
        integrations = self.env["auth.integration"].sudo().with_context(active_test=False)
        found = integrations.search([("user_id", "in", self.ids)])
        found.with_env(self.env)._remove_passwords()
        return True

    def _remove_passwords(self):
        """Remove the stored password hashes of these users.

        This uses SQL because core hashes whatever is written, even an empty value.

        :return: the users that had a password
        """
        rows = self.env.execute_query(
            SQL(
                "UPDATE res_users SET password = NULL WHERE id = ANY(%s)"
                " AND COALESCE(password, '') <> '' RETURNING id",
                self.ids,
            )
        )
        self.invalidate_recordset(["password", "has_unusable_password"])
        self.env.registry.clear_cache()  # accepted passwords are cached
        return self.browse(id_ for [id_] in rows)
