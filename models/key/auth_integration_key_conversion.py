from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools.row_locks import wait_and_lock


class AuthIntegrationKey(models.Model):
    """Which personal keys used by external systems can be converted, and by whom."""

    _inherit = "auth.integration.key"

    is_convertible = fields.Boolean(compute="_compute_is_convertible", compute_sudo=True)

    @api.depends("state", "integration_id", "scope")
    def _compute_is_convertible(self):
        for key in self:
            key.is_convertible = not key._conversion_blocking_reason()

    def _conversion_blocking_reason(self):
        """Return why this key cannot be converted to an integration, or False if it can.

        :rtype: str | bool
        """
        self.ensure_one()
        key = self.sudo()
        if key.integration_id:
            return self.env._(
                "The key %(prefix)s… already belongs to %(integration)s.",
                prefix=key.prefix,
                integration=key.integration_id.name,
            )
        if not key.is_live or not key.user_id:
            return self.env._("The key %(prefix)s… no longer works.", prefix=key.prefix)
        if key.scope not in (False, "rpc"):
            return self.env._(
                "The key %(prefix)s… is not valid for external systems.", prefix=key.prefix
            )
        replacement = self.env["auth.integration.key"].sudo().search(
            [("replaces_id", "=", key.id), ("is_live", "=", True)], limit=1
        )
        if replacement:
            return self.env._(
                "The key %(prefix)s… is already being replaced by %(new)s… of %(integration)s.",
                prefix=key.prefix,
                new=replacement.prefix,
                integration=replacement.integration_id.name or "",
            )
        return False

    def _check_may_convert(self):
        """Allow conversion to users who may create integrations and revoke these keys.

        :raise AccessError: the current user may not do both
        """
        self.env["auth.integration"].check_access("create")
        self._check_may_end()

    def _lock_for_conversion(self):
        """Lock these keys until this transaction ends.

        :raise UserError: one of them cannot be converted (any more)
        """
        wait_and_lock(self.sudo())
        for key in self:
            if reason := key._conversion_blocking_reason():
                raise UserError(reason)

    def action_convert(self):
        """Open the dialog that converts these personal keys to integrations."""
        self._check_may_convert()
        return self.env["auth.integration.convert"]._open(self)
