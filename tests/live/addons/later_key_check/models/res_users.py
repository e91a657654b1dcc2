from odoo import models
from odoo.exceptions import AccessDenied


class ResUsers(models.Model):
    _inherit = "res.users"

    def _check_credentials(self, credential, env):
        """Refuse one user, whatever the credential."""
        refused = self.env["ir.config_parameter"].sudo().get_param("later_key_check.refused_login")
        if self.env.user.login == refused:
            raise AccessDenied()
        return super()._check_credentials(credential, env)
