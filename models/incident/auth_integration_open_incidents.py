from odoo import api, fields, models

from .auth_integration_alert import ACTIVITY


class AuthIntegration(models.Model):
    """Show the open incidents of an integration, and allow its alerts to be muted."""

    _inherit = "auth.integration"

    alerts_muted_until = fields.Datetime(
        tracking=True, copy=False, help="No alerts about this integration are sent until then."
    )
    open_incident_count = fields.Integer("Open Incidents", compute="_compute_open_incident_count")
    open_incident_id = fields.Many2one(
        "auth.integration.incident", "Current Incident", compute="_compute_open_incident_count"
    )

    def _compute_open_incident_count(self):
        found = dict(
            self.env["auth.integration.incident"]._read_group(
                [("integration_id", "in", self.ids), ("is_open", "=", True)],
                ["integration_id"],
                ["id:recordset"],
            )
        )
        empty = self.env["auth.integration.incident"]
        for integration in self:
            incidents = found.get(integration._origin, empty)
            integration.open_incident_count = len(incidents)
            integration.open_incident_id = incidents.sorted("opened_at", reverse=True)[:1]

    def action_view_incidents(self):
        """Show the incidents of this integration."""
        return self._action_view(
            "auth_integration_incident_action", search_default_open=1
        )

    def _note_dismissal(self, what):
        """Post to the chatter who dismissed an incident or an issue."""
        self.ensure_one()
        self.sudo().message_post(
            body=self.env._("%(user)s dismissed: %(what)s", user=self.env.user.name, what=what),
            author_id=self.env.user.partner_id.id,
        )

    @api.depends(
        "activity_ids.activity_type_id.decoration_type", "activity_ids.activity_type_id.icon"
    )
    def _compute_activity_exception_type(self):
        """Extend ``_compute_activity_exception_type``: show no alarm for what has been fixed."""
        result = super()._compute_activity_exception_type()
        alarm = self.env.ref(ACTIVITY, raise_if_not_found=False)
        for integration in self.filtered("activity_exception_decoration"):
            kinds = integration.activity_ids.activity_type_id.filtered("decoration_type")
            if kinds == alarm and integration.status == "waiting":
                integration.activity_exception_decoration = False
                integration.activity_exception_icon = False
        return result
