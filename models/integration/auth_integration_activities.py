from odoo import api, models


class AuthIntegration(models.Model):
    """Closing what several owners were asked at once."""

    _inherit = "auth.integration"

    def _close_activities_once(self, kinds, feedback):
        """Mark scheduled activities of some kinds as done, as ``activity_feedback`` does."""
        self._finish_once(self.activity_search(kinds), feedback)

    def _close_activities_of_fixed(self):
        """Mark done what was asked about rejected calls, where only the next call is awaited."""
        self.env.flush_all()
        self.invalidate_recordset(["key_ids"])
        incidents = self.env["auth.integration.incident"].sudo().search(
            [("integration_id", "in", self.ids), ("is_open", "=", True)]
        )
        incidents.invalidate_recordset(["is_open", "is_solved", "resolution"])
        unsolved = incidents.filtered(lambda incident: not incident.is_solved).integration_id
        (incidents.integration_id - unsolved)._close_activities_once(
            ["auth_integration.mail_activity_type_incident"],
            self.env._("Fixed, waiting for the next call."),
        )

    @api.model
    def _finish_once(self, activities, feedback):
        """Mark activities as done, with one line in the history of each integration.

        Each owner has one of their own: a line for each would say the same. That of the current
        user is the one that leaves the line.
        """
        for of_record in activities.grouped("res_id").values():
            first = of_record.sorted(lambda activity: activity.user_id != self.env.user)[0]
            (of_record - first).unlink()
            first.action_feedback(feedback=feedback)
