from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError

from ..tools.integration import networks

# Only addresses that were refused within this period are unlocked.
LOOK_BACK = timedelta(hours=24)


class ResUsers(models.Model):
    """Users whose password was guessed too often, and the button that lets them sign in again."""

    _inherit = "res.users"

    is_sign_in_paused = fields.Boolean(
        "Sign-in Paused",
        compute="_compute_is_sign_in_paused",
        groups="base.group_erp_manager",
        help="Too many wrong passwords were tried for this login.",
    )

    @api.depends("login")
    def _compute_is_sign_in_paused(self):
        paused = self.env["auth.throttle"]._full_logins(self.mapped("login"))
        for user in self:
            user.is_sign_in_paused = user.login in paused

    def action_unlock_sign_in(self):
        """Let users sign in again at once, also from addresses that were refused recently.

        For administrators; the last one who was locked out can run it in ``odoo shell``.
        """
        if not (self.env.su or self.env.user.has_group("base.group_erp_manager")):
            raise AccessError(self.env._("Only an administrator can unlock a user."))
        for user in self.sudo():
            self.env["auth.throttle"]._unlock(user.login, user._refused_addresses())
            text = self.env._("Sign-in unlocked. Failed attempts were reset.")
            # Users have no chatter of their own, so post on the partner.
            author = self.env.user.partner_id.id
            user.partner_id.message_post(body=text, author_id=author)
            for integration in user._integration():
                integration.message_post(body=text, author_id=author)
        return True

    def _refused_addresses(self):
        """Return the addresses from which this login was refused recently."""
        groups = self.env["auth.attempt"].sudo()._read_group(
            [
                ("user_id", "=", self.id),
                ("cause", "=", "throttled"),
                ("last_seen", ">", fields.Datetime.now() - LOOK_BACK),
            ],
            ["remote_addr"],
            limit=100,
        )
        return [address for [address] in groups if networks.normalize(address)]
