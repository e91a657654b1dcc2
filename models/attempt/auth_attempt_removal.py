from odoo import fields, models


class AuthAttemptRemoval(models.Model):
    """Removals of log rows by retention; see :meth:`auth.attempt._gc_attempts`."""

    _name = "auth.attempt.removal"
    _description = "Removal of Old Attempts"
    _inherit = ["auth.integration.append.only.mixin", "auth.integration.defaults.mixin"]
    _log_access = False
    _allow_sudo_commands = False
    _order = "date desc, id desc"
    _rec_name = "date"

    date = fields.Datetime(readonly=True, required=True)
    reason = fields.Selection(
        [("age", "Retention period"), ("number", "Maximum log size")],
        readonly=True,
        required=True,
    )
    outcome = fields.Selection(
        [("success", "Accepted"), ("failure", "Rejected")], readonly=True, required=True
    )
    row_count = fields.Integer("Rows Removed", readonly=True)
    attempt_count = fields.Integer("Attempts removed", readonly=True)
    first_seen = fields.Datetime(readonly=True)
    last_seen = fields.Datetime(readonly=True)
