from odoo import api, models

# Actions for people in the user form's menu: integration users have no password, email or device.
PEOPLE_ACTIONS = (
    "base.change_password_wizard_action",
    "auth_signup.action_send_password_reset_instructions",
    "auth_totp.action_disable_totp",
    "auth_totp_mail.action_invite_totp",
)


class ResUsers(models.Model):
    """Mark the actions that the form of an integration user hides."""

    _inherit = "res.users"

    @api.model
    @api.readonly
    def get_views(self, views, options=None):
        """Extend :meth:`BaseModel.get_views`; see static/src/js/people_actions.js."""
        result = super().get_views(views, options)
        found = [self.env.ref(name, raise_if_not_found=False) for name in PEOPLE_ACTIONS]
        ids = {action.id for action in found if action}
        for view in result["views"].values():
            toolbar = view.get("toolbar") or {}
            if "action" in toolbar:  # copied, because other requests share the entries
                toolbar["action"] = [
                    {**action, "is_for_people": action["id"] in ids}
                    for action in toolbar["action"]
                ]
        return result
