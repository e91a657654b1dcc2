from odoo import fields, models


class AuthIntegration(models.Model):
    """The open incidents of an integration, and until when nobody is notified of them."""

    _inherit = "auth.integration"

    alerts_muted_until = fields.Datetime(
        tracking=True, copy=False, help="No alerts about this integration are sent until then."
    )
    open_incident_count = fields.Integer("Open Incidents", compute="_compute_open_incident_count")
    open_incident_id = fields.Many2one(
        "auth.integration.incident", compute="_compute_open_incident_count"
    )

    def _compute_open_incident_count(self):
        found = {
            integration: incidents
            for integration, incidents in self.env["auth.integration.incident"]._read_group(
                [("integration_id", "in", self.ids), ("state", "=", "open")],
                ["integration_id"],
                ["id:recordset"],
            )
        }
        empty = self.env["auth.integration.incident"]
        for integration in self:
            incidents = found.get(integration._origin, empty)
            integration.open_incident_count = len(incidents)
            integration.open_incident_id = incidents.sorted("opened_at", reverse=True)[:1]

    def action_view_incidents(self):
        """Show the incidents of this integration."""
        return self._action_view("auth_integration_incident_action")
