from odoo import api, fields, models
from odoo.fields import Domain

from ...tools.health import probe


class AuthAttempt(models.Model):
    """Identify rejected attempts made on purpose, for instance by Diagnose or doctor.py."""

    _inherit = "auth.attempt"

    question = fields.Selection(
        [("way", "Connection"), ("key", "Key status")],
        compute="_compute_question",
        search="_search_question",
        help="What the diagnostic request checked. Empty for calls of external systems.",
    )
    status = fields.Selection(
        [("accepted", "Accepted"), ("rejected", "Rejected"), ("diagnostic", "Diagnostic")],
        "Result",
        compute="_compute_status",
        help="Diagnostic: someone checked a connection or a key on purpose.",
    )

    @api.depends("user_agent", "cause", "auth_type")
    def _compute_question(self):
        for row in self:
            row.question = probe.diagnostic_kind(row.user_agent, row.cause, row.auth_type)

    def _search_question(self, operator, value):
        if operator != "in":
            return NotImplemented
        of_key = Domain("auth_type", "=", probe.VERIFY) & Domain("cause", "!=", False)
        of_way = (
            Domain("user_agent", "=like", f"{probe.AGENT}%")
            & Domain("cause", "in", probe.DIAGNOSTIC_CAUSES)
            & ~of_key
        )
        kinds = {"key": of_key, "way": of_way, False: ~(of_key | of_way)}
        return Domain.OR(kinds[kind] for kind in value if kind in kinds)

    @api.depends("outcome", "question")
    def _compute_status(self):
        for row in self:
            if row.outcome == "success":
                row.status = "accepted"
            else:
                row.status = "diagnostic" if row.question else "rejected"

    def _explain_question(self):
        if self.question != "key":
            return []
        return [
            self.env._(
                "Someone checked the status of a key at /auth_integration/verify, as doctor.py"
                " does. No API call was rejected."
            ),
            self.env._(
                "If this was not you, someone else has the key. Check the address below."
            )
            if self.key_id
            else self.env._("No key of this database, current or past, was used."),
        ]
