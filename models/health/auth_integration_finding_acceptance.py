from odoo import api, fields, models
from odoo.exceptions import ValidationError


class AuthIntegrationFindingAcceptance(models.Model):
    """The decision to accept a finding: why, and until when."""

    _name = "auth.integration.finding.acceptance"
    _description = "Snoozed Issue"
    _inherit = ["auth.integration.free.text.mixin", "auth.integration.defaults.mixin"]
    _free_texts = {"reason": 500, "finding_text": 2000}
    _rec_name = "reason"

    # A finding is a row of a view: its id is stable, but nothing can refer to it.
    finding_id = fields.Integer("Issue", required=True, readonly=True)
    finding_text = fields.Text("Problem", readonly=True)
    reason = fields.Char(required=True)
    until = fields.Datetime(help="Leave empty to snooze indefinitely.")
    create_uid = fields.Many2one("res.users", "Snoozed By", readonly=True)

    _finding_uniq = models.Constraint(
        "unique (finding_id)", "This issue is already snoozed. Reopen it first."
    )

    @api.constrains("until")
    def _check_until(self):
        for acceptance in self:
            if acceptance.until and acceptance.until <= fields.Datetime.now():
                raise ValidationError(self.env._("Choose a date in the future."))
