import logging
import secrets
from datetime import timedelta

from odoo import api, fields, models
from odoo.tools.misc import clean_context

from ...tools.attempt import causes
from ...tools.moment import moment_text

_logger = logging.getLogger(__name__)

KEEP_DAYS = 30


class AuthIntegrationDiagnosis(models.Model):
    """A diagnosis of an integration: the checks that an experienced consultant would make.

    It runs as a cron job, because a single HTTP worker could not call itself.  The checks inside
    Odoo are in ``auth_integration_diagnosis_config.py``, and the calls from outside in
    ``auth_integration_diagnosis_http.py``.
    """

    _name = "auth.integration.diagnosis"
    _description = "Diagnosis of an Integration"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "id desc"
    _rec_name = "integration_id"

    integration_id = fields.Many2one(
        "auth.integration", required=True, ondelete="cascade", index=True
    )
    state = fields.Selection(
        [("draft", "New"), ("waiting", "Waiting"), ("running", "Running"), ("done", "Done"),
         ("failed", "Failed")],
        default="draft",
        required=True,
        readonly=True,
    )
    requested_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    requested_at = fields.Datetime(readonly=True)
    finished_at = fields.Datetime(readonly=True)
    progress = fields.Char(readonly=True, help="The check that is currently running.")
    nonce = fields.Char(readonly=True, groups=fields.NO_ACCESS)
    line_ids = fields.One2many("auth.integration.diagnosis.line", "diagnosis_id", readonly=True)
    open_line_ids = fields.One2many(
        "auth.integration.diagnosis.line", "diagnosis_id", "Checks with Problems", readonly=True,
        domain=[("folded", "=", False)],
    )
    folded_line_ids = fields.One2many(
        "auth.integration.diagnosis.line", "diagnosis_id", "Passed and Solved Checks",
        readonly=True, domain=[("folded", "=", True)],
    )
    failed_count = fields.Integer("Failed Checks", compute="_compute_counts")
    warning_count = fields.Integer("Warnings", compute="_compute_counts")
    folded_count = fields.Integer(compute="_compute_counts")
    request_summary = fields.Char(compute="_compute_request_summary")

    @api.depends("requested_at")
    @api.depends_context("lang", "tz")
    def _compute_display_name(self):
        """Show the time but not the integration, which the breadcrumb would then show twice."""
        for diagnosis in self:
            if not diagnosis.requested_at:
                diagnosis.display_name = self.env._("New Diagnosis")
                continue
            when = moment_text(self.env, diagnosis.requested_at)
            diagnosis.display_name = self.env._("Diagnosis on %(when)s", when=when)

    @api.depends("line_ids.result", "line_ids.folded")
    def _compute_counts(self):
        for diagnosis in self:
            results = diagnosis.line_ids.filtered(lambda line: not line.folded).mapped("result")
            diagnosis.failed_count = results.count("failed")
            diagnosis.warning_count = results.count("warning")
            diagnosis.folded_count = len(diagnosis.line_ids) - len(results)

    @api.depends("requested_by", "requested_at")
    @api.depends_context("lang")
    def _compute_request_summary(self):
        """Show the time in the requester's time zone, as in all other texts of the diagnosis."""
        for diagnosis in self:
            requester = diagnosis.sudo().requested_by
            diagnosis.request_summary = diagnosis.requested_at and self.env._(
                "Requested by %(user)s on %(when)s.",
                user=requester.name or "?",
                when=moment_text(self.env, diagnosis.requested_at, requester.tz or "UTC"),
            )

    # Requesting a diagnosis ------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        """Extend :meth:`models.BaseModel.create`: a user only says which integration.

        :meth:`action_run` sets the rest, as the job runs with the rights of whoever requested it.
        """
        if self.env.su:
            return super().create(vals_list)
        wanted = [vals.get("integration_id") for vals in vals_list]
        self.env["auth.integration"].browse(filter(None, wanted))._check_may_operate()
        without_defaults = self.with_env(self.env(context=clean_context(self.env.context)))
        made = super(AuthIntegrationDiagnosis, without_defaults).create(
            [{"integration_id": integration} for integration in wanted]
        )
        return made.with_env(self.env)

    def action_run(self):
        """Queue these diagnoses, and trigger the cron job that runs them."""
        self.check_access("read")
        for diagnosis in self:
            diagnosis.integration_id._check_may_operate()
            diagnosis.sudo().line_ids.unlink()
            diagnosis.sudo().write(
                {
                    "state": "waiting",
                    "requested_by": self.env.uid,
                    "requested_at": fields.Datetime.now(),
                    "finished_at": False,
                    "progress": False,
                    "nonce": secrets.token_hex(16),
                }
            )
        self.env.ref("auth_integration.ir_cron_diagnose").sudo()._trigger()
        return True

    @api.model
    def _open_for(self, integration):
        """Request a diagnosis of an integration, and open it."""
        integration._check_may_operate()
        diagnosis = self.sudo().create({"integration_id": integration.id}).with_env(self.env)
        diagnosis.action_run()
        return diagnosis._get_records_action()

    # The job ---------------------------------------------------------------------------------

    @api.model
    def _cron_run(self):
        """Run the waiting diagnoses, and commit before each group of checks to show progress."""
        self._end_probes(self.env)
        for diagnosis in self.search([("state", "=", "waiting")], order="id"):
            diagnosis = diagnosis.try_lock_for_update()
            if not diagnosis or diagnosis.state != "waiting":
                continue
            requester = diagnosis.requested_by
            diagnosis = diagnosis.with_context(lang=requester.lang, tz=requester.tz or "UTC")
            diagnosis.state = "running"
            self.env["ir.cron"]._commit_progress(1)
            try:
                diagnosis._run()
                state = "done"
            except Exception:
                self.env.cr.rollback()
                _logger.exception("Diagnosis %s was broken off", diagnosis.id)
                state = "failed"
            diagnosis.write(
                {"state": state, "finished_at": fields.Datetime.now(), "progress": False}
            )
            self.env["ir.cron"]._commit_progress()

    def _run(self):
        self.ensure_one()
        for name, check in (
            (self.env._("User and Access Rights"), self._check_user),
            (self.env._("Keys"), self._check_keys),
            (self.env._("Rules"), self._check_rules),
            (self.env._("Recent Attempts"), self._check_attempts),
            (self.env._("Connection from Outside"), self._check_outside),
        ):
            self.progress = name
            self.env["ir.cron"]._commit_progress()
            check()

    def _line(self, result, check, seen, *, record=None, cause=None, meaning=None, remedy=None,
              fix=None, side="inside", is_solved=False):
        """Record the result of one check.

        :param record: the record that was checked, which the line can open
        :param fix: name of the button; False for no button, if the record is not worth opening
        """
        self.env["auth.integration.diagnosis.line"].create(
            {
                "diagnosis_id": self.id,
                "sequence": len(self.line_ids) + 1,
                "side": side,
                "is_solved": is_solved,
                "result": result,
                "check_name": check,
                "cause": cause,
                "seen": seen,
                "meaning": meaning or False,
                "remedy": remedy or False,
                "res_model": record._name if record else False,
                "res_id": record.id if record else False,
                "fix": ("open" if record else False) if fix is None else fix,
            }
        )

    def _attempts(self):
        """Return the model of attempts, with the rights of whoever requested the diagnosis."""
        return self.env["auth.attempt"].with_user(self.requested_by or self.env.user)

    def _cause_line(
        self, result, check, seen, cause, record, fix=None, is_solved=False, remedy=None
    ):
        """Record a check that found one of the registry's causes.

        :param remedy: what to do in this specific case; by default, what whoever requested the
            diagnosis can do about the cause
        """
        self._line(
            result, check, seen, record=record, cause=cause, fix=fix, is_solved=is_solved,
            meaning=self.env._(causes.get(cause).explanation),
            remedy=remedy or self._attempts()._remedy_for_reader(cause),
        )

    @api.autovacuum
    def _gc_diagnoses(self):
        """Delete diagnoses after 30 days, and probe keys left behind by a killed diagnosis."""
        self._end_probes(self.env)
        old = self.search(
            [("create_date", "<", fields.Datetime.now() - timedelta(days=KEEP_DAYS))], limit=1000
        )
        old.unlink()
        return len(old), len(old) == 1000
