from odoo import Command, api, fields, models
from odoo.exceptions import UserError

from ...models.access.auth_integration_key_access import ACCESS, MODES
from ...models.mixins.fresh_identity import fresh_identity
from ...tools.access import access_rules
from ...tools.access.access_rules import KeyAccess


class AuthIntegrationAccess(models.TransientModel):
    """Ask what a key may do, and show which past calls that would have rejected."""

    _name = "auth.integration.access"
    _description = "Change Access"
    _inherit = ["auth.integration.dialog.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"reason": 500, "allowed_networks": 20000}

    key_id = fields.Many2one(
        "auth.integration.key", required=True, readonly=True, ondelete="cascade"
    )
    access = fields.Selection(ACCESS, required=True, default="full")
    access_mode = fields.Selection(MODES, "Mode", required=True, default="enforce")
    line_ids = fields.One2many("auth.integration.access.line", "wizard_id", "Operations")
    allowed_networks = fields.Text("Networks")
    reason = fields.Char()
    is_suggested = fields.Boolean()
    effect = fields.Text(compute="_compute_effect", compute_sudo=False)
    unused_rights = fields.Text(compute="_compute_unused_rights", compute_sudo=False)

    @api.model
    def _open(self, key, is_suggested=False):
        """Return the action of this dialog for one key, filled with its current access.

        :param is_suggested: fill in the access suggested from its use instead
        """
        present = key.sudo()._current_access()
        wanted = (key._suggested_access() if is_suggested else present) or present
        dialog = self.create(
            {
                "key_id": key.id,
                "access": wanted.access,
                "access_mode": present.mode,
                "allowed_networks": present.networks or False,
                "reason": is_suggested and self.env._("Suggested from its use"),
                "is_suggested": is_suggested and wanted is not present,
                "line_ids": [
                    Command.create(line) for line in self._lines(key, wanted.operations)
                ],
            }
        )
        return dialog._get_records_action(name=self.env._("Change Access"), target="new")

    @api.model
    def _lines(self, key, allowed):
        """Yield values of a line for each operation that a key has called or may call."""
        known = {
            (operation.model, operation.method): operation
            for operation in key.sudo().operation_ids
        }
        for model, method in sorted(allowed | known.keys()):
            operation = known.get((model, method), key.sudo().operation_ids.browse())
            yield {
                "model": model,
                "method": method,
                "allowed": (model, method) in allowed,
                "use_count": operation.use_count,
                "write_count": operation.write_count,
                "refused_count": operation.refused_count,
                "last_used_at": operation.last_used_at,
            }

    def _wanted_access(self):
        """Return the access that is chosen in this dialog.

        :rtype: KeyAccess
        """
        self.ensure_one()
        return KeyAccess(
            self.access,
            self.access_mode if self.access != access_rules.FULL else access_rules.ENFORCE,
            frozenset(
                ((line.model or "").strip(), (line.method or "").strip())
                for line in self.line_ids
                if line.allowed
            ),
            self.allowed_networks or "",
        )

    @api.depends("key_id", "access", "line_ids.allowed", "line_ids.model", "line_ids.method")
    def _compute_effect(self):
        for dialog in self:
            key = dialog.key_id._origin
            dialog.effect = key._effect_text(dialog._wanted_access()) if key else False

    @api.depends("key_id")
    def _compute_unused_rights(self):
        for dialog in self:
            key = dialog.key_id._origin
            dialog.unused_rights = key._unused_rights_text() if key else False

    def action_suggest(self):
        """Fill the dialog with the access suggested from the use of the key."""
        self.ensure_one()
        wanted = self.key_id._suggested_access()
        if wanted is None:
            raise UserError(
                self.env._(
                    "Nothing can be suggested yet: no call of this key was counted in the last 90"
                    " days, or it calls too many different operations."
                )
            )
        self.line_ids.unlink()
        self.write(
            {
                "access": wanted.access,
                "is_suggested": True,
                "reason": self.reason or self.env._("Suggested from its use"),
                "line_ids": [
                    Command.create(line) for line in self._lines(self.key_id, wanted.operations)
                ],
            }
        )
        return self._get_records_action(name=self.env._("Change Access"), target="new")

    def action_change(self):
        """Change the access of the key; allowing more takes an identity check first."""
        self.ensure_one()
        present = self.key_id.sudo()._current_access()
        if self.key_id._is_widened(self._wanted_access(), present):
            return self._widen()
        return self._change()

    @fresh_identity
    def _widen(self):
        """Do the work of :meth:`action_change` if more is allowed, after an identity check."""
        return self._change()

    def _change(self):
        wanted = self._wanted_access()
        self.key_id._set_access(
            wanted.access, wanted.mode, sorted(wanted.operations), wanted.networks, self.reason
        )
        return {"type": "ir.actions.act_window_close"}


class AuthIntegrationAccessLine(models.TransientModel):
    """An operation in the dialog that changes the access of a key."""

    _name = "auth.integration.access.line"
    _description = "Operation of Change Access"
    _inherit = ["auth.integration.dialog.mixin"]
    _order = "model, method, id"

    wizard_id = fields.Many2one("auth.integration.access", required=True, ondelete="cascade")
    model = fields.Char(required=True)
    method = fields.Char(required=True)
    allowed = fields.Boolean(default=True)
    use_count = fields.Integer("Calls", readonly=True)
    write_count = fields.Integer("Writes", readonly=True)
    refused_count = fields.Integer("Rejected", readonly=True)
    last_used_at = fields.Datetime("Last Call", readonly=True)
