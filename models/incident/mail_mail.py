import time
from datetime import timedelta

from odoo import api, fields, models
from odoo.addons.base.models import ir_mail_server
from odoo.exceptions import UserError
from odoo.tools import config

from ...tools.incident.own_mail import OwnMail, SmtpTimeout

CRON = "auth_integration.ir_cron_incidents"
STOCK_TIMEOUT = ir_mail_server.SMTP_TIMEOUT
MIN_PAUSE, MAX_PAUSE = timedelta(minutes=1), timedelta(minutes=15)
KEPT = timedelta(days=7)  # then a mail stays in Odoo's queue as failed
# Odoo's mail queue sends a mail only if our job has not even tried for so long.
QUEUE_AFTER = timedelta(minutes=30)
MAX_FAILURES = 3  # in a row; the remaining messages are left to the next run


def worker_limit():
    """Return how many seconds a job may take before its worker is killed."""
    limit = config["limit_time_real_cron"]
    if limit is None or limit < 0:
        limit = config["limit_time_real"]
    return limit or 120


def sending_time():
    """Return how many seconds one run may spend before it starts no further message."""
    return min(worker_limit() / 4, 60)


def smtp_timeout():
    """Return how many seconds to wait for a mail server; a few failures fit in sending_time."""
    return max(min(sending_time() / MAX_FAILURES, 10), 1)


def next_try(created, now):
    """Return when to try again: pauses double, up to a limit."""
    return now + min(max(now - created, MIN_PAUSE), MAX_PAUSE)


class IrMailServer(models.Model):
    """Wait only shortly for a mail server when the add-on's own job sends."""

    _inherit = "ir.mail_server"

    def _connect__(self, *args, **kwargs):  # noqa: PLW3201
        """Extend it by the context key ``auth_integration_smtp_timeout``.

        Odoo has a constant only. In a threaded server, another thread that connects in the same
        moment waits shortly too.
        """
        timeout = self.env.context.get("auth_integration_smtp_timeout")
        if not isinstance(timeout, SmtpTimeout):
            return super()._connect__(*args, **kwargs)
        ir_mail_server.SMTP_TIMEOUT = timeout
        try:
            return super()._connect__(*args, **kwargs)
        finally:
            ir_mail_server.SMTP_TIMEOUT = STOCK_TIMEOUT


class MailMail(models.Model):
    """Send the add-on's mail from its own job, which waits shortly and keeps what was not sent."""

    _inherit = "mail.mail"

    auth_integration_next_try_at = fields.Datetime(
        readonly=True, copy=False, index="btree_not_null",
        help="A mail of an API integration, which is sent by its own job.",
    )

    @api.model_create_multi
    def create(self, vals_list):
        """Leave mail that is created with ``OWN_MAIL`` to the add-on's job."""
        if self._is_own():
            now = fields.Datetime.now()
            own = {
                "auth_integration_next_try_at": now, "scheduled_date": now + QUEUE_AFTER,
            }
            vals_list = [vals | own for vals in vals_list]
            self.env.ref(CRON).sudo()._trigger()
        return super().create(vals_list)

    def send_after_commit(self):
        if not self._is_own():
            return super().send_after_commit()

    def send(self, *args, **kwargs):
        if self._is_own():
            return True
        return super().send(*args, **kwargs)

    def _is_own(self):
        return isinstance(self.env.context.get("auth_integration_mail"), OwnMail)

    def _send_now(self):
        """Send this mail of the add-on, waiting shortly; never raises for the mail server.

        :return: the problem; empty if it was sent; None if it is still in Odoo's mail queue
        """
        self.ensure_one()
        if self.state == "exception":
            self.state = "outgoing"
        try:
            with self.env.cr.savepoint():
                self.with_context(
                    auth_integration_mail=False,
                    auth_integration_smtp_timeout=SmtpTimeout(smtp_timeout()),
                ).send()
        except (OSError, UserError) as error:  # smtplib's errors are an OSError
            self.invalidate_recordset()
            problem = f"{type(error).__name__}: {error}"
        else:
            mail = self.exists()
            if mail.state == "outgoing":
                return None
            if mail.state != "exception":
                self._open_way()
                return ""
            problem = (
                self.failure_reason or self.failure_type or self.env._("Unknown error")
            )
        self.write(
            {
                "state": "outgoing",
                "failure_reason": problem,
                "scheduled_date": fields.Datetime.now() + MAX_PAUSE + QUEUE_AFTER,
            }
        )
        return problem

    @api.model
    def _open_way(self):
        """A mail went out: close the finding, and try the others without a pause."""
        if waiting := self._waiting():
            waiting.write({"failure_reason": False})
            waiting.filtered("auth_integration_next_try_at").write(
                {"auth_integration_next_try_at": fields.Datetime.now()}
            )
            self.env["auth.integration.alert"].sudo().search(
                [("mail_id", "in", waiting.ids), ("state", "=", "pending")]
            ).write({"next_try_at": False})

    @api.model
    def _waiting(self):
        """Return the add-on's mail that could not be sent."""
        alerts = self.env["auth.integration.alert"].sudo().search(
            [("state", "=", "pending"), ("mail_id.failure_reason", "!=", False)]
        )
        return alerts.mail_id | self.search(
            [("auth_integration_next_try_at", "!=", False), ("state", "=", "outgoing"),
             ("failure_reason", "!=", False)]
        )

    @api.model
    def _send_own(self, stop):
        """Send the add-on's mail that is due, besides alerts, with a commit after each.

        :param stop: the time.monotonic() after which no further message is started
        """
        now = fields.Datetime.now()
        due = self.search(
            [
                ("auth_integration_next_try_at", "<=", now),
                ("state", "in", ("outgoing", "exception")),
                ("create_date", ">", now - KEPT),
            ],
            order="id",
            limit=1000,
        )
        failures = 0
        for mail in due:
            if not mail.try_lock_for_update():
                continue
            problem = mail._send_now()
            if problem != "":
                again = next_try(mail.create_date, fields.Datetime.now())
                mail.auth_integration_next_try_at = again
                self.env.ref(CRON)._trigger(again)
            self.env.flush_all()
            self.env["ir.cron"]._commit_progress(1)
            failures = failures + 1 if problem else 0
            if failures == MAX_FAILURES or time.monotonic() > stop:
                return
