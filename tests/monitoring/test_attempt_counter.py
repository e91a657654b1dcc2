"""Counters of attempts: exact, and never decreasing, whatever happens to the log."""

import random
from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time
from odoo import fields
from odoo.tests import tagged

from ...models.attempt import auth_attempt_retention
from ...tools.key.usage_writer import Batch, SuccessfulUse
from ..attempt.test_attempt import AttemptCase

NOW = datetime(2026, 11, 10, 12, 20)


@tagged("post_install", "-at_install")
class TestAttemptCounter(AttemptCase):
    def setUp(self):
        super().setUp()
        for table in ("report", "report_zone", "report_invalid", "counter"):
            self.env.cr.execute(f"DELETE FROM auth_attempt_{table}")
        self.env.cr.execute("UPDATE auth_attempt_counter_until SET until = '-infinity'")
        self.counter = self.env["auth.attempt.counter"]
        self.metrics = self.env["auth.integration.metrics"]
        self.expected, self.lowest = {}, {}
        self.startPatcher(freeze_time(NOW))
        self.enterContext(self.enter_registry_test_mode())

    def seen(self, days_old=0, count=1, cause="password_wrong", channel="json2", **values):
        """Add attempts to the log, and to the expected counts."""
        outcome = "failure" if cause else "success"
        self.add(days_old, count, outcome=outcome, cause=cause or None, channel=channel, **values)
        place = outcome, cause, channel
        self.expected[place] = self.expected.get(place, 0) + count

    def counts(self):
        """Return the counts; they must not have decreased."""
        found = {tuple(place): count for *place, count in self.counter._counts()}
        for place, count in self.lowest.items():
            self.assertGreaterEqual(found.get(place, 0), count, place)
        self.lowest = found
        return found

    def assertExact(self):
        self.assertEqual(self.counts(), self.expected)
        self.env.cr.execute("SELECT FROM auth_attempt_report_invalid")
        if self.env.cr.rowcount:
            return  # the metric includes late rows only after the next job
        [rows] = [metric for metric in self.metrics._log() if metric.name.endswith("log_rows")]
        self.env.cr.execute("SELECT count(*) FROM auth_attempt")
        self.assertEqual(rows.samples[()], self.env.cr.fetchone()[0])

    def run_job(self):
        self.env.ref("auth_integration.ir_cron_attempt_rollup").method_direct_trigger()

    def write_late(self, hours, count):
        """Write successes long after they happened, as after an outage of the database."""
        facts = dict.fromkeys(SuccessfulUse._fields)
        facts |= {"dbname": self.env.cr.dbname, "channel": "json2", "login": "late"}
        seconds = (fields.Datetime.now() - datetime(1970, 1, 1)).total_seconds() - hours * 3600
        self.attempts._write_use(Batch(SuccessfulUse(**facts), count, seconds, seconds))
        place = "success", "", "json2"
        self.expected[place] = self.expected.get(place, 0) + count

    def test_anything_in_any_order(self):
        """Attempts, the hourly job, retention by age and number, and late uses, in random order."""
        parameters = self.env["ir.config_parameter"]
        for seed in range(6):
            chosen = random.Random(seed)
            parameters.set_param("auth_integration.attempt_keep_failures_days", 20)
            parameters.set_param("auth_integration.attempt_keep_successes_days", 10)
            for step in range(25):
                is_first = not seed and not step  # later, these hours are closed
                act = 0 if is_first else chosen.randrange(6)
                if act <= 1:
                    for number in range(chosen.randrange(1, 9)):
                        self.seen(
                            chosen.choice((0, 0, 0.02, 0.2 * is_first, 30.5 * is_first)),
                            chosen.randrange(1, 5), chosen.choice(("", "key_expired")),
                            chosen.choice(("json2", "xmlrpc")), login=f"{seed} {step} {number}",
                        )
                elif act == 2:
                    self.run_job()
                elif act == 3:
                    number = chosen.choice((1, 4, 10**6))
                    parameters.set_param("auth_integration.attempt_max_rows", number)
                    with patch.object(auth_attempt_retention, "GC_BATCH", 3):
                        while self.attempts._gc_attempts()[1]:
                            self.assertExact()
                elif act == 4:
                    self.write_late(chosen.choice((2, 5, 30)), chosen.randrange(1, 5))
                else:
                    frozen = freeze_time(fields.Datetime.now() + timedelta(minutes=25))
                    self.startPatcher(frozen)
                with self.subTest(seed=seed, step=step, act=act):
                    self.assertExact()

    def test_the_job_moves_what_is_over_out_of_the_log(self):
        for days_old in (0, 0.01, 1, 3, 40):
            self.seen(days_old, 2, login=str(days_old))
        self.run_job()
        self.env.cr.execute("SELECT until, (SELECT sum(count) FROM auth_attempt_counter)"
                            " FROM auth_attempt_counter_until")
        self.assertEqual(self.env.cr.fetchone(), (datetime(2026, 11, 10, 11), 6))
        self.assertExact()

    def test_rows_removed_by_plain_sql_stay_counted(self):
        for day in range(1, 10):
            self.seen(day, 3, login=f"day {day}")
        self.run_job()
        self.env.cr.execute("DELETE FROM auth_attempt WHERE last_seen < '2026-11-07'")
        for hour in range(24):
            with freeze_time(NOW + timedelta(hours=hour)):
                self.run_job()
                self.assertEqual(self.counts(), self.expected)

    def test_rows_that_came_after_their_hour_was_closed_are_counted_within_a_day(self):
        """A transaction was held open, or a clock was wrong."""
        self.seen(1, 3)
        self.run_job()
        self.seen(0.2, 5, login="held open today")
        self.seen(2, 7, login="held open for days")
        self.assertNotEqual(self.counts(), self.expected)
        for hour in range(24):
            with freeze_time(NOW + timedelta(hours=hour)):
                self.run_job()
                self.counts()
        self.assertExact()
