import logging
from datetime import timedelta

from markupsafe import Markup
from odoo import api, fields, models

from .mail_mail import QUEUE_AFTER

_logger = logging.getLogger(__name__)

KEPT_DAYS = 400
MAX_LISTED = 20
TEMPLATE = "auth_integration.mail_template_alert"
ACTIVITY = "auth_integration.mail_activity_type_incident"


class AuthIntegrationAlert(models.Model):
    """A message to a user or webhook, with the incidents that it reports and its delivery state.

    Its lines prevent the next run from reporting the same again. They are written in one
    transaction with the mail and with ``notified_at``, so there is neither a mail without a row nor
    a row without a mail. Messages are sent after the commit, and unsent ones are found again.
    """

    _name = "auth.integration.alert"
    _description = "Integration Alert"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "id desc"
    _rec_name = "subject"
    _allow_sudo_commands = False

    # "user:7", "integration:5" or "company:1"; part of the unique key of the lines.
    recipient = fields.Char(required=True, readonly=True, index=True)
    user_id = fields.Many2one("res.users", ondelete="cascade", readonly=True)
    integration_id = fields.Many2one("auth.integration", ondelete="cascade", readonly=True)
    company_id = fields.Many2one("res.company", ondelete="cascade", readonly=True)
    week = fields.Date(readonly=True, help=(
        "For a weekly summary: the Monday on which it was created."
    ))
    line_ids = fields.One2many(
        "auth.integration.alert.line", "alert_id", "Incidents", readonly=True
    )
    state = fields.Selection(
        [("pending", "Pending"), ("sent", "Sent"), ("failed", "Failed")],
        required=True,
        readonly=True,
        default="pending",
    )
    status = fields.Selection(
        [
            ("pending", "Pending"), ("retrying", "Retrying"), ("sent", "Sent"),
            ("failed", "Failed"),
        ],
        compute="_compute_status",
        help="Retrying: it could not be sent, and Odoo tries again.",
    )
    mail_id = fields.Many2one("mail.mail", ondelete="set null", readonly=True)
    tries = fields.Integer(readonly=True)
    next_try_at = fields.Datetime(readonly=True)
    sent_at = fields.Datetime(readonly=True)
    error = fields.Char(readonly=True)

    listed_line_ids = fields.One2many(
        "auth.integration.alert.line", compute="_compute_listed_line_ids"
    )
    unlisted_count = fields.Integer(compute="_compute_listed_line_ids")
    subject = fields.Char(compute="_compute_subject")

    _week_uniq = models.UniqueIndex("(recipient, week) WHERE week IS NOT NULL")
    _pending_idx = models.Index("(next_try_at) WHERE state = 'pending'")

    @api.depends("state", "error")
    def _compute_status(self):
        for alert in self:
            retries = alert.state == "pending" and alert.error
            alert.status = "retrying" if retries else alert.state

    @api.depends("line_ids")
    def _compute_listed_line_ids(self):
        for alert in self:
            lines = alert.line_ids.sorted(lambda line: (line.event != "opened", line.id))
            alert.listed_line_ids = lines[:MAX_LISTED]
            alert.unlisted_count = len(lines) - MAX_LISTED if len(lines) > MAX_LISTED else 0

    @api.depends("line_ids")
    @api.depends_context("lang")
    def _compute_subject(self):
        for alert in self:
            # Keep it on one line, even if the name of an integration or user has line breaks.
            alert.subject = " ".join(alert._subject_text().split())

    def _unsent_text(self):
        """Return why the message was not sent, and which one it is; False if there is none."""
        if not self.error:
            return False
        if self.user_id:
            name = self.user_id.name
            return self.env._("Mail to %(name)s: %(error)s", name=name, error=self.error)
        name = (self.integration_id or self.company_id).display_name
        return self.env._("Alert Webhook of %(name)s: %(error)s", name=name, error=self.error)

    def _subject_text(self):
        if self.week:
            return self.env._("Weekly summary of API integrations")
        lines = self.line_ids
        opened = lines.filtered(lambda line: line.event == "opened").incident_id
        recovered = lines.incident_id - opened
        if len(lines) == 1:
            incident = lines.incident_id
            if recovered:
                return self.env._(
                    "%(name)s works again after %(duration)s",
                    name=incident.subject, duration=incident.duration,
                )
            if incident.kind == "failing":
                return self.env._(
                    "%(name)s is failing: %(cause)s", name=incident.subject, cause=incident.title
                )
            return f"{incident.subject}: {incident.title}"
        if not recovered:
            return self.env._("%s incidents of API integrations", len(opened))
        if not opened:
            return self.env._("%s API integrations work again", len(recovered))
        return self.env._(
            "API integrations: %(opened)s incidents, %(recovered)s work again",
            opened=len(opened),
            recovered=len(recovered),
        )

    # Writing ---------------------------------------------------------------------------------

    @api.model
    def _write_alerts(self):
        """Create one message for each user who is to be notified."""
        for user, news in self._news_by_user().items():
            self._write_alert({"recipient": f"user:{user.id}", "user_id": user.id}, news)

    def _write_alert(self, recipient, news):
        """Create one message with its lines, mail and activities, in this transaction.

        :param dict recipient: values of the message
        :param news: pairs of an incident and its event, ``opened`` or ``recovered``
        """
        alert = self.create(recipient)
        self.env["auth.integration.alert.line"].create(
            [
                {
                    "alert_id": alert.id,
                    "recipient": alert.recipient,
                    "incident_id": incident.id,
                    "event": event,
                    "alert_round": incident.alert_round,
                }
                for incident, event in news
            ]
        )
        if alert.user_id:
            self._set_notified_at(news)
            alert._schedule_activities()
            alert._write_mail()
        return alert

    @api.model
    def _set_notified_at(self, news):
        now = fields.Datetime.now()
        for event, column in (("opened", "notified_at"), ("recovered", "recovery_notified_at")):
            incidents = self.env["auth.integration.incident"].union(
                *(incident for incident, what in news if what == event)
            )
            if event == "opened":  # keep the first time; an escalation is no news to the owner
                incidents = incidents.filtered(
                    lambda n: not n.notified_at or n.reopened_at and n.notified_at < n.reopened_at
                )
            incidents.write({column: now})

    def _write_mail(self):
        """Queue the mail, so late that Odoo's mail queue sends it only if this job does not.

        Its Message-ID is fixed here, so that the receiver can detect a mail that is sent twice.
        """
        self.ensure_one()
        self.env.flush_all()
        if not self.user_id.email:
            self.write({"state": "failed", "error": self.env._("The user has no email address.")})
            return
        template = self.env.ref(TEMPLATE)
        self.mail_id = template.send_mail(
            self.id,
            email_values={"scheduled_date": fields.Datetime.now() + QUEUE_AFTER},
        )

    # Activities ------------------------------------------------------------------------------

    def _schedule_activities(self):
        """Give the recipient one activity for each failing integration, unless they have one.

        If an owner has asked them to fix the cause, they already have an activity for that.
        """
        self.ensure_one()
        opened = self.line_ids.filtered(lambda line: line.event == "opened").incident_id
        incidents = opened.filtered("integration_id")
        integrations = incidents.integration_id
        kind = self.env.ref(ACTIVITY, raise_if_not_found=False)
        if not integrations or not kind:
            return
        activities = self.env["mail.activity"].with_context(mail_activity_quick_update=True)
        asked = activities.search(
            [
                ("activity_type_id", "=", kind.id),
                ("res_model", "=", "auth.integration"),
                ("res_id", "in", integrations.ids),
                ("user_id", "=", self.user_id.id),
            ]
        )
        requested = self.env["auth.integration.admin.request"]._open_causes(
            integrations, self.user_id
        )
        reader = incidents.with_context(lang=self.user_id.lang).filtered(
            lambda incident: incident.integration_id.id not in asked.mapped("res_id")
            and (incident.integration_id.id, incident.cause) not in requested
        )
        activities.create(
            [
                {
                    "activity_type_id": kind.id,
                    "summary": incident.title,
                    # As the recipient: the remedy depends on their rights, and may name a key.
                    "note": Markup("<p>%s</p>") % incident.with_user(self.user_id).remedy,
                    "automated": True,
                    "date_deadline": fields.Date.context_today(self.with_user(self.user_id)),
                    "res_model_id": self.env["ir.model"]._get_id("auth.integration"),
                    "res_id": incident.integration_id.id,
                    "user_id": self.user_id.id,
                }
                for [incident, *_others] in reader.grouped("integration_id").values()
            ]
        )

    @api.autovacuum
    def _gc_alerts(self):
        """Delete old messages, but none about an open incident: it would be reported again."""
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        old = self.search(
            [
                ("create_date", "<", limit),
                ("line_ids", "not any", [("incident_id.state", "=", "open")]),
            ],
            limit=1000,
        )
        old.unlink()
        return len(old), len(old) == 1000


