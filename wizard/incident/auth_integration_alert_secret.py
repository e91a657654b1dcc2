from odoo import fields, models
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import AccessError

from ...tools.delivery import signatures
from ..show_secret import show_signing_secret_action


class AuthIntegrationAlertSecret(models.TransientModel):
    """Create the secret that signs alerts of an integration or a company, and show it once."""

    _name = "auth.integration.alert.secret"
    _description = "Create Signing Secret"
    _inherit = ["auth.integration.dialog.mixin"]

    integration_id = fields.Many2one("auth.integration", readonly=True, ondelete="cascade")
    company_id = fields.Many2one("res.company", readonly=True, ondelete="cascade")

    @check_identity
    def action_create(self):
        """Replace the secret and show the new one once."""
        return show_signing_secret_action(self.env, self._create_secret())

    def _create_secret(self):
        self.ensure_one()
        if self.integration_id:
            self.integration_id._check_may_operate()
        elif not self.env.is_system():
            raise AccessError(self.env._("Only a Settings administrator can do this."))
        secret = signatures.new_secret()
        (self.integration_id or self.company_id)._set_alert_secret(secret)
        if self.integration_id:
            self.integration_id.sudo().message_post(
                body=self.env._(
                    "%(user)s created a new signing secret for alerts.", user=self.env.user.name
                )
            )
        return secret
