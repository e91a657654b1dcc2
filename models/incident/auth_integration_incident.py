from odoo import api, fields, models
from odoo.exceptions import AccessError

from ...tools.attempt import causes
from ...tools.health import guide
from ...tools.incident import kinds
from ...tools.key.key_policy import END_CODES

MANAGER = "auth_integration.auth_integration_group_manager"
# Events about an inactive key.
OF_INACTIVE_KEYS = ("key_reused", "key_leaked")


class AuthIntegrationIncident(models.Model):
    """A period of failure, from the refusals that opened it to the success that closed it.

    Rows are created by SQL: failures from the log of attempts in
    ``auth_integration_incident_detection.py``, security events in
    ``auth_integration_incident_security.py``. Users cannot edit them; they can only dismiss them.
    """

    _name = "auth.integration.incident"
    _inherit = [
        "auth.integration.guide.link.mixin",
        "auth.integration.rejection.mixin",
        "auth.integration.defaults.mixin",
    ]
    _description = "Integration Incident"
    _order = "opened_at desc, id desc"
    _allow_sudo_commands = False

    kind = fields.Selection("_selection_kind", readonly=True, required=True)
    state = fields.Selection(
        [("open", "Open"), ("recovered", "Recovered"), ("dismissed", "Dismissed")],
        "Status",
        required=True,
        readonly=True,
        default="open",
    )
    # False as soon as a success has ended it, even if the job has not closed it yet.
    is_open = fields.Boolean("Open", compute="_compute_is_open", search="_search_is_open")
    status = fields.Selection(
        [
            ("open", "Open"),
            ("waiting", "Waiting for Next Call"),
            ("recovered", "Recovered"),
            ("dismissed", "Dismissed"),
        ],
        "Current Status",
        compute="_compute_status",
        help="Waiting for next call: the reason for rejected calls has been fixed.",
    )
    # Identifies what failed, so that two concurrent runs never open the same incident twice.
    source = fields.Char(required=True, readonly=True)
    integration_id = fields.Many2one(
        "auth.integration", ondelete="cascade", readonly=True, index=True
    )
    environment = fields.Selection(related="integration_id.environment")
    key_id = fields.Many2one(
        "auth.integration.key",
        "API Key",
        ondelete="set null",
        readonly=True,
        index="btree_not_null",
    )
    user_id = fields.Many2one(
        "res.users", ondelete="set null", readonly=True, index="btree_not_null"
    )
    cause = fields.Selection("_selection_cause", readonly=True)
    remote_addr = fields.Char("Address", readonly=True)
    channel = fields.Selection(
        lambda self: self.env["auth.attempt"]._selection_channel(), "Protocol", readonly=True
    )
    reference = fields.Char(
        readonly=True,
        help="The reference of a call that was rejected for this cause.",
    )
    opened_at = fields.Datetime("Opened", required=True, readonly=True)
    last_failure_at = fields.Datetime("Last Rejection", readonly=True)
    closed_at = fields.Datetime("Closed", readonly=True)
    failure_count = fields.Integer("Rejected Calls", readonly=True, aggregator="sum")
    # Calls in minutes that are over are added only once; see ``_count_failures``.
    settled_count = fields.Integer(readonly=True, default=0)
    settled_to = fields.Datetime(readonly=True)
    reopened_at = fields.Datetime("Reopened", readonly=True)
    # Raised when a reopened incident persists: only then are alerts sent again.
    alert_round = fields.Integer(readonly=True, default=0)
    notified_at = fields.Datetime("Alert Created", readonly=True)
    recovery_notified_at = fields.Datetime("Recovery Alert Created", readonly=True)
    dismissed_by = fields.Many2one("res.users", ondelete="set null", readonly=True)

    title = fields.Char(compute="_compute_texts")
    subject = fields.Char("Affected", compute="_compute_texts")
    explanation = fields.Text("Why", compute="_compute_texts")
    remedy = fields.Text("What to do", compute="_compute_texts")
    case_explanation = fields.Text("Details", compute="_compute_case_explanation")
    closing = fields.Char(compute="_compute_closing", help="Which call closes it.")
    duration = fields.Char(compute="_compute_duration")
    fix = fields.Char(compute="_compute_fix", help="The action that the form offers first.")

    # One open incident per source; ``_event_sql`` creates at most one at all per security event.
    _open_source_uniq = models.UniqueIndex("(source) WHERE state = 'open'")
    _source_idx = models.Index("(source, closed_at)")
    _open_idx = models.Index("(integration_id) WHERE state = 'open'")

    @api.model
    def _selection_kind(self):
        return [(kind.code, self.env._(kind.title)) for kind in kinds.KINDS.values()]

    @api.model
    def _selection_cause(self):
        attempts = self.env["auth.attempt"]._selection_cause()
        events = [(k.code, self.env._(k.title)) for k in kinds.KINDS.values() if k.is_event]
        return attempts + events

    # Texts -----------------------------------------------------------------------------------

    @api.depends("kind", "cause", "integration_id", "user_id", "key_id")
    @api.depends_context("lang", "uid")
    def _compute_texts(self):
        for incident in self:
            record = incident.sudo()
            kind = kinds.KINDS[record.kind]
            code = record.open_cause or record.cause
            cause = causes.CAUSES.get(code) if record.kind == "failing" else kind
            cause = cause or kind
            incident.title = self.env._(cause.title)
            incident.subject = (
                record.integration_id.name
                or record.user_id.login
                or record.key_id.login
                or self.env._("Unknown")
            )
            incident.explanation = self.env._(cause.explanation)
            incident.remedy = record._with_obstacles(
                record.kind == "failing" and record._case_remedy()
                or incident._last_rejected_attempt()._case_remedy()
                or (
                    self.env._(cause.remedy) if cause is kind
                    else incident._remedy_for_reader(cause.code)
                )
            )

    @api.depends("kind", "cause", "key_id")
    @api.depends_context("lang", "tz", "uid")
    def _compute_case_explanation(self):
        """Explain the last rejection in the same words as the form of the attempt."""
        for incident in self:
            of_key = incident.sudo().key_id and (
                incident.kind in OF_INACTIVE_KEYS
                or incident.kind == "failing" and incident.cause in END_CODES
            )
            incident.case_explanation = (
                "\n".join(incident._explain_key_end())
                if of_key
                else incident.open_cause == incident.cause
                and incident._last_rejected_attempt().case_explanation
            )

    def _guide_anchor(self):
        """Extend :meth:`auth.integration.guide.link.mixin._guide_anchor`."""
        kind = kinds.KINDS[self.kind]
        return guide.event_anchor(kind.code) if kind.is_event else guide.cause_anchor(self.cause)

    @api.depends("subject", "title")
    @api.depends_context("lang")
    def _compute_display_name(self):
        for incident in self:
            incident.display_name = f"{incident.subject}: {incident.title}"

    @api.depends("opened_at", "closed_at")
    @api.depends_context("lang")
    def _compute_duration(self):
        for incident in self:
            end = incident.closed_at or fields.Datetime.now()
            incident.duration = incident.opened_at and self._duration_text(
                end - incident.opened_at
            )

    @api.model
    def _duration_text(self, delta):
        """Return a duration in words, with its two largest units."""
        minutes = max(int(delta.total_seconds() // 60), 0)
        days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
        if days == 1 and not hours:
            return self.env._("1 day")
        if days and not hours:
            return self.env._("%s days", days)
        if days == 1:
            return self.env._("1 day %s h", hours)
        if days:
            return self.env._("%(days)s days %(hours)s h", days=days, hours=hours)
        if hours and not minutes:
            return self.env._("%s h", hours)
        if hours:
            return self.env._("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes)
        if minutes:
            return self.env._("%s min", minutes)
        return self.env._("less than a minute")

    def _rejected_at(self):
        return self.opened_at

    def _last_rejected_at(self):
        return self.last_failure_at or self.opened_at

    def _resolution(self):
        """Extend :meth:`auth.integration.rejection.mixin._resolution`: only for open failures."""
        if self.kind != "failing" or self.state != "open":
            return False
        # Whether it is still open is read from the log, so only if it matters.
        return (resolution := super()._resolution()) and self.is_open and resolution

    def _obstacles(self):
        """Extend :meth:`auth.integration.rejection.mixin._obstacles`: only for open failures."""
        is_failing = self.kind == "failing" and self.state == "open"
        return super()._obstacles() if is_failing else []

    def _key_to_install(self):
        """Extend :meth:`auth.integration.rejection.mixin._key_to_install` by keys in use.

        A key that other hosts use already counts too, as long as the rejected host has not called
        since the key was created.
        """
        if (key := super()._key_to_install()) or not self._calling_host():
            return key
        if not self._is_about_key():
            return key
        later = self._later_keys(self._rejected_integration())
        return later.filtered(lambda key: key.issued_at > self._last_rejected_at())[:1]

    @api.depends("state", "is_open", "is_solved")
    def _compute_status(self):
        for incident in self:
            if incident.state == "open" and not incident.is_open:
                incident.status = "recovered"
            else:
                incident.status = "waiting" if incident.is_solved else incident.state

    @api.depends("cause", "key_id", "remote_addr")
    @api.depends_context("lang")
    def _compute_closing(self):
        for incident in self:
            address = incident._calling_host()
            incident.closing = self.env._(
                "The incident closes when %(address)s calls successfully. If that host is no longer"
                " in use, dismiss the incident.",
                address=address,
            ) if address else self.env._("The incident closes with the next successful call.")

    @api.depends("kind", "cause", "integration_id", "state")
    def _compute_fix(self):
        for incident in self:
            incident.fix = incident._fix_code()

    def _fix_code(self):
        self.ensure_one()
        if self.kind == "guessing" and self.sudo().user_id.is_sign_in_paused:
            return "unlock"
        if not self.integration_id:
            return "open"
        if self.kind != "failing":
            return "view_attempts"
        if self.is_solved:
            return False
        fix = next(iter(causes.get(self.open_cause or self.cause).fixes), "view_attempts")
        if fix == "issue_key" and not self._needs_new_key():
            fix = "view_attempts"
        return fix if fix in ("restore_user", "issue_key", "view_attempts") else "open"

    # Actions ---------------------------------------------------------------------------------

    def _get_url(self):
        """Return the URL of this incident's form, for messages."""
        return f"{self.get_base_url()}/odoo/integration-incidents/{self.id}"

    def action_dismiss(self):
        """Close incidents by hand; only refusals after a later success open a new one.

        :raise AccessError: the user is neither an owner of the integration nor a manager
        """
        for incident in self:
            if incident.integration_id:
                incident.integration_id._check_may_operate()
            elif not (self.env.su or self.env.user.has_group(MANAGER)):
                raise AccessError(
                    self.env._("Only an administrator of integrations can dismiss this incident.")
                )
        dismissed = self.sudo().filtered("is_open")
        dismissed.write(
            {
                "state": "dismissed",
                "closed_at": fields.Datetime.now(),
                "dismissed_by": self.env.uid,
            }
        )
        dismissed.filtered(lambda incident: incident.cause in END_CODES).key_id._dismiss_calls()
        for incident in dismissed.filtered("integration_id"):
            incident.integration_id._note_dismissal(incident.title)
        self._close_activities()
        return True

    def action_fix(self):
        """Run or open the action that is most likely to end this incident."""
        self.ensure_one()
        if self.fix == "restore_user":
            return self.integration_id.action_restore_user()
        if self.fix == "unlock":
            return self.user_id.action_unlock_sign_in()
        if self.fix == "issue_key":
            return self.integration_id._action_issue_key(self.key_id)
        if self.fix == "view_attempts":
            return self.action_view_attempts()
        return self.action_open()

    def action_open(self):
        """Open the integration or, if there is none, the key or the user."""
        self.ensure_one()
        record = self.integration_id or self.key_id or self.user_id
        return record._get_records_action()

    def action_view_attempts(self):
        """Show the rejected calls of this incident."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "auth_integration.auth_attempt_action"
        )
        return {key: value for key, value in action.items() if key != "path"} | {
            "domain": self._domain_of_attempts(),
            "context": {},
        }

    def _domain_of_attempts(self):
        domain = [("last_seen", ">=", self.opened_at), ("outcome", "=", "failure")]
        if self.key_id:
            domain.append(("key_id", "=", self.key_id.id))
        elif self.integration_id:
            domain.append(("integration_id", "=", self.integration_id.id))
        elif self.user_id:
            domain.append(("user_id", "=", self.user_id.id))
        if self.closed_at:
            domain.append(("first_seen", "<=", self.closed_at))
        return domain
