import logging
import time
from datetime import datetime, timezone

from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools import settings
from ...tools.delivery import https_client, signatures
from ...tools.incident import chat_text, notice_sql, retries
from ...tools.moment import moment_text
from .mail_mail import CRON, MAX_FAILURES, next_try, sending_time

_logger = logging.getLogger(__name__)

MAX_SENT = 20  # incidents that one webhook message lists

_WEBHOOKS = f"""
    SELECT n.id, n.state, n.kind, n.alert_round,
           CASE WHEN i.alert_url IS NOT NULL THEN 'integration:' || i.id
                WHEN c.alert_url IS NOT NULL THEN 'company:' || c.id END AS recipient,
           CASE WHEN i.alert_url IS NOT NULL THEN i.id END AS integration_id,
           CASE WHEN i.alert_url IS NULL THEN c.id END AS company_id
    FROM auth_integration_incident n
    LEFT JOIN auth_integration i ON i.id = n.integration_id
    LEFT JOIN res_company c ON c.id = COALESCE(i.company_id, %(company)s)
    WHERE n.kind = ANY(%(kinds)s) AND {notice_sql.ALERTS_ON}
      AND (n.state = 'open' OR {notice_sql.RECOVERED_LATELY})
"""
_PENDING_WEBHOOKS = f"""
    WITH target AS ({_WEBHOOKS}), notice AS (
        SELECT target.*, 'opened' AS event FROM target WHERE state = 'open'
        UNION ALL
        SELECT target.*, 'recovered' FROM target
        WHERE state = 'recovered' AND EXISTS (
            SELECT FROM auth_integration_alert_line l
            WHERE {notice_sql.is_reported("target", "'opened'")}
              AND l.recipient = target.recipient)
    )
    SELECT notice.id, notice.event, notice.recipient, notice.integration_id, notice.company_id
    FROM notice
    WHERE notice.recipient IS NOT NULL AND NOT EXISTS (
        SELECT FROM auth_integration_alert_line l
        WHERE {notice_sql.is_reported("notice", "notice.event")}
          AND l.recipient = notice.recipient)
    ORDER BY notice.recipient, notice.id
"""


