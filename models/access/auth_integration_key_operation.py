from odoo import api, fields, models

from ...tools.access import access_rules


class AuthIntegrationKeyOperation(models.Model):
    """A method that a key calls or may call: whether it is allowed, and how often it was called.

    Rows are written only by changes of a key's access and with the uses of keys.  Neither
    arguments nor values are stored.
    """

    _name = "auth.integration.key.operation"
    _description = "Operation of an API Key"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "model, method, id"
    _allow_sudo_commands = False
    _log_access = False

    key_id = fields.Many2one(
        "auth.integration.key", ondelete="cascade", required=True, readonly=True
    )
    integration_id = fields.Many2one(related="key_id.integration_id")
    model = fields.Char(required=True, readonly=True)
    method = fields.Char(required=True, readonly=True, help="* stands for every method.")
    allowed = fields.Boolean(readonly=True, default=False)
    use_count = fields.Integer("Uses", readonly=True, default=0)
    write_count = fields.Integer(
        "Writing Uses", readonly=True, default=0, help="How many of the uses changed data."
    )
    refused_count = fields.Integer(
        "Rejected",
        readonly=True,
        default=0,
        help="How often it was rejected or, in report mode, would have been.",
    )
    first_used_at = fields.Datetime(readonly=True)
    last_used_at = fields.Datetime(readonly=True)

    _key_operation_uniq = models.UniqueIndex("(key_id, model, method)")

    def init(self):
        """Set database defaults for the columns, because rows are inserted by SQL."""
        self.env.cr.execute(
            """
            ALTER TABLE auth_integration_key_operation
                ALTER COLUMN allowed SET DEFAULT FALSE,
                ALTER COLUMN use_count SET DEFAULT 0,
                ALTER COLUMN write_count SET DEFAULT 0,
                ALTER COLUMN refused_count SET DEFAULT 0
            """
        )
        return super().init()

    @api.depends("model", "method")
    def _compute_display_name(self):
        for operation in self:
            pair = operation.model or "", operation.method or ""
            operation.display_name = access_rules.operation_name(pair)
