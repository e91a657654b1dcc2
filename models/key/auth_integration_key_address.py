from odoo import fields, models


class AuthIntegrationKeyAddress(models.Model):
    """An address from which a key was used, with the first and the last time."""

    _name = "auth.integration.key.address"
    _description = "Address of an API Key"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "last_seen desc, id desc"
    _rec_name = "address"
    _allow_sudo_commands = False
    _log_access = False

    key_id = fields.Many2one(
        "auth.integration.key", ondelete="cascade", required=True, readonly=True
    )
    integration_id = fields.Many2one(related="key_id.integration_id")
    address = fields.Char(required=True, readonly=True)
    first_seen = fields.Datetime(required=True, readonly=True)
    last_seen = fields.Datetime(required=True, readonly=True)
    use_count = fields.Integer("Uses", readonly=True)

    _key_address_uniq = models.UniqueIndex("(key_id, address)")
    _address_idx = models.Index("(address, last_seen)")
    _first_seen_idx = models.Index("(first_seen)")
