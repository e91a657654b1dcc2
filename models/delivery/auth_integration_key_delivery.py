from datetime import timedelta

from odoo import api, fields, models

KEEP_DAYS = 30
BATCH = 1000


class AuthIntegrationKeyDelivery(models.Model):
    """A message to an external system with a new key, or a test without a key.

    For a new key, the row is committed as not confirmed before the message is sent, and stays so if
    the process dies. It contains no secret, and only the status of the answer.
    """

    _name = "auth.integration.key.delivery"
    _description = "Key Delivery"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "id desc"
    _rec_name = "sent_at"
    _allow_sudo_commands = False

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade", index=True
    )
    rotation_id = fields.Many2one(
        "auth.integration.rotation", readonly=True, ondelete="cascade", index="btree_not_null"
    )
    key_id = fields.Many2one(
        "auth.integration.key", "API Key", readonly=True, ondelete="set null",
        index="btree_not_null", help="The new key that was sent. Empty for a test.",
    )
    content = fields.Char("Message", compute="_compute_content")
    sent_at = fields.Datetime("Sent", readonly=True, required=True, default=fields.Datetime.now)
    sent_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    result = fields.Selection(
        [
            ("delivered", "Delivered"),
            ("rejected", "Rejected"),
            ("uncertain", "Not Confirmed"),
        ],
        readonly=True,
        required=True,
        default="uncertain",
        help="Rejected: the external system does not have the key. Not Confirmed: it may have it.",
    )
    status = fields.Integer("Response", readonly=True, help="The HTTP status of the response.")
    latency = fields.Integer(
        "Latency (ms)", readonly=True, help="How long the external system took to respond."
    )
    error = fields.Char(readonly=True)

    @api.depends("rotation_id", "key_id")
    def _compute_content(self):
        for delivery in self:
            unnamed = self.env._("New key") if delivery.rotation_id else self.env._("Test")
            delivery.content = delivery.key_id.display_name or unnamed

    @api.autovacuum
    def _gc_deliveries(self):
        """Delete deliveries after 30 days."""
        old = self.search(
            [("sent_at", "<", fields.Datetime.now() - timedelta(days=KEEP_DAYS))], limit=BATCH
        )
        old.unlink()
        return len(old), len(old) == BATCH
