from odoo import models


class ResUsersApikeys(models.Model):
    _inherit = "res.users.apikeys"

    def _check_credentials(self, *, scope, key):
        """Refuse the keys with one prefix, and accept one token that is not a key."""
        parameters = self.env["ir.config_parameter"].sudo()
        if key[:8] == parameters.get_param("other_key_check.refused_prefix"):
            return None
        if key == parameters.get_param("other_key_check.token"):
            return int(parameters.get_param("other_key_check.token_uid"))
        return super()._check_credentials(scope=scope, key=key)
