import logging
import os
import threading
import time
from datetime import timedelta

import odoo.modules.module
from odoo import SUPERUSER_ID, api, fields, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from psycopg2.errors import UniqueViolation

from ...tools import settings
from ...tools.health import probe
from ...tools.incident.trigger_gate import TriggerGate

_logger = logging.getLogger(__name__)

CRON = "auth_integration.ir_cron_incidents"
trigger_gate = TriggerGate()
os.register_at_fork(after_in_child=trigger_gate.reset)


class AuthIntegrationIncident(models.Model):
    """Trigger the incident job, and define what one run of it does."""

    _inherit = "auth.integration.incident"

    # Triggering the job ----------------------------------------------------------------------

    @classmethod
    def _refused(cls, registry, attempt):
        """Wake the job after a refusal was committed that may belong to an incident.

        :param attempt: :class:`~odoo.addons.auth_integration.tools.attempt.request_state.Attempt`
        """
        concerned = attempt.integration_id or attempt.key_id or attempt.cause == "throttled"
        if attempt.cause == "operation_not_allowed":
            return  # the caller has authenticated
        if concerned and attempt.auth_type != probe.VERIFY:
            cls._wake(registry)

    @api.model
    def _may_close(self, uses):
        """Return whether successful uses written in this transaction may end an open incident.

        :param uses: :class:`~odoo.addons.auth_integration.tools.key.usage_writer.Batch` objects
        """
        self.env.cr.execute(
            """
            SELECT FROM auth_integration_incident
            WHERE state = 'open' AND kind IN ('failing', 'silent')
              AND (integration_id = ANY(%s) OR integration_id IS NULL AND user_id = ANY(%s))
            LIMIT 1
            """,
            [
                list({use.identity.integration_id for use in uses} - {None}),
                list({use.identity.user_id for use in uses} - {None}),
            ],
        )
        return bool(self.env.cr.rowcount)

    @classmethod
    def _wake(cls, registry):
        """Make the job run soon, at the time that the trigger gate allows; never raises.

        A cron worker finds a trigger in the future only at its next poll, up to a minute late, so a
        timer in this process wakes it on time. If the process dies before, the trigger remains.
        """
        now = time.time()
        at = trigger_gate.ask(registry.db_name, now)
        if at is None:
            return
        try:
            with registry.cursor() as cr:
                cr.execute("SET LOCAL synchronous_commit = off")
                cls._add_trigger(cr, at - now)
            cls._notify_cron_workers_in(registry, at - now + 0.5)
        except Exception as error:
            trigger_gate.reset()
            _logger.warning("The job for incidents could not be woken: %s", type(error).__name__)

    @staticmethod
    def _add_trigger(cr, seconds):
        cron = api.Environment(cr, SUPERUSER_ID, {}).ref(CRON, raise_if_not_found=False)
        if cron:
            cron._trigger(fields.Datetime.now() + timedelta(seconds=seconds))

    @classmethod
    def _notify_cron_workers_in(cls, registry, seconds):
        if odoo.modules.module.current_test:
            return
        timer = threading.Timer(seconds, cls._notify_cron_workers, (registry,))
        timer.daemon = True
        timer.start()

    @staticmethod
    def _notify_cron_workers(registry):
        try:
            with registry.cursor() as cr:
                api.Environment(cr, SUPERUSER_ID, {})["ir.cron"]._notifydb()
        except Exception as error:
            _logger.info("Cron workers could not be notified: %s", type(error).__name__)

    # One run ---------------------------------------------------------------------------------

    @api.model
    def _cron_incidents(self):
        """Detect what fails and what works again, and notify; called by ``ir_cron_incidents``.

        Each step starts from the database and ends with a commit, so a run continues where an
        earlier one died. A failing step is logged and left to the next run; the others still run.
        """
        alerts = self.env["auth.integration.alert"]
        steps = [self._detect_and_look_again, self._note_dormant_keys]
        if self.env["auth.integration.database"]._is_copy():
            _logger.info("This database is a copy: no alert is sent from here")
        else:
            steps += [
                alerts._write_alerts,
                alerts._write_webhook_alerts,
                alerts._write_weekly_summaries,
                alerts._send_due,
                self._close_activities,
                self.env["auth.integration.admin.request"]._close_fixed,
            ]
        steps.append(self.env["auth.integration.metrics"]._store_finding_counts)
        for step in steps:
            try:
                if not self._is_alone():
                    self._trigger_later(timedelta(seconds=30))
                    self._commit()
                    return
                step()
                self.env.flush_all()
                self._commit()
            except (*PG_CONCURRENCY_EXCEPTIONS_TO_RETRY, UniqueViolation):
                self.env.cr.rollback()
                _logger.info("%s: another process is at it", step.__name__)
                self._trigger_later(timedelta(seconds=30))
            except Exception:
                self.env.cr.rollback()
                _logger.exception("%s failed; the other steps go on", step.__name__)

    def _is_alone(self):
        """Try to take the lock of this job, which is held until the next commit.

        :return: whether no other process is running a step of this job
        """
        self.env.cr.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [CRON])
        return self.env.cr.fetchone()[0]

    def _commit(self):
        self.env["ir.cron"]._commit_progress()

    def _detect_and_look_again(self):
        if look_again := self._detect():
            self._trigger_later(look_again - fields.Datetime.now())

    def _trigger_later(self, delay):
        """Run the job again after a delay, and wake the cron workers then."""
        seconds = delay.total_seconds()
        self._add_trigger(self.env.cr, seconds)
        self._notify_cron_workers_in(self.env.registry, seconds + 1)

    @api.autovacuum
    def _gc_incidents(self):
        """Delete incidents closed longer ago than the retention period of failures in the log."""
        days = settings.number(self.env, "attempt_keep_failures_days")
        old = self.search(
            [
                ("state", "!=", "open"),
                ("closed_at", "<", fields.Datetime.now() - timedelta(days=days)),
            ],
            limit=1000,
        )
        old.unlink()
        return len(old), len(old) == 1000
