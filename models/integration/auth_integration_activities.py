from odoo import api, models


class AuthIntegration(models.Model):
    """Close activities that were assigned to several owners at once."""

    _inherit = "auth.integration"

    def _close_activities_once(self, kinds, feedback):
        """Mark scheduled activities of some kinds as done, as ``activity_feedback`` does."""
        self._finish_once(self.activity_search(kinds), feedback)

    def _close_activities_of_fixed(self):
        """Close requests to administrators and alert activities about what has been fixed.

        This happens at once, not with the next run of the job: if the same problem comes back a
        moment later, it can be reported again. Alert activities stay until all incidents of an
        integration are fixed.
        """
        self.env.flush_all()
        self.invalidate_recordset(["key_ids"])
        self.env["auth.integration.admin.request"].sudo()._close_fixed(self)
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
        """Mark activities as done, with one line in the chatter of each integration.

        Each owner has their own activity, and a line for each of them would repeat the same text.
        The line is posted by the current user's activity, if there is one.
        """
        for of_record in activities.grouped("res_id").values():
            first = of_record.sorted(lambda activity: activity.user_id != self.env.user)[0]
            (of_record - first).unlink()
            first.action_feedback(feedback=feedback)
