from odoo import api, fields, models


class AuthIntegrationDiagnosisLine(models.Model):
    """One check of a diagnosis: what was seen, what it means, and what to do."""

    _name = "auth.integration.diagnosis.line"
    _description = "Check of a Diagnosis"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "diagnosis_id, rank, sequence, id"
    _rec_name = "check_name"

    diagnosis_id = fields.Many2one(
        "auth.integration.diagnosis", required=True, readonly=True, ondelete="cascade", index=True
    )
    integration_id = fields.Many2one(related="diagnosis_id.integration_id")
    sequence = fields.Integer(readonly=True)
    rank = fields.Integer(compute="_compute_rank", store=True, help="Failed checks come first.")
    side = fields.Selection(
        [("inside", "In Odoo"), ("outside", "Test call by Odoo")], readonly=True
    )
    result = fields.Selection(
        [("ok", "Passed"), ("failed", "Failed"), ("warning", "Warning"), ("skipped", "Skipped")],
        readonly=True,
    )
    is_solved = fields.Boolean(
        "Solved", readonly=True, help="Calls have succeeded since this was found."
    )
    folded = fields.Boolean(
        compute="_compute_folded", store=True, help="Nothing is to be done about it."
    )
    check_name = fields.Char("Check", readonly=True)
    cause = fields.Char("Code", readonly=True)
    seen = fields.Text(
        "Evidence",
        readonly=True, help="The request that was sent, or the record that was read."
    )
    meaning = fields.Text(readonly=True)
    remedy = fields.Text("What to do", readonly=True)
    res_model = fields.Char(readonly=True)
    res_id = fields.Many2oneReference(model_field="res_model", readonly=True)
    fix = fields.Selection(
        [
            ("restore_user", "Restore User"),
            ("issue_key", "Create Key"),
            ("revoke", "Revoke Key"),
            ("rotate", "Rotate Key"),
            ("view_rotation", "Open Rotation"),
            ("add_network", "Allow Address"),
            ("allow_protocol", "Allow This Protocol"),
            ("allow_operation", "Allow This Operation"),
            ("change_access", "Change Access"),
            ("undo_revocation", "Undo Revocation"),
            ("unlock", "Unlock User"),
            ("open", "Open"),
        ],
        readonly=True,
    )

    @api.depends("result")
    def _compute_rank(self):
        for line in self:
            line.rank = {"failed": 0, "warning": 1}.get(line.result, 2)

    @api.depends("result", "is_solved")
    def _compute_folded(self):
        for line in self:
            line.folded = line.result in ("ok", "skipped") or line.is_solved

    def action_fix(self):
        """Run the fix of this check with the rights of the current user."""
        self.ensure_one()
        self.check_access("read")
        record = self.env[self.res_model].browse(self.res_id)
        if self.fix == "open":
            return record._get_records_action()
        if record._name == "auth.attempt":
            return getattr(record, f"action_fix_{self.fix}")()
        integration = self.sudo().integration_id.with_env(self.env)
        if self.fix == "restore_user":
            return integration.action_restore_user()
        if self.fix == "issue_key":
            return integration.action_issue_key()
        return record.action_rotate()
