from odoo import api, fields, models
from odoo.addons.base.models.res_users import INDEX_SIZE, KEY_CRYPT_CONTEXT
from odoo.exceptions import AccessDenied


class ResUsersApikeys(models.Model):
    _inherit = "res.users.apikeys"

    def _check_credentials(self, *, scope, key):
        """Refuse the keys with one prefix after all other checks have accepted them."""
        uid = super()._check_credentials(scope=scope, key=key)
        parameters = self.env["ir.config_parameter"].sudo()
        refused = key[:8] == parameters.get_param("other_key_check.refused_after_all")
        return None if refused else uid

    # Newer builds of Odoo have these two public methods, which use the same private methods.

    @api.model
    def generate(self, key, scope, name, expiration_date):
        if hasattr(super(), "generate"):
            return super().generate(key, scope, name, expiration_date)
        uid = self.env["res.users.apikeys"]._check_credentials(scope=scope or "rpc", key=key)
        if not uid or uid != self.env.uid:
            raise AccessDenied()
        return self._generate(scope, name, fields.Datetime.to_datetime(expiration_date))

    @api.model
    def revoke(self, key):
        if hasattr(super(), "revoke"):
            return super().revoke(key)
        self.env.cr.execute(
            "SELECT id, key FROM res_users_apikeys WHERE index = %s", [key[:INDEX_SIZE]]
        )
        for native_id, stored_hash in self.env.cr.fetchall():
            if KEY_CRYPT_CONTEXT.verify(key, stored_hash):
                self.browse(native_id)._remove()
                return True
        raise AccessDenied()
