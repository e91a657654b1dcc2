from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity


class AuthIntegrationIssue(models.TransientModel):
    """Ask for a new key's purpose and end, then show the key once.

    The key itself is no field here: a transient record is a row in the database.
    """

    _name = "auth.integration.issue"
    _description = "Issue API Key"
    _inherit = ["auth.integration.free.text.mixin"]
    _free_texts = {"name": 200}

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    # With the rights of who asks: anybody may name any integration in a dialogue of his own.
    name = fields.Char(
        "Description",
        compute="_compute_defaults",
        compute_sudo=False,
        store=True,
        readonly=False,
        required=True,
    )
    expires_at = fields.Datetime(
        "Expires", help="Leave empty to use the policy. A date set here is final."
    )
    max_age_days = fields.Integer(
        related="integration_id.policy_id.max_age_days", related_sudo=False
    )

    @api.depends("integration_id")
    def _compute_defaults(self):
        for wizard in self:
            wizard.name = wizard.integration_id.name

    @check_identity
    def action_issue(self):
        """Issue the key and show it, this once, in a dialogue of its own."""
        self.ensure_one()
        issued = self.integration_id._issue_key(self.name, self.expires_at)
        return show_key_action(self.env, issued["key"])


def show_key_action(env, secret):
    """Action of the dialogue that shows a new key; the key travels in the context only."""
    return show_secret_action(env, "show_key", env._("API Key Ready"), secret)


def show_secret_action(env, view, title, secret):
    """Action of a dialogue that shows something secret, this once.

    :param view: the view's XML id is ``auth_integration_<view>_view_form``
    """
    return {
        "type": "ir.actions.act_window",
        "res_model": "res.users.apikeys.show",
        "name": title,
        "views": [(env.ref(f"auth_integration.auth_integration_{view}_view_form").id, "form")],
        "target": "new",
        "context": {"default_key": secret},
    }
