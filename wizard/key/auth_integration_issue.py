import contextlib

from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import UserError

from ...models.access.auth_integration_key_access import ACCESS
from ...tools.access.access_rules import ENFORCE, FULL, LISTED
from ...tools.access.operation_text import read_operations
from ...tools.key.key_state import Dates
from ..show_secret import show_key_action


class AuthIntegrationIssue(models.TransientModel):
    """Ask for the description, end and access of a new key, then show the key once.

    The key itself is not a field here, because a transient record is a row in the database.
    """

    _name = "auth.integration.issue"
    _description = "Create Key"
    _inherit = ["auth.integration.dialog.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"name": 200, "operations": 20000}

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    like_key_id = fields.Many2one(
        "auth.integration.key", "Instead of", readonly=True, ondelete="cascade",
        help="The description and the access of this key are proposed for the new one.",
    )
    name = fields.Char(
        "Description",
        compute="_compute_name",
        compute_sudo=False,
        precompute=True,
        store=True,
        readonly=False,
        required=True,
    )
    expires_at = fields.Datetime(
        "Expires", help="Leave empty to use the policy. A date set here is final."
    )
    access = fields.Selection(
        ACCESS, compute="_compute_access", compute_sudo=False, precompute=True, store=True,
        readonly=False, required=True,
    )
    operations = fields.Text(
        compute="_compute_operations", compute_sudo=False, store=True, readonly=False,
        help="One per line: the model, a dot and the method. The method * stands for all of them.",
    )
    replace_by = fields.Datetime(compute="_compute_dates", compute_sudo=False)
    works_until = fields.Datetime(compute="_compute_dates", compute_sudo=False)
    max_age_days = fields.Integer(
        related="integration_id.policy_id.max_age_days", related_sudo=False
    )

    # One method per field: a method with several fields is not called if one of them is given.

    @api.depends("integration_id", "like_key_id")
    def _compute_name(self):
        for wizard in self:
            wizard.name = wizard._like_key().name or wizard.integration_id.name

    @api.depends("integration_id", "like_key_id")
    def _compute_access(self):
        for wizard in self:
            by_policy = wizard.integration_id.policy_id.default_access
            wizard.access = wizard._like_key().access or by_policy or FULL

    @api.depends("integration_id", "like_key_id")
    def _compute_operations(self):
        for wizard in self:
            wizard.operations = wizard._operations_of_like_key()

    @api.depends("integration_id", "expires_at")
    def _compute_dates(self):
        """Compute the two dates that the key will have; none if the chosen date is not allowed."""
        keys = self.env["auth.integration.key"]
        for wizard in self:
            integration, dates = wizard.integration_id, Dates(None, None)
            with contextlib.suppress(UserError):
                if integration:
                    dates = keys._dates_at_issue(integration, wizard.expires_at)
            wizard.replace_by, wizard.works_until = dates.replace_by, dates.expires_at

    def _like_key(self):
        """Return the key that the new one is to replace, if it is of the same integration."""
        key = self.like_key_id
        return key if key.integration_id == self.integration_id else key.browse()

    def _operations_of_like_key(self):
        """Return the operations of the key to be replaced, or of the newest working key with some.

        Only keys with selected operations are considered.
        """
        listed = self._like_key().filtered(lambda key: key.access == LISTED) or (
            self.integration_id.key_ids.filtered(lambda key: key.is_live and key.access == LISTED)
        )
        allowed = listed.sorted("id")[-1:].operation_ids.filtered("allowed")
        return "\n".join(allowed.mapped("display_name")) or False

    @check_identity
    def action_issue(self):
        """Issue the key, and show it once in another dialog."""
        self.ensure_one()
        issued = self.integration_id._issue_key(
            self.name, self.expires_at, self.access, self._listed_operations()
        )
        self._keep_rules_of_like_key(issued["prefix"])
        return show_key_action(self.integration_id, issued["key"])

    def _keep_rules_of_like_key(self, prefix):
        """Give the new key the networks of the key to be replaced and, for equal access, its mode.

        The dialog does not ask for these, and they must not get lost.
        """
        old = self._like_key()
        mode = old.access == self.access and old.access_mode or ENFORCE
        if mode == ENFORCE and not old.allowed_networks:
            return
        self.integration_id.key_ids.filtered(
            lambda key: key.prefix == prefix and key.state == "pending"
        ).sorted("id")[-1:]._set_access(
            mode=mode,
            networks=old.allowed_networks or "",
            reason=self.env._("As for the key %s", old.display_name),
        )

    def _listed_operations(self):
        """Return the entered operations, or False if the access needs none.

        :raise UserError: a line is not an operation, or there is no line
        """
        if self.access != LISTED:
            return False
        try:
            operations = read_operations(self.operations)
        except ValueError as error:
            raise UserError(
                self.env._(
                    "“%(line)s” is not an operation. Enter the model, a dot and the method, for"
                    " example res.partner.search_read.",
                    line=str(error)[:100],
                )
            ) from error
        if not operations:
            raise UserError(self.env._("Enter at least one operation."))
        return [list(operation) for operation in operations]
