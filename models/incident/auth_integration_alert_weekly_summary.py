from datetime import timedelta

from markupsafe import Markup
from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.incident import quiet_hours
from ...tools.moment import day_text

MANAGER = "auth_integration.auth_integration_group_manager"
MAIL_PARAMETER = "auth_integration.weekly_summary_mail"
FROM_HOUR = 7  # on Monday, in the reader's time zone
MAX_NAMES = 10
AHEAD_DAYS = 14


class AuthIntegrationAlert(models.Model):
    """Give administrators a weekly summary as an activity and, if so configured, by mail.

    Nothing is sent when there is nothing to say.
    """

    _inherit = "auth.integration.alert"

    summary_html = fields.Html(readonly=True, sanitize=False)

    @api.model
    def _write_weekly_summaries(self):
        """Give each administrator one summary per week, from Monday morning on."""
        now = fields.Datetime.now()
        managers = self.env.ref(MANAGER).sudo().all_user_ids.filtered("active")
        for user in managers:
            local = quiet_hours.local_time(now, user.tz)
            monday = local.date() - timedelta(days=local.weekday())
            if local.weekday() == 0 and local.hour < FROM_HOUR:
                monday -= timedelta(days=7)
            self._write_weekly_summary(user, monday)

    def _write_weekly_summary(self, user, monday):
        recipient = f"user:{user.id}"
        if self.search_count([("recipient", "=", recipient), ("week", "=", monday)], limit=1):
            return
        text = self.with_context(lang=user.lang, tz=user.tz)._weekly_text()
        alert = self.create(
            {
                "recipient": recipient,
                "user_id": user.id,
                "week": monday,
                "summary_html": text,
                "state": "sent",
                "sent_at": fields.Datetime.now(),
            }
        )
        if not text:
            return
        reader = self.with_context(lang=user.lang)
        self.env["mail.activity"].with_context(mail_activity_quick_update=True).create(
            {
                "activity_type_id": self.env.ref("mail.mail_activity_data_todo").id,
                "summary": reader.env._("Weekly summary of API integrations"),
                "note": text,
                "automated": True,
                "date_deadline": fields.Date.context_today(self.with_user(user)),
                "user_id": user.id,
            }
        )
        if self.env["ir.config_parameter"].sudo().get_param(MAIL_PARAMETER) and user.email:
            alert.state = "pending"
            alert._write_mail()

    @api.model
    def _weekly_text(self):
        """Return the summary as HTML; empty when there is nothing to say."""
        self.env.flush_all()
        now = fields.Datetime.now()
        sections = (
            (self.env._("Failed last week"), self._weekly_failed(now)),
            (self.env._("Keys that expire within two weeks"), self._weekly_expiring(now)),
            (self.env._("Keys that are not used"), self._weekly_unused()),
            (self.env._("Changed last week"), self._weekly_changed(now)),
        )
        return Markup().join(
            Markup("<p><strong>%s</strong></p><ul>%s</ul>")
            % (title, Markup().join(Markup("<li>%s</li>") % item for item in items))
            for title, items in sections
            if items
        )

    def _capped(self, items):
        more = len(items) - MAX_NAMES
        return items[:MAX_NAMES] + ([self.env._("… and %s more", more)] if more > 0 else [])

    def _weekly_failed(self, now):
        incidents = self.env["auth.integration.incident"].search(
            [("opened_at", ">=", now - timedelta(days=7)), ("kind", "in", ("failing", "silent"))]
        )
        return self._capped(
            [
                self.env._(
                    "%(name)s (%(count)s rejected calls, %(duration)s)",
                    name=incident.display_name,
                    count=incident.failure_count,
                    duration=incident.duration,
                )
                for incident in incidents
            ]
        )

    def _weekly_expiring(self, now):
        keys = self.env["auth.integration.key"].search(
            [
                ("integration_id.active", "=", True),
                ("is_live", "=", True),
                ("effective_end", "<=", now + timedelta(days=AHEAD_DAYS)),
            ]
        )
        return self._capped(
            [
                self.env._(
                    "%(integration)s: %(key)s expires on %(day)s",
                    integration=key.integration_id.name,
                    key=key.display_name,
                    day=day_text(self.env, key.effective_end),
                )
                for key in keys.sorted("effective_end")
            ]
        )

    def _weekly_unused(self):
        findings = self.env["auth.integration.finding"].search(
            [("code", "=", "key_dormant"), ("accepted", "=", False)]
        )
        return self._capped(
            [
                f"{finding.integration_id.name}: {finding.key_id.display_name}"
                for finding in findings
            ]
        )

    def _weekly_changed(self, now):
        [row] = self.env.execute_query(
            SQL(
                """
                SELECT (SELECT count(*) FROM auth_integration WHERE create_date >= %(since)s),
                       (SELECT count(*) FROM auth_integration_key
                        WHERE issued_at >= %(since)s AND integration_id IS NOT NULL),
                       (SELECT count(*) FROM auth_integration_key
                        WHERE ended_at >= %(since)s AND end_kind = 'revoked'
                          AND integration_id IS NOT NULL)
                """,
                since=now - timedelta(days=7),
            )
        )
        texts = (
            self.env._("New integrations: %s", row[0]),
            self.env._("New keys: %s", row[1]),
            self.env._("Revoked keys: %s", row[2]),
        )
        return [text for text, count in zip(texts, row, strict=True) if count]
