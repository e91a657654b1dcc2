from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain


class ResUsers(models.Model):
    """Fields about integrations and API keys on the form and list of users."""

    _inherit = "res.users"

    # Employees read users without any right on integrations; the ``groups`` keep that working. They
    # also prevent a leak: core compares such a field with an id or with nothing as superuser, so
    # filtering by it would reveal which users the hidden records belong to.
    integration_ids = fields.One2many(
        "auth.integration",
        "user_id",
        context={"active_test": False},
        groups="auth_integration.auth_integration_group_manager",
    )
    # Computed, because owners are only set on the integration, where the rights are checked.
    owned_integration_ids = fields.Many2many(
        "auth.integration",
        string="Owned Integrations",
        compute="_compute_owned_integration_ids",
        search="_search_owned_integration_ids",
        groups="auth_integration.auth_integration_group_owner",
    )
    # Users may read their own: see SELF_READABLE_FIELDS.
    api_key_record_ids = fields.One2many(
        "auth.integration.key",
        "user_id",
        "API Key Records",
        groups="auth_integration.auth_integration_group_manager",
    )
    # Computed with the rights of the current user, so it reveals no hidden keys.
    has_api_key_records = fields.Boolean(compute="_compute_has_api_key_records", compute_sudo=False)
    has_live_api_key = fields.Boolean(
        "Active API key",
        compute="_compute_has_live_api_key",
        compute_sudo=True,
        search="_search_has_live_api_key",
        groups="base.group_erp_manager",
        help="The user has an API key that has not expired. While the user is archived, it is"
             " blocked.",
    )
    api_key_flag = fields.Selection(
        [("live", "Active key"), ("refused", "Blocked key")],
        "API Key",
        compute="_compute_has_live_api_key",
        compute_sudo=True,
        groups="base.group_erp_manager",
    )
    archive_warning = fields.Text(
        compute="_compute_archive_warning",
        compute_sudo=True,
        groups="base.group_erp_manager",
        help="External systems whose calls are rejected if this user is archived.",
    )
    needs_handover = fields.Boolean(
        compute="_compute_needs_handover",
        compute_sudo=True,
        groups="auth_integration.auth_integration_group_manager",
        help="This user is the only active owner of an integration.",
    )

    def _compute_owned_integration_ids(self):
        integrations = self.env["auth.integration"].search([("owner_ids", "in", self.ids)])
        for user in self:
            user.owned_integration_ids = integrations.filtered(
                lambda integration, owner=user._origin: owner in integration.owner_ids
            )

    def _search_owned_integration_ids(self, operator, value):
        if operator not in ("in", "any"):
            return NotImplemented
        integrations = self.env["auth.integration"]
        if operator == "in" and False in value:  # users who own none
            owned = integrations.search([("owner_ids", "!=", False)])
            return ~Domain("id", "in", owned.owner_ids.ids)
        found = integrations.search(value if operator == "any" else [("id", "in", list(value))])
        return Domain("id", "in", found.owner_ids.ids)

    @api.depends_context("uid")
    def _compute_has_api_key_records(self):
        keys = self.env["auth.integration.key"].with_env(self.env(su=False))
        groups = keys._read_group([("user_id", "in", self.ids)], ["user_id"])
        holders = {user.id for [user] in groups}
        for user in self:
            user.has_api_key_records = user._origin.id in holders

    @api.depends("api_key_record_ids", "active")
    def _compute_has_live_api_key(self):
        groups = self.env["auth.integration.key"]._read_group(
            [("user_id", "in", self.ids), ("is_live", "=", True)], ["user_id"]
        )
        holders = {user.id for [user] in groups}
        for user in self:
            user.has_live_api_key = user._origin.id in holders
            user.api_key_flag = user.has_live_api_key and ("live" if user.active else "refused")

    def _search_has_live_api_key(self, operator, value):
        # Core does not check the groups of a field with a search method, and a path through other
        # models may arrive here as superuser.
        as_user = self.with_env(self.env(su=False))
        as_user._check_field_access(self._fields["has_live_api_key"], "read")
        if operator not in ("in", "not in"):
            return NotImplemented
        live = self.env["auth.integration.key"].sudo()._search([("is_live", "=", True)])
        holders = Domain("id", "in", live.subselect("user_id"))
        wanted = (holders if True in value else Domain.FALSE) | (
            ~holders if False in value else Domain.FALSE
        )
        return wanted if operator == "in" else ~wanted

    @api.depends("api_key_record_ids")
    @api.depends_context("lang", "tz")
    def _compute_archive_warning(self):
        for user in self:
            user.archive_warning = user.api_key_record_ids._impact_warning()

    def action_restore_archived(self):
        """Unarchive users, from the list of archived users who still have live keys."""
        if not self.env.user.has_group("base.group_erp_manager"):
            raise UserError(self.env._("Only an administrator can restore a user."))
        return self.action_unarchive()

    @api.depends("active")
    def _compute_needs_handover(self):
        """Compute whether an integration would have no active owner without this user."""
        owned = self.env["auth.integration"].sudo().search([("owner_ids", "in", self.ids)])
        owners = [integration.owner_ids.filtered("active") for integration in owned]
        alone = self.browse().union(*(users for users in owners if len(users) == 1))
        for user in self:
            user.needs_handover = user.active and user._origin in alone
