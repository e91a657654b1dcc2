from datetime import timedelta

from markupsafe import Markup
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import SQL

from ..integration.auth_integration_setup import ACCESS_RIGHTS

MANAGER = "auth_integration.auth_integration_group_manager"
SETTINGS = "base.group_system"
ACTIVITY = "auth_integration.mail_activity_type_request"
ALERT_ACTIVITY = "auth_integration.mail_activity_type_incident"
KEEP_DAYS = 30
# Per user and day: more requests would not be useful to anybody.
MAX_REQUESTS = 20
MAX_RECIPIENTS = 20


class AuthIntegrationAdminRequest(models.Model):
    """A request of an owner to administrators; one open one per integration, cause and day."""

    _name = "auth.integration.admin.request"
    _description = "Request to Administrators"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "id desc"
    _rec_name = "cause"
    _allow_sudo_commands = False

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    cause = fields.Char(required=True, readonly=True)
    day = fields.Date(required=True, readonly=True)
    requested_by = fields.Many2one("res.users", readonly=True, ondelete="set null", index=True)
    # The rejected attempt, if it is about one. No foreign key: the log is removed in bulk.
    attempt_number = fields.Integer(readonly=True)
    activity_ids = fields.Many2many(
        "mail.activity", "auth_integration_admin_request_activity_rel", readonly=True
    )

    fixed_at = fields.Datetime("Fixed", readonly=True)

    _once = models.UniqueIndex("(integration_id, cause, day) WHERE fixed_at IS NULL")

    @api.model
    def _was_made(self, integration, cause):
        """Return whether somebody has asked about this cause today, since it was last fixed."""
        return bool(
            self.sudo().search_count(
                [
                    ("integration_id", "=", integration.id),
                    ("cause", "=", cause),
                    ("day", "=", fields.Date.today()),
                    ("fixed_at", "=", False),
                ],
                limit=1,
            )
        )

    @api.model
    def _make(self, integration, cause, lines, record, attempt=None):
        """Ask each user who may fix a problem, by an activity on the integration.

        :param str cause: code or name of the problem, set by this add-on, never by a client
        :param lines: sentences: what was found, what it means, what to do
        :param record: the record on which it was found
        :param attempt: the rejected attempt that it is about, if any
        :raise AccessError: the current user is neither owner nor manager of the integration
        :raise UserError: asked today already, or too often
        """
        integration._check_is_responsible()
        if self.env["auth.integration.database"].sudo()._is_copy():
            raise UserError(self.env._("This database is a copy, so no one is notified."))
        request = self._note(integration, cause, attempt)
        if not request:
            raise UserError(self.env._("An administrator was already asked today."))
        deadline = fields.Date.context_today(self)
        activities = self.env["mail.activity"].sudo()
        for user in self._recipients(integration):
            texts = self.with_context(lang=user.lang).env
            summary = texts._("%s asks for your help", self.env.user.name)
            activities |= activities.create(
                {
                    "activity_type_id": self.env.ref(ACTIVITY).id,
                    "summary": summary,
                    "note": self._note_html(lines, record),
                    "date_deadline": deadline,
                    "res_model_id": self.env["ir.model"]._get_id("auth.integration"),
                    "res_id": integration.id,
                    "user_id": user.id,
                }
            )
        request.activity_ids = activities
        self._replace_alerts(integration, cause, activities.user_id)

    @api.model
    def _replace_alerts(self, integration, cause, users):
        """Remove these users' alert activities about the same problem: one activity is enough.

        They stay if the integration has open incidents with other causes.
        """
        incidents = self.env["auth.integration.incident"].sudo().search(
            [("integration_id", "=", integration.id), ("state", "=", "open")]
        )
        if set(incidents.mapped("cause")) == {cause}:
            alerts = integration.sudo().activity_search([ALERT_ACTIVITY])
            alerts.filtered(lambda activity: activity.user_id in users).unlink()

    @api.model
    def _open_causes(self, integrations, user):
        """Return what this user has been asked to fix and has not fixed yet.

        :return: pairs of an integration's id and a cause
        :rtype: set
        """
        requests = self.search(
            [
                ("integration_id", "in", integrations.ids),
                ("activity_ids.user_id", "=", user.id),
            ]
        )
        return {(request.integration_id.id, request.cause) for request in requests}

    def _note(self, integration, cause, attempt):
        """Record the request; two concurrent requests become one.

        :return: the request if it is the first of the day, else an empty recordset
        """
        today = fields.Date.today()
        mine = [("requested_by", "=", self.env.uid), ("day", "=", today)]
        if self.sudo().search_count(mine, limit=MAX_REQUESTS) >= MAX_REQUESTS:
            raise UserError(self.env._("You have asked for help too often today."))
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_integration_admin_request (
                    integration_id, cause, day, requested_by, attempt_number,
                    create_uid, create_date, write_uid, write_date)
                VALUES (%(integration)s, %(cause)s, %(day)s, %(user)s, %(attempt)s,
                    %(user)s, %(now)s, %(user)s, %(now)s)
                ON CONFLICT (integration_id, cause, day) WHERE fixed_at IS NULL
                DO NOTHING RETURNING id
                """,
                integration=integration.id,
                cause=cause,
                day=today,
                user=self.env.uid,
                attempt=attempt.id if attempt else None,
                now=fields.Datetime.now(),
            ),
            log_exceptions=False,  # of two concurrent requests, one is retried
        )
        made = self.env.cr.fetchall()
        self.invalidate_model()
        return self.sudo().browse(id_ for [id_] in made)

    @api.model
    def _recipients(self, integration):
        """Return the users who may do what the current user may not."""
        group = self.env.ref(SETTINGS if self.env.user.has_group(MANAGER) else MANAGER).sudo()
        users = (group.all_user_ids - self.env.user).filtered(
            lambda user: user.active and not user.share
            and integration.with_user(user)._may_operate()
        )
        return users[:MAX_RECIPIENTS]

    @staticmethod
    def _note_html(lines, record):
        """Return the note of the activity, with all texts escaped."""
        paragraphs = [Markup("<p>%s</p>") % line for line in lines if line]
        return Markup().join([*paragraphs, Markup("<p>%s</p>") % record._get_html_link()])

    # Once it was fixed ------------------------------------------------------------------------

    @api.model
    def _close_fixed(self, integrations=None):
        """Close requests whose problem has been fixed, and mark their activities as done.

        :param integrations: only requests about these; without it, all
        """
        domain = Domain("fixed_at", "=", False)
        domain &= Domain("activity_ids", "!=", False) | Domain("day", "=", fields.Date.today())
        if integrations is not None:
            domain &= Domain("integration_id", "in", integrations.ids)
        for request in self.search(domain):
            if request._is_fixed():
                request.fixed_at = fields.Datetime.now()
                if request.activity_ids:
                    self.env["auth.integration"]._finish_once(
                        request.activity_ids, self.env._("The issue is gone.")
                    )

    def _is_fixed(self):
        """Return whether the problem has been fixed, as far as can be detected."""
        self.ensure_one()
        integration = self.integration_id
        if not integration.active:
            return True
        if self.cause == ACCESS_RIGHTS:
            return integration.has_access_rights
        if self.cause == "user_archived":
            return integration.user_id.active
        attempt = self.env["auth.attempt"].browse(self.attempt_number).exists()
        attempt.invalidate_recordset()  # what was computed before the fix
        if not attempt:
            return False
        return attempt.open_cause != self.cause or attempt.has_succeeded_since

    @api.autovacuum
    def _gc_requests(self):
        """Delete requests after 30 days."""
        limit = 1000
        old = self.search(
            [("day", "<", fields.Date.today() - timedelta(days=KEEP_DAYS))], limit=limit
        )
        old.unlink()
        return len(old), len(old) == limit
