from odoo import api, fields, models
from odoo.exceptions import AccessError


class AuthAttemptRemoval(models.Model):
    """What retention has removed from the log; see :meth:`auth.attempt._gc_attempts`."""

    _name = "auth.attempt.removal"
    _description = "Removal of Old Attempts"
    _log_access = False
    _allow_sudo_commands = False
    _order = "date desc, id desc"
    _rec_name = "date"

    date = fields.Datetime(readonly=True, required=True)
    reason = fields.Selection(
        [("age", "Older than the time set"), ("number", "More rows than the number set")],
        readonly=True,
        required=True,
    )
    outcome = fields.Selection(
        [("success", "Success"), ("failure", "Failure")], readonly=True, required=True
    )
    row_count = fields.Integer("Rows removed", readonly=True)
    attempt_count = fields.Integer("Attempts they stood for", readonly=True)
    first_seen = fields.Datetime(readonly=True)
    last_seen = fields.Datetime(readonly=True)

    # pylint: disable=method-required-super,no-raise-unlink  # refusing is what they are for

    @api.model_create_multi
    def create(self, vals_list):
        """Refuse: retention alone writes here."""
        raise self._append_only()

    def write(self, vals):
        """Refuse: what was removed stays on record."""
        raise self._append_only()

    def unlink(self):
        """Refuse: what was removed stays on record."""
        raise self._append_only()

    def _append_only(self):
        return AccessError(self.env._("The record of what was removed cannot be changed."))
