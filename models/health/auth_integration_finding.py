from odoo import api, fields, models, tools
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.attempt import causes
from ...tools.health import findings, guide
from ...tools.key.key_state import JOIN_NATIVE_SQL, JOINED_END_SQL, JOINED_STATE_SQL
from ...tools.moment import day_text, moment_text
from ..mixins.fresh_identity import fresh_identity

# Root causes, under which the symptoms of the same integration are folded.
ROOT_CODES = (
    "archived_user_live_key",
    "archived_user_still_called",
    "no_valid_key",
    "key_expired",
    "key_expired_still_used",
    "failing_now",
    "call_rejected",
)


class AuthIntegrationFinding(models.Model):
    """A problem that exists or is to be expected; a live SQL view, so no job has to update it."""

    _name = "auth.integration.finding"
    _inherit = ["auth.integration.guide.link.mixin", "auth.integration.defaults.mixin"]
    _description = "Integration Issue"
    _auto = False
    _order = "severity_rank, since desc, id"
    _rec_name = "message"

    code = fields.Selection("_selection_code", readonly=True)
    severity = fields.Selection(
        [("critical", "Critical"), ("warning", "Warning"), ("info", "Information")], readonly=True
    )
    severity_rank = fields.Integer(readonly=True)
    integration_id = fields.Many2one("auth.integration", readonly=True)
    key_id = fields.Many2one("auth.integration.key", "API Key", readonly=True)
    user_id = fields.Many2one("res.users", readonly=True)
    since = fields.Datetime(readonly=True)
    accepted = fields.Boolean(readonly=True)
    cause = fields.Selection(
        lambda self: self.env["auth.attempt"]._selection_cause(), readonly=True
    )
    folded = fields.Boolean(
        "Symptom", readonly=True, help="Another issue of this integration is the root cause."
    )
    evidence = fields.Text(
        compute="_compute_evidence", help="Symptoms of the same root cause, one per line."
    )
    message = fields.Text(compute="_compute_texts")
    remedy = fields.Text("What to do", compute="_compute_texts")

    @api.model
    def _selection_code(self):
        return [(kind.code, self.env._(kind.title)) for kind in findings.KINDS]

    @api.depends("code", "key_id", "user_id", "integration_id", "since", "resolution")
    @api.depends_context("uid", "lang", "tz")
    def _compute_texts(self):
        database = self.env["auth.integration.database"].sudo()._identity()
        for finding in self:
            kind = findings.BY_CODE[finding.code]
            record = finding.sudo()
            values = {
                "integration": record.integration_id.name or "",
                "prefix": record.key_id.prefix or "",
                "login": record.user_id.login or record.key_id.login or "",
                "database": database,
                "since": record._format_day(record.since),
                "expires": record._format_day(record.key_id.effective_end),
            }
            if more := getattr(finding, f"_{kind.code}_values", None):
                values |= more()
            if cause := finding.open_cause:
                values["cause"] = self.env._(causes.get(cause).title)
            message = kind.key_message if kind.key_message and record.key_id else kind.message
            finding.message = finding._case_message(values) or self.env._(message, **values)
            finding.remedy = finding._case_remedy() or self.env._(kind.remedy, **values)
            if finding.is_solved:
                finding.message = self.env._("Fixed, waiting for the next call.")
                finding.remedy = finding.resolution
            if finding.may_dismiss:
                dismiss = self.env._("If that system is no longer in use, dismiss the issue.")
                finding.remedy = f"{finding.remedy} {dismiss}"

    def _mail_undelivered_values(self):
        waiting = self.env["mail.mail"].sudo()._waiting().sorted("id")
        return {
            "moment": moment_text(self.env, self.since),
            "reason": waiting[-1:].failure_reason or "",
        }

    @api.depends("integration_id", "folded")
    @api.depends_context("lang", "tz")
    def _compute_evidence(self):
        """List the symptoms of a root cause; a symptom itself has no evidence."""
        symptoms = self.sudo().search(
            [("integration_id", "in", self.integration_id.ids), ("folded", "=", True)]
        )
        for finding in self:
            own = symptoms.filtered(
                lambda one, root=finding: not root.folded
                and root.code in ROOT_CODES
                and one.integration_id == root.integration_id
            )
            finding.evidence = "\n".join(own.mapped("message")) or False

    def _format_day(self, moment):
        """Format a moment as a day in the reader's time zone."""
        return moment and day_text(self.env, moment)

    def _guide_anchor(self):
        """Extend :meth:`auth.integration.guide.link.mixin._guide_anchor`.

        The cause of rejected calls, if there is one, is more specific than the issue.
        """
        cause = self.open_cause
        return guide.cause_anchor(cause) if cause else guide.issue_anchor(self.code)

    # Fixes -----------------------------------------------------------------------------------

    def action_open(self):
        """Open the record to fix."""
        self.ensure_one()
        record = self.key_id or self.integration_id or self.user_id
        if self.code == "alert_undelivered":
            return self.env["ir.actions.act_window"]._for_xml_id(
                "auth_integration.auth_integration_alert_action"
            )
        if not record:
            return self.env["ir.actions.act_window"]._for_xml_id("base.ir_cron_act")
        return record._get_records_action()

    def action_restore_user(self):
        """Restore the archived user that this finding is about."""
        self.ensure_one()
        if self.integration_id:
            return self.integration_id.action_restore_user()
        return self.user_id.action_restore_archived()

    def action_issue_key(self):
        """Issue a key for the integration that this finding is about."""
        self.ensure_one()
        return self.integration_id._action_issue_key(self.key_id)

    def action_rotate(self):
        """Rotate the key that this finding is about."""
        self.ensure_one()
        return self.key_id.action_rotate()

    def action_view_rotation(self):
        """Show the open rotation of the key that this finding is about."""
        self.ensure_one()
        rotation = self.env["auth.integration.rotation"].search(
            [("old_key_id", "=", self.key_id.id), ("cancelled_at", "=", False)], limit=1
        )
        return rotation._get_records_action()

    def action_view_attempts(self):
        """Show the refused attempts that this finding is about."""
        self.ensure_one()
        return self.integration_id.action_view_attempts() | {
            "context": {"search_default_failures": 1}
        }

    def action_revoke(self):
        """Open the dialog that revokes the key of this finding."""
        self.ensure_one()
        return self.key_id.action_revoke()

    def action_convert(self):
        """Open the dialog that converts the personal keys of these findings to integrations."""
        keys = self.filtered(lambda finding: finding.code == "personal_account_used").key_id
        if not keys:
            raise UserError(
                self.env._("Select issues about personal accounts used by external systems.")
            )
        return keys.action_convert()

    @fresh_identity
    def action_remove_password(self):
        """Remove the password of the integration user that this finding is about.

        :raise AccessError: the current user may not do this
        """
        self.ensure_one()
        self.integration_id._remove_passwords()
        return True

    def action_accept(self):
        """Open the dialog that asks why and until when this finding is accepted."""
        self.ensure_one()
        return self.env["auth.integration.finding.acceptance"]._get_records_action(
            name=self.env._("Snooze Issue"),
            target="new",
            context={"default_finding_id": self.id, "default_finding_text": self.message},
        )

    def action_withdraw_acceptance(self):
        """Open an accepted finding again."""
        self.env["auth.integration.finding.acceptance"].search(
            [("finding_id", "in", self.ids)]
        ).unlink()
        return True

    # View ------------------------------------------------------------------------------------

    def init(self):
        tools.drop_view_if_exists(self.env.cr, self._table)
        view = findings.view_sql(
            *(sql.format(k="k") for sql in (JOINED_STATE_SQL, JOINED_END_SQL, JOIN_NATIVE_SQL))
        )
        self.env.cr.execute(
            SQL("CREATE VIEW %s AS %s", SQL.identifier(self._table), SQL(view.replace("%", "%%")))
        )
