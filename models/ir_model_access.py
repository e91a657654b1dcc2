from odoo import api, models

from ..tools.access import enforcement
from ..tools.access.allowed_methods import SECRET_MODELS


class IrModelAccess(models.Model):
    """Keep limited keys from the credentials that the database stores, whoever their user is."""

    _inherit = "ir.model.access"

    @api.model
    def check(self, model, mode="read", raise_exception=True):
        """Extend :meth:`ir.model.access.check`, which every access to records asks."""
        if model in SECRET_MODELS and enforcement.is_kept_from_secrets(self.env):
            if raise_exception:
                raise self._make_access_error(model, mode)
            return False
        return super().check(model, mode, raise_exception)
