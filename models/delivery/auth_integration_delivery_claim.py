from odoo import api, models


class AuthIntegrationDeliveryClaim(models.AbstractModel):
    """An owner claims the key, created only then; see :meth:`auth.integration.rotation._claim`."""

    _name = "auth.integration.delivery.claim"
    _inherit = "auth.integration.delivery"
    _description = "Owner claims the new key"
    _asks_owners = True

    @api.model
    def _label(self):
        return self.env._("Owner claims the new key")