class AuthIntegrationAlert(models.Model):
    """Send messages by mail or by signed webhook, each with a few retries."""

    _inherit = "auth.integration.alert"

    # Webhooks: recipients --------------------------------------------------------------------

    @api.model
    def _write_webhook_alerts(self):
        """Create one message for each webhook that is to be notified."""
        self.env.flush_all()
        now = fields.Datetime.now()
        rules = self.env["auth.integration.alert.rule"]._by_kind()
        rows = self.env["auth.integration.incident"]._run_sql(
            _PENDING_WEBHOOKS,
            now=now,
            kinds=list(rules),
            news_since=now - notice_sql.NEWS_PERIOD,
            company=self.env["res.company"].sudo().search([], order="id", limit=1).id,
        )
        by_recipient = {}
        for incident_id, event, *recipient in rows:
            incident = self.env["auth.integration.incident"].browse(incident_id)
            by_recipient.setdefault(tuple(recipient), []).append((incident, event))
        for (recipient, integration_id, company_id), news in by_recipient.items():
            self._write_alert(
                {
                    "recipient": recipient,
                    "integration_id": integration_id,
                    "company_id": company_id,
                },
                news,
            )

    # Sending ---------------------------------------------------------------------------------

    def action_retry(self):
        """Send failed messages again; the job does it within a minute."""
        self.env["auth.integration"].check_access("write")
        self.sudo().filtered(lambda alert: alert.state == "failed").write(
            {"state": "pending", "tries": 0, "next_try_at": False, "error": False}
        )
        self.env.ref("auth_integration.ir_cron_incidents").sudo()._trigger()
        return True

    @api.model
    def _send_due(self):
        """Send the pending messages, with a commit after each.

        A message stays pending if the process is killed before the commit. It is then sent again,
        a mail with the same Message-ID and a webhook with the same webhook-id.
        """
        self.env.flush_all()
        now = fields.Datetime.now()
        due = self.search(
            [
                ("state", "=", "pending"),
                "|",
                ("next_try_at", "=", False),
                ("next_try_at", "<=", now),
            ],
            order="id",
            limit=1000,
        )
        failures, stop = 0, time.monotonic() + sending_time()
        for alert in due:
            alert._send_one()
            failures = failures + 1 if alert.error else 0
            if not self._commit_one() or failures >= MAX_FAILURES or time.monotonic() > stop:
                return
        if not failures:
            self.env["mail.mail"].sudo()._send_own(stop)

    def _commit_one(self):
        self.env.flush_all()
        return self.env["ir.cron"]._commit_progress(1)

    def _send_one(self):
        """Send this message, or note why it could not be sent; never raises."""
        if not self.try_lock_for_update() or self.state != "pending":
            return
        try:
            with self.env.cr.savepoint():
                problem = self._send_mail() if self.user_id else self._send_webhook()
        except Exception as error:
            _logger.info("Alert %s could not be sent: %s", self.id, type(error).__name__)
            problem = self._error_text(error)
        if problem is None:
            return
        if problem:
            self._note_problem(problem)
        else:
            self.write(
                {
                    "state": "sent",
                    "sent_at": fields.Datetime.now(),
                    "error": False,
                    "next_try_at": False,
                }
            )

    def _note_problem(self, problem):
        tries = self.tries + 1
        now = fields.Datetime.now()
        if self.user_id:
            again = next_try(self.create_date, now)
            self.env.ref(CRON)._trigger(again)
        else:
            again = retries.next_try(tries, now)
        self.write(
            {
                "tries": tries,
                "error": problem[:500],
                "next_try_at": again,
                "state": "pending" if again else "failed",
            }
        )

    @api.model
    def _error_text(self, error):
        return f"{type(error).__name__}: {error}"[:500]

    def _send_mail(self):
        """Send the mail of this message.

        :return: the problem; empty if it was sent; None if it is still in Odoo's mail queue
        """
        mail = self.mail_id.sudo()
        # Odoo deletes a mail after sending it.
        return mail._send_now() if mail.state in ("outgoing", "exception") else ""

    # Webhooks: messages -----------------------------------------------------------------------

    def _webhook_target(self):
        return self.integration_id or self.company_id

    def _send_webhook(self):
        """Post this message to its webhook, signed when it has a signing secret."""
        target = self._webhook_target().sudo()
        if not target.alert_url:
            return self.env._("The webhook was removed.")
        return self._post(target, f"alert-{self.id}", self._webhook_body())

    @api.model
    def _post(self, target, message_id, body):
        """Post a message to the webhook of an integration or a company.

        :return: the problem, or an empty text
        """
        now = datetime.now(timezone.utc)
        text = signatures.message_text(now, body)
        headers = {"webhook-id": message_id}
        try:
            if secret := target._alert_secret():
                headers = signatures.headers(secret, message_id, now, text)
            status = https_client.post(
                target.alert_url, text, headers, settings.webhook_networks(self.env)
            )
        except (https_client.NotSent, https_client.NoAnswer, UserError, ValueError) as error:
            return str(error) or type(error).__name__
        if not 200 <= status < 300:
            return self.env._("The webhook answered %s.", status)
        return ""

    def _webhook_body(self):
        lines = self.line_ids
        return {
            "type": "auth_integration.alert",
            "text": self._webhook_text(lines[:MAX_SENT], max(len(lines) - MAX_SENT, 0)),
            "data": {
                "count": len(lines),
                "incidents": [line._webhook_values() for line in lines[:MAX_SENT]],
            },
        }

    def _webhook_text(self, lines, unlisted):
        """Return the message as one text, which Slack, Teams and Mattermost show."""
        parts = [line._chat_text() for line in lines]
        if unlisted:
            parts.append(self.env._("… and %s more.", unlisted))
        return "\n\n".join(parts)


class AuthIntegrationAlertLine(models.Model):
    """Format one incident for a webhook message."""

    _inherit = "auth.integration.alert.line"

    def _chat_text(self):
        """Return the text that chat tools show, with markup in user-defined texts escaped."""
        incident = self.incident_id
        if self.event == "recovered":
            return chat_text.escape(
                self.env._(
                    "%(name)s works again after %(duration)s.",
                    name=incident.subject, duration=incident.duration,
                )
            )
        facts = [
            f"{incident.subject}: {incident.title}",
            incident.explanation,
            incident.remedy,
            self._facts_text(),
        ]
        lines = [chat_text.escape(fact) for fact in facts if fact]
        return "\n".join([*lines, incident._get_url()])

    def _facts_text(self):
        """Return environment, opening time, address and reference in one line."""
        incident = self.incident_id
        environments = dict(
            incident._fields["environment"].get_description(self.env, ["selection"])["selection"]
        )
        reader = self.alert_id.user_id or incident.integration_id.owner_ids[:1]
        facts = [
            environments.get(incident.environment),
            self.env._("since %s", moment_text(self.env, incident.opened_at, reader.tz or "UTC")),
            incident.remote_addr and self.env._("address %s", incident.remote_addr),
            incident.reference and self.env._("reference %s", incident.reference),
        ]
        return ", ".join(fact for fact in facts if fact)

    def _webhook_values(self):
        incident = self.incident_id

        def moment(value):
            return value and value.isoformat() + "Z" or None

        return {
            "id": incident.id,
            "event": self.event,
            "kind": incident.kind,
            "integration": incident.integration_id.code or None,
            "name": incident.subject,
            "environment": incident.environment or None,
            "key": incident.key_id.prefix or None,
            "cause": incident.cause,
            "title": incident.title,
            "remedy": incident.remedy,
            "failures": incident.failure_count,
            "address": incident.remote_addr or None,
            "reference": incident.reference or None,
            "opened_at": moment(incident.opened_at),
            "closed_at": moment(incident.closed_at),
            "url": incident._get_url(),
        }
