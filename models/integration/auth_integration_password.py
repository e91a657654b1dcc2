from odoo import models
from odoo.exceptions import AccessError

from .auth_integration_rights import MANAGER


class AuthIntegration(models.Model):
    """Remove the passwords that integration users had before they became integration users."""

    _inherit = "auth.integration"

    def _remove_passwords(self):
        """Remove the passwords of the integration users, and note it in the chatter.

        :raise AccessError: the current user is no manager, or see
            :meth:`_check_may_operate`
        """
        if not (self.env.su or self.env.user.has_group(MANAGER)):
            raise AccessError(
                self.env._(
                    "Only administrators of integrations can remove the password of an"
                    " integration user."
                )
            )
        self.check_access("read")
        self._check_may_grant(as_owner=True)
        removed = self.sudo().user_id._remove_passwords()
        for integration in self.filtered(lambda one: one.sudo().user_id in removed):
            integration.sudo().message_post(
                body=self.env._(
                    "%(user)s removed the password of the integration user %(login)s.",
                    user=self.env.user.name,
                    login=integration.sudo().login,
                ),
                author_id=self.env.user.partner_id.id,
            )
