import json

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.monitoring import ocsf


class AuthAttempt(models.Model):
    """Show an attempt on its form as the event that other systems get."""

    _inherit = "auth.attempt"

    event_json = fields.Text("Raw Event", compute="_compute_event_json")

    @api.depends("count", "last_seen")
    def _compute_event_json(self):
        """Format the attempt as in the export and in the event log file."""
        events = self._events()
        for row in self:
            event = events.get(row.id)
            row.event_json = event and json.dumps(event, indent=2, ensure_ascii=False)

    def _events(self):
        """Return these attempts as OCSF events, by id."""
        self.check_access("read")
        found = self.env.execute_query_dict(
            SQL(
                "SELECT *, encode(bucket, 'hex') AS bucket FROM auth_attempt WHERE id IN %s",
                tuple(self.ids) or (0,),
            )
        )
        codes = self._codes_of_integrations({row["integration_id"] for row in found} - {None})
        return {row["id"]: ocsf.event(row, codes.get(row["integration_id"])) for row in found}
