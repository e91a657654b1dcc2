from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError

from ...tools.integration.curl_command import curl_command

ACCESS_RIGHTS = "access_rights"  # the topic of requests to administrators
# For this long after the first call, the form shows that it came.
NEWS = timedelta(hours=1)


class AuthIntegration(models.Model):
    """The remaining setup steps until the external system has made its first call."""

    _inherit = "auth.integration"

    has_access_rights = fields.Boolean(
        compute="_compute_has_access_rights",
        compute_sudo=True,
        help="The integration user may use an app, beyond what every internal user may do, or its"
             " calls need no more than that.",
    )
    accessible_apps = fields.Char(compute="_compute_has_access_rights", compute_sudo=True)
    rights_were_requested = fields.Boolean(compute="_compute_rights_were_requested")
    is_never_called = fields.Boolean(
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_is_never_called",
        help="No key of this integration was ever used.",
    )
    first_call_at = fields.Datetime("First Call", compute="_compute_setup", compute_sudo=True)
    is_setting_up = fields.Boolean(
        compute="_compute_setup",
        compute_sudo=True,
        help="No call has succeeded yet, or the first one did within the last hour and nothing has"
             " gone wrong since.",
    )
    first_call_command = fields.Char("Test Command", compute="_compute_first_call_command")

    def _search_is_never_called(self, operator, value):
        return self._search_from_sql("is_never_called", operator, value)

    @api.depends("user_id.group_ids", "key_ids")
    def _compute_has_access_rights(self):
        everybody = self.env.ref("base.group_user").all_implied_ids
        for integration in self:
            apps = (integration.user_id.all_group_ids - everybody).privilege_id
            integration.has_access_rights = (
                bool(apps) or integration._has_rights_of_replaced_keys()
            )
            integration.accessible_apps = ", ".join(apps.mapped("name")) or False

    def _has_rights_of_replaced_keys(self):
        """Return whether the user has all rights that calls with the replaced personal keys need.

        False if there are no such keys, if they belong to several users, or if none was used
        recently.
        """
        user = self.user_id
        replaced = self.key_ids.replaces_id.filtered(lambda key: key.user_id != user)
        if len(replaced.user_id) != 1 or not any(key._recent_uses() for key in replaced):
            return False
        return replaced._needed_groups() <= user.all_group_ids

    def _compute_rights_were_requested(self):
        requests = self.env["auth.integration.admin.request"]
        for integration in self:
            integration.rights_were_requested = requests._was_made(
                integration._origin, ACCESS_RIGHTS
            )

    @api.depends(
        "is_never_called", "active", "user_active", "key_ids.first_used_at", "health"
    )
    def _compute_setup(self):
        now = fields.Datetime.now()
        for integration in self:
            used = integration.key_ids.mapped("first_used_at")
            first = min(filter(None, used), default=False)
            integration.first_call_at = first
            integration.is_setting_up = bool(
                integration._origin.id
                and integration.active
                and integration.user_active
                and (
                    integration.is_never_called
                    or first and first > now - NEWS and integration._works_since_first_call()
                )
            )

    def _works_since_first_call(self):
        """Return whether there is no critical issue and no rejection since the first call."""
        rejected, first = self.last_failure, self.first_call_at
        return self.health != "critical" and not (rejected and rejected > first)

    @api.depends("allowed_channels", "user_id")
    def _compute_first_call_command(self):
        for integration in self:
            integration.first_call_command = (
                integration.user_id and integration._first_call_command()
            )

    def _first_call_command(self, key=None):
        """Return a command for one call, with the key itself or a shell variable; or False."""
        return curl_command(
            self.get_base_url().rstrip("/"),
            self.env.cr.dbname,
            self.user_id.id,
            self._allowed_channel_set(),
            key,
        ) or False

    def action_set_access_rights(self):
        """Open the form with the groups of the integration user.

        :raise AccessError: the current user may not change them
        """
        self.ensure_one()
        if not self.env.user.has_group("base.group_erp_manager"):
            raise AccessError(
                self.env._(
                    "Only administrators with Access Rights permissions can change the groups of a"
                    " user."
                )
            )
        return self.user_id._get_records_action(
            name=self.env._("Set Access Rights"),
            views=[(self.env.ref("base.view_users_form").id, "form")],
        )

    def action_request_access_rights(self):
        """Ask an administrator to grant the access rights that the external system needs.

        :raise AccessError: the current user is neither owner nor manager
        """
        self.ensure_one()
        self.env["auth.integration.admin.request"]._make(
            self,
            ACCESS_RIGHTS,
            [
                self.env._(
                    "The integration user %(login)s needs access rights. Give it those that the"
                    " external system needs.",
                    login=self.sudo().login,
                )
            ],
            self,
        )
        self.invalidate_recordset(["rights_were_requested"])
        return True