class AuthIntegrationAlertLine(models.Model):
    """The report to one recipient that an incident opened or recovered; once per alert round."""

    _name = "auth.integration.alert.line"
    _description = "Incident in an Alert"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "id"
    _rec_name = "incident_id"
    _allow_sudo_commands = False

    alert_id = fields.Many2one(
        "auth.integration.alert", required=True, readonly=True, ondelete="cascade", index=True
    )
    recipient = fields.Char(required=True, readonly=True)
    incident_id = fields.Many2one(
        "auth.integration.incident", required=True, readonly=True, ondelete="cascade", index=True
    )
    event = fields.Selection(
        [("opened", "Opened"), ("recovered", "Recovered")], required=True, readonly=True
    )
    alert_round = fields.Integer(required=True, readonly=True, default=0)

    _once_uniq = models.UniqueIndex(
        "(incident_id, recipient, event, alert_round)", "Each incident is reported once."
    )

    def _first_sent_at(self, event):
        alerts = self.filtered(lambda line: line.event == event).alert_id
        return min(filter(None, alerts.mapped("sent_at")), default=False)


class AuthIntegrationIncident(models.Model):
    """Show the state of an incident's alerts, and close activities when incidents have ended."""

    _inherit = "auth.integration.incident"

    alert_line_ids = fields.One2many("auth.integration.alert.line", "incident_id", readonly=True)
    alert_sent_at = fields.Datetime(
        "Alert Sent", compute="_compute_alerts_sent", compute_sudo=True
    )
    recovery_alert_sent_at = fields.Datetime(
        "Recovery Alert Sent", compute="_compute_alerts_sent", compute_sudo=True
    )
    alert_error = fields.Char(
        "Alert Not Sent", compute="_compute_alerts_sent", compute_sudo=True,
        help="Why the latest alert that could not be sent was not.",
    )

    @api.depends("alert_line_ids.alert_id.state", "alert_line_ids.alert_id.error")
    def _compute_alerts_sent(self):
        for incident in self:
            lines = incident.alert_line_ids
            incident.alert_sent_at = lines._first_sent_at("opened")
            incident.recovery_alert_sent_at = lines._first_sent_at("recovered")
            unsent = lines.alert_id.filtered(lambda alert: alert.state != "sent" and alert.error)
            incident.alert_error = unsent.sorted("id")[-1:]._unsent_text()

    @api.model
    def _close_activities(self):
        """Mark activities about integrations without any open incident as done."""
        kind = self.env.ref(ACTIVITY, raise_if_not_found=False)
        if not kind:
            return
        self.env.flush_all()
        rows = self._run_sql(
            """
            SELECT a.id, i.id FROM mail_activity a JOIN auth_integration i ON i.id = a.res_id
            WHERE a.active AND a.activity_type_id = %(kind)s AND a.res_model = 'auth.integration'
              AND NOT EXISTS (
                  SELECT FROM auth_integration_incident n
                  WHERE n.integration_id = i.id AND n.state = 'open')
            LIMIT 1000
            """,
            kind=kind.id,
        )
        activities = self.env["mail.activity"].sudo().browse(row[0] for row in rows)
        if activities:
            self.env["auth.integration"]._finish_once(
                activities, self.env._("The incident is closed.")
            )
