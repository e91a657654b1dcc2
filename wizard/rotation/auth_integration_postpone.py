from odoo import fields, models


class AuthIntegrationPostpone(models.TransientModel):
    """Ask until when a rotation is postponed, and why."""

    _name = "auth.integration.postpone"
    _description = "Postpone Rotation"
    _inherit = ["auth.integration.dialog.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"reason": 500}

    rotation_id = fields.Many2one(
        "auth.integration.rotation", required=True, readonly=True, ondelete="cascade"
    )
    deadline = fields.Datetime(
        "Old Key Expires", related="rotation_id.old_key_id.effective_end", related_sudo=False
    )
    until = fields.Datetime(required=True)
    reason = fields.Char(required=True)

    def action_postpone(self):
        """Postpone the rotation; see :meth:`auth.integration.rotation.postpone`."""
        self.rotation_id.postpone(self.until, self.reason)
        return {"type": "ir.actions.act_window_close"}
