from odoo import api, fields, models

from ...tools.key import native_scope


class BaseModuleUninstall(models.TransientModel):
    """Warn in Odoo's uninstall dialog about keys that no longer work without this add-on."""

    _inherit = "base.module.uninstall"

    auth_integration_warning = fields.Text(compute="_compute_auth_integration_warning")

    @api.depends("module_ids")
    def _compute_auth_integration_warning(self):
        """Name the integrations whose keys are rejected once this add-on cannot limit them."""
        for wizard in self:
            leaving = "auth_integration" in wizard._get_modules().mapped("name")
            keys = leaving and self.env["auth.integration.key"].sudo().search(
                [("is_live", "=", True), ("apikey_id.scope", "=", native_scope.RESTRICTED)]
            )
            if not keys:
                wizard.auth_integration_warning = False
                continue
            wizard.auth_integration_warning = self.env._(
                "The API keys of these integrations are limited in what they can do or where they"
                " can be used: %(names)s. Without this app, Odoo cannot apply these limits and"
                " rejects these keys. To keep a key working, remove its limits and those of its"
                " integration first.",
                names=", ".join(sorted(set(keys.user_id.mapped("name")))),
            )
