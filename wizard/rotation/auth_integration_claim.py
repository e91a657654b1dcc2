from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity

from ..show_secret import show_key_action


class AuthIntegrationClaim(models.TransientModel):
    """Explain what claiming does, check the owner's identity, and show the new key once."""

    _name = "auth.integration.claim"
    _description = "Claim New Key"
    _inherit = ["auth.integration.dialog.mixin"]

    rotation_id = fields.Many2one(
        "auth.integration.rotation", required=True, readonly=True, ondelete="cascade"
    )
    integration_id = fields.Many2one(related="rotation_id.integration_id", related_sudo=False)
    old_prefix = fields.Char(
        "Old Key", related="rotation_id.old_key_id.prefix", related_sudo=False
    )
    old_expires_at = fields.Datetime(
        "Old Key Expires", related="rotation_id.old_key_id.effective_end", related_sudo=False
    )
    access_summary = fields.Char(
        "Access", related="rotation_id.old_key_id.access_summary", related_sudo=False
    )
    old_key_text = fields.Char(compute="_compute_old_key_text", compute_sudo=False)
    is_sent = fields.Boolean(related="rotation_id.is_sent", related_sudo=False)
    claimed_before = fields.Boolean(compute="_compute_claimed_before")

    @api.depends("rotation_id")
    def _compute_old_key_text(self):
        """Set the text only for users who may read the rotation: anybody can trigger this."""
        for wizard in self:
            rotation = wizard.rotation_id
            wizard.old_key_text = rotation.has_access("read") and rotation.old_key_text

    def _compute_claimed_before(self):
        for wizard in self:
            wizard.claimed_before = bool(wizard.rotation_id.new_key_id)

    @check_identity
    def action_claim(self):
        """Create the new key and show it once."""
        self.ensure_one()
        secret, _key = self.rotation_id._claim()
        return show_key_action(self.rotation_id.integration_id, secret)
