from odoo import fields, models, tools


class ResUsers(models.Model):
    """What happens after a user has been unlocked: the time is stored and a message is shown."""

    _inherit = "res.users"

    sign_in_unlocked_at = fields.Datetime(
        "Unlocked", readonly=True, copy=False, groups="base.group_erp_manager"
    )

    def action_unlock_sign_in(self):
        """Extend ``action_unlock_sign_in``: calls rejected earlier count as fixed."""
        super().action_unlock_sign_in()
        self.sudo().sign_in_unlocked_at = fields.Datetime.now()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self._may_sign_in_text(),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _may_sign_in_text(self):
        logins = tools.format_list(self.env, self.sudo().mapped("login"))
        return self.env._("%(login)s can sign in again.", login=logins)
