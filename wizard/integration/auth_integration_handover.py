from odoo import Command, api, fields, models

from ...models.mixins.fresh_identity import fresh_identity


class AuthIntegrationHandover(models.TransientModel):
    """Ask, before owners are archived, who will own their integrations."""

    _name = "auth.integration.handover"
    _description = "Archive Owner"
    _inherit = ["auth.integration.dialog.mixin"]

    user_ids = fields.Many2many("res.users", string="Users", required=True, readonly=True)
    integration_ids = fields.Many2many(
        "auth.integration", string="Integrations", compute="_compute_integration_ids"
    )
    owner_id = fields.Many2one(
        "res.users",
        "New Owner",
        domain="[('share', '=', False), ('id', 'not in', user_ids),"
        " ('integration_ids', '=', False)]",
        help="Owns these integrations and is notified about their keys.",
    )

    @api.depends("user_ids")
    def _compute_integration_ids(self):
        for wizard in self:
            integrations = wizard.user_ids._origin._integrations_left_behind()
            wizard.integration_ids = integrations.with_env(self.env)

    @fresh_identity
    def action_hand_over(self):
        """Add the new owner, if one is chosen, and archive the former owners."""
        self.ensure_one()
        integrations = self.integration_ids
        if self.owner_id:
            integrations.write({"owner_ids": [Command.link(self.owner_id.id)]})
            for integration in integrations:
                integration.sudo().message_post(
                    body=self.env._(
                        "%(user)s archived %(former)s. %(owner)s is the owner now.",
                        user=self.env.user.name,
                        former=", ".join(
                            (integration.sudo().owner_ids & self.user_ids).mapped("name")
                        ),
                        owner=self.owner_id.name,
                    )
                )
        return self._archive()

    def action_archive_only(self):
        """Archive the owners anyway; findings name integrations that have no active owner."""
        self.ensure_one()
        return self._archive()

    def _archive(self):
        self.user_ids.action_archive()
        return {"type": "ir.actions.act_window_close"}
