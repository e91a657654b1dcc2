from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ...tools.incident import expectation

OBSERVED_DAYS = 30
MAX_PERIODS = 5000


class AuthIntegration(models.Model):
    """Define how often an integration is expected to call."""

    _inherit = "auth.integration"

    expected_every_hours = fields.Integer(
        "Expected Interval (Hours)",
        tracking=True,
        help="An incident opens when there is no successful call for this long. 0: off.",
    )
    # Calls are expected from then on; a database default would be wrong for rows made by SQL.
    expected_since = fields.Datetime(readonly=True, copy=False)
    proposed_every_hours = fields.Integer(
        "Suggested Interval (Hours)", compute="_compute_proposed_every_hours"
    )

    @api.constrains("expected_every_hours")
    def _check_expected_every_hours(self):
        for integration in self:
            if not 0 <= integration.expected_every_hours <= 24 * 366:
                raise ValidationError(
                    self.env._("The expected interval must be between 0 hours and a year.")
                )

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            if vals.get("expected_every_hours"):
                vals["expected_since"] = fields.Datetime.now()
        return super().create(vals_list)

    def write(self, vals):
        """Extend ``write``: setting the expected interval restarts the time."""
        if "expected_every_hours" in vals:
            since = fields.Datetime.now() if vals["expected_every_hours"] else False
            vals = {**vals, "expected_since": since}
        return super().write(vals)

    def _compute_proposed_every_hours(self):
        """Propose an interval from the calls of the last 30 days."""
        since = fields.Datetime.now() - timedelta(days=OBSERVED_DAYS)
        for integration in self:
            calls = integration._origin._successful_calls(since) if integration._origin else []
            integration.proposed_every_hours = expectation.propose(calls)

    def _successful_calls(self, since):
        """Return the first and the last time of each log row of successful calls, newest first.

        They may be thousands, so they are not read as records.
        """
        domain = [
            ("integration_id", "=", self.id),
            ("outcome", "=", "success"),
            ("last_seen", ">=", since),
        ]
        attempts = self.env["auth.attempt"].sudo()
        query = attempts._search(domain, limit=MAX_PERIODS, order="last_seen desc")
        return self.env.execute_query(query.select("first_seen", "last_seen"))

    def action_expect_proposal(self):
        """Set the proposed interval as the expected one."""
        self.check_access("write")
        for integration in self:
            if integration.proposed_every_hours:
                integration.expected_every_hours = integration.proposed_every_hours
        return True
