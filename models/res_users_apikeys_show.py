from odoo import api, fields, models


class ResUsersApikeysShow(models.AbstractModel):
    """The dialog that shows a new key, this once; ours shows several, and a command to test it."""

    _inherit = "res.users.apikeys.show"

    key_list = fields.Text(
        "API Keys", readonly=True, help="Several new keys, each below the name of its integration."
    )
    first_call_command = fields.Char("Test Command", compute="_compute_first_call_command")

    # Of a new form, the web client only gets computed fields that depend on no other.
    @api.depends_context("auth_integration_id")
    def _compute_first_call_command(self):
        """Write a first call with the new key, of the integration that the context names.

        Nothing is stored: like the key, the command is in this one answer to the web client.
        """
        integration = self.env["auth.integration"].browse(
            self.env.context.get("auth_integration_id")
        )
        if not integration.has_access("read"):
            integration = integration.browse()
        for dialog in self:
            dialog.first_call_command = (
                integration and dialog.key and integration._first_call_command(dialog.key)
            )

    @api.model_create_multi
    def create(self, vals_list):  # pylint: disable=method-required-super
        """Replace :meth:`BaseModel.create`, which fails: the dialogue of a new key has no table.

        The web client saves every open form when its tab is closed or reloaded. Core then runs an
        INSERT that names the key, and the server log keeps the failed query with the key in it.
        """
        return self.browse()
