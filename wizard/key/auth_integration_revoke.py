from odoo import Command, api, fields, models

from ...models.mixins.fresh_identity import fresh_identity
from ...tools.moment import moment_text


class AuthIntegrationRevoke(models.TransientModel):
    """Ask why keys are revoked; the reason is kept on their tombstones."""

    _name = "auth.integration.revoke"
    _description = "Revoke Key"
    _inherit = ["auth.integration.dialog.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"reason": 500}

    key_ids = fields.Many2many(
        "auth.integration.key",
        string="Keys",
        required=True,
        readonly=True,
        default=lambda self: self.env.context.get("active_ids"),
    )
    obtained_ids = fields.One2many(
        "auth.integration.revoke.obtained", "wizard_id", "Obtained Keys",
        compute="_compute_obtained_ids", store=True, readonly=False, compute_sudo=False,
    )
    reason = fields.Char(required=True)
    compromised = fields.Boolean(
        "Someone else may have this key",
        help="The key is marked as compromised. You cannot undo this revocation.",
    )

    key_count = fields.Integer(compute="_compute_key_count")
    alternative = fields.Char(compute="_compute_alternative")

    @api.depends("key_ids")
    def _compute_key_count(self):
        for dialog in self:
            dialog.key_count = len(dialog.key_ids)

    @api.depends("key_ids")
    def _compute_obtained_ids(self):
        """List the keys that were obtained with these, and select those that end by the rule."""
        for dialog in self:
            keys = dialog.key_ids._origin
            keys.check_access("read")
            ending = keys.sudo()._keys_to_revoke()
            dialog.obtained_ids = [
                Command.clear(),
                *(
                    Command.create({"key_id": key.id, "revoke": key in ending})
                    for key in keys._obtained_keys()
                ),
            ]

    @api.depends("key_ids")
    @api.depends_context("lang", "tz")
    def _compute_alternative(self):
        """Tell how the keys can be ended without downtime, if there is a way."""
        for dialog in self:
            dialog.alternative = dialog._alternative()

    def _alternative(self):
        keys = self.key_ids.filtered("is_live")
        if set(keys.mapped("state")) == {"retiring"}:
            end = moment_text(self.env, max(keys.mapped("retire_at")))
            if len(keys) == 1:
                return self.env._(
                    "This key is being replaced. It stops working by itself on %s.", end
                )
            return self.env._(
                "These keys are being replaced. The last one stops working by itself on %s.", end
            )
        if keys.filtered(lambda key: key.integration_id and key.state in ("pending", "active")):
            return self.env._("To replace a key without downtime, rotate it instead.")
        return False

    @fresh_identity
    def action_revoke(self):
        """Revoke the keys at once, and those of the keys obtained with them that are selected."""
        self.key_ids._revoke(
            self.reason,
            compromised=self.compromised,
            decided={line.key_id.id: line.revoke for line in self.obtained_ids},
        )
        return {"type": "ir.actions.act_window_close"}


class AuthIntegrationRevokeObtained(models.TransientModel):
    """A key that was obtained with the keys to revoke: revoke it too, or keep it."""

    _name = "auth.integration.revoke.obtained"
    _description = "Obtained Key of Revoke Key"
    _inherit = ["auth.integration.dialog.mixin"]

    wizard_id = fields.Many2one("auth.integration.revoke", ondelete="cascade")
    key_id = fields.Many2one("auth.integration.key", required=True, ondelete="cascade")
    revoke = fields.Boolean()
    prefix = fields.Char(related="key_id.prefix", related_sudo=False)
    issued_at = fields.Datetime("Created", related="key_id.issued_at", related_sudo=False)
    last_used_at = fields.Datetime(
        "Last Used", related="key_id.last_used_at", related_sudo=False
    )
    last_used_address = fields.Char(
        "From", related="key_id.last_used_address", related_sudo=False
    )
