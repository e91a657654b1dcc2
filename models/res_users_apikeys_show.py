from odoo import api, fields, models

from ..tools.integration import networks


class ResUsersApikeysShow(models.AbstractModel):
    """Show several new keys in core's dialog for a new key, and a command to test one.

    The keys are shown only once.
    """

    _inherit = "res.users.apikeys.show"

    key_list = fields.Text(
        "API Keys", readonly=True, help="Several new keys, each below the name of its integration."
    )
    first_call_command = fields.Char("Test Command", compute="_compute_first_call_command")
    login = fields.Char(compute="_compute_about_key")
    replaced_login = fields.Char(
        compute="_compute_about_key", help="The login of the key that this one replaces."
    )
    replace_by = fields.Datetime(compute="_compute_about_key")
    works_until = fields.Datetime(compute="_compute_about_key")
    old_key_text = fields.Char(
        compute="_compute_about_key", help="Until when the key works that this one replaces."
    )
    networks = fields.Char(compute="_compute_about_key")

    # For a new form, the web client only gets computed fields that depend on no other field.
    @api.depends_context("auth_integration_id")
    def _compute_first_call_command(self):
        """Compute a first call with the new key, to the integration that the context names.

        Nothing is stored: like the key, the command is only in this one response to the web client.
        """
        integration = self._integration_shown()
        for dialog in self:
            dialog.first_call_command = (
                integration and dialog.key and integration._first_call_command(dialog.key)
            )

    @api.depends_context("auth_integration_id", "default_key", "lang", "tz")
    def _compute_about_key(self):
        """Compute what the external system needs besides the key, and what its first use starts."""
        integration = self._integration_shown()
        prefix = (self.env.context.get("default_key") or "")[:8]
        key = integration.key_ids.filtered(lambda key: key.prefix == prefix)[:1]
        old = key.sudo().replaces_id
        for dialog in self:
            dialog.login = integration.login
            dialog.replaced_login = old.login if old.login != integration.login else False
            dialog.replace_by, dialog.works_until = key.replace_by, key.effective_end
            dialog.old_key_text = old.is_live and old._replacement_text(
                integration.sudo().policy_id
            )
            dialog.networks = networks.one_line(
                key.allowed_networks or integration.allowed_networks
            )

    def _integration_shown(self):
        """Return the integration that the context names, if the current user may read it."""
        integration = self.env["auth.integration"].browse(
            self.env.context.get("auth_integration_id")
        )
        return integration if integration.has_access("read") else integration.browse()

    @api.model_create_multi
    def create(self, vals_list):  # pylint: disable=method-required-super
        """Override :meth:`BaseModel.create`, which fails because this dialog has no table.

        The web client saves every open form when its tab is closed or reloaded. Core would then run
        an INSERT with the key, and the failed query, including the key, would stay in the server
        log.
        """
        return self.browse()
