"""The report on attempts is as exact as a count of the log, for each reader and time zone."""

import random
from datetime import date, datetime, timedelta
from unittest.mock import patch

import pytz
from freezegun import freeze_time
from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged

from ...models.attempt import auth_attempt_retention
from ...tools.key.usage_writer import Batch, SuccessfulUse
from ..common import MANAGER, OWNER
from .test_attempt import AttemptCase

NOW = "2026-11-10 12:20:00"
# In the 70 days before, three of them changed their clocks: at midnight, and back to midnight.
ZONES = (
    "UTC",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/New_York",
    "America/Santiago",
    "Atlantic/Azores",
)
CLOCK_CHANGES = (
    "2026-09-06 03:30",
    "2026-09-06 04:30",
    "2026-10-24 23:30",
    "2026-10-25 00:30",
    "2026-10-25 01:30",
    "2026-11-01 03:30",
    "2026-11-01 06:30",
)


class ReportCase(AttemptCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for table in ("auth_attempt_report", "auth_attempt_report_zone"):
            cls.env.cr.execute(f"DELETE FROM {table}")
        cls.startClassPatcher(freeze_time(NOW))
        cls.report = cls.env["auth.attempt.report"]
        cls.readers = {
            zone: new_test_user(cls.env, f"reader in {zone}", MANAGER, tz=zone) for zone in ZONES
        }

    def rollup(self):
        """Do what the scheduled job does, without its commits."""
        self.report._sync_zones()
        self.report._discard_invalid()
        while self.report._rollup():
            pass

    def add_random_rows(self, number=250, seed=1, days=70):
        chosen = random.Random(seed)
        for moment in CLOCK_CHANGES:
            age = (fields.Datetime.now() - datetime.fromisoformat(moment)) / timedelta(days=1)
            if age < days:
                self.add(age, login=moment)
        for row in range(number):
            outcome = chosen.choice(("success", "failure"))
            causes = ("key_expired", "password_wrong", "user_archived")
            self.add(
                chosen.uniform(0, days),
                chosen.randrange(1, 9),
                outcome=outcome,
                cause=None if outcome == "success" else chosen.choice(causes),
                channel=chosen.choice(("json2", "web")),
                integration_id=chosen.choice((None, 1, 2)),
                login=f"random {seed} {row}",
            )

    def of_the_log(self, zone, groupby, condition="TRUE"):
        """Return the groups of the log, counted row by row."""
        self.env.cr.execute(
            "SELECT last_seen, outcome, cause, channel, integration_id, count FROM auth_attempt"
            f" WHERE {condition}"
        )
        groups = {}
        for row in self.env.cr.dictfetchall():
            local = pytz.utc.localize(row["last_seen"]).astimezone(pytz.timezone(zone))
            row["day:day"] = local.date()
            row["day:month"] = local.date().replace(day=1)
            group = tuple(row[name] or False for name in groupby)
            count, rows = groups.get(group, (0, 0))
            groups[group] = count + row["count"], rows + 1
        return groups

    def of_the_report(self, zone, groupby, domain=()):
        groups = self.report.with_context(tz=zone)._read_group(
            list(domain), groupby, ["count:sum", "row_count:sum"]
        )
        return {
            tuple(value.id if hasattr(value, "id") else value for value in group): (count, rows)
            for *group, count, rows in groups
        }

    def assertExact(self, zones=ZONES):
        for zone in zones:
            for groupby in (
                ["cause"],
                ["outcome", "channel"],
                ["day:day"],
                ["integration_id", "day:month", "cause"],
            ):
                with self.subTest(zone=zone, groupby=groupby):
                    found = self.of_the_report(zone, groupby)
                    self.assertEqual(found, self.of_the_log(zone, groupby))

    def stored(self, zone="UTC"):
        self.env.cr.execute(
            "SELECT COALESCE(sum(count), 0), COALESCE(sum(row_count), 0) FROM auth_attempt_report"
            " WHERE zone = %s",
            [zone],
        )
        return self.env.cr.fetchone()


@tagged("post_install", "-at_install")
class TestAttemptReport(ReportCase):
    def test_same_as_counted_one_by_one(self):
        """Before anything is rolled up, halfway, afterwards, and with rows that came later."""
        self.add_random_rows()
        self.assertEqual(self.stored(), (0, 0))
        self.assertGreater(len(self.of_the_report("UTC", ["day:day"])), 50)
        self.assertExact()
        self.report._sync_zones()
        for _batch in range(40):
            self.assertTrue(self.report._rollup())
        self.assertExact()
        self.rollup()
        for zone in ZONES:
            self.assertGreater(self.stored(zone)[1], 150)
        self.assertExact()
        for hours in range(1, 30, 14):
            with freeze_time(fields.Datetime.now() + timedelta(hours=hours)):
                self.add_random_rows(10, seed=hours, days=0.01)
                self.assertExact()
                self.rollup()
                self.assertExact()

    def test_periods_are_of_the_readers_days(self):
        self.add_random_rows()
        self.rollup()
        for zone in ZONES:
            local_day = f"(last_seen AT TIME ZONE 'UTC' AT TIME ZONE '{zone}')::date"
            for domain, condition in (
                ([("day", ">=", "2026-10-25"), ("day", "<=", "2026-11-01")],
                 f"{local_day} BETWEEN '2026-10-25' AND '2026-11-01'"),
                ([("day", "<", "2026-09-06")], f"{local_day} < '2026-09-06'"),
                ([("day", ">=", "today -7d")], f"{local_day} >= '2026-11-03'"),
                ([("cause", "=", "key_expired"), ("day", "=", "2026-11-10")],
                 f"cause = 'key_expired' AND {local_day} = '2026-11-10'"),
            ):
                with self.subTest(zone=zone, domain=domain):
                    self.assertEqual(
                        self.of_the_report(zone, ["outcome"], domain),
                        self.of_the_log(zone, ["outcome"], condition),
                    )

    def test_rows_of_the_report(self):
        """One row per day and dimensions, even of a partly rolled up day; it can be read by id."""
        self.add(0.5, 3)
        self.add(0.01, 4)
        self.add(1.5, 5)
        self.rollup()
        self.add(0.001, 6, login="another")
        rows = self.report.search([])
        self.assertEqual(rows.mapped("count"), [13, 5])
        self.assertEqual(rows.mapped("day"), [date(2026, 11, 10), date(2026, 11, 9)])
        self.env.invalidate_all()
        self.assertEqual(self.report.browse(rows[0].id).count, 13)
        self.assertEqual(self.report.search([("count", ">", 5)]), rows[0])
        self.env.cr.execute("DELETE FROM auth_attempt_report_zone")
        newest = self.report.search([], limit=1)
        self.env.invalidate_all()
        self.assertEqual((newest.day, newest.count), (date(2026, 11, 10), 13))

    def test_a_row_leads_to_its_attempts(self):
        self.add(0.001, integration_id=7)
        self.add(0.002, cause="key_expired")
        self.add(2)
        self.rollup()
        rows = self.report.with_context(tz="Asia/Kathmandu").search([])
        self.assertEqual(len(rows), 3)
        for row in rows:
            action = row.action_view_attempts()
            found = self.env[action["res_model"]].search(action["domain"])
            self.assertEqual((len(found), found.cause), (1, row.cause))

    def test_only_closed_hours_are_rolled_up(self):
        """A use may be added to its row for an hour, and be written a minute late."""
        self.add(outcome="success", cause=None, days_old=79 / 1440)  # 11:01
        self.rollup()
        self.assertEqual(self.stored(), (0, 0))
        self.add(outcome="success", cause=None, days_old=21 / 1440)  # 11:59, the same row
        with freeze_time("2026-11-10 12:29:59"):
            self.rollup()
            self.assertEqual(self.stored(), (0, 0))
        with freeze_time("2026-11-10 12:30:00"):
            self.rollup()
            self.assertEqual(self.stored(), (2, 1))
            self.assertExact()
            self.rollup()
            self.assertEqual(self.stored(), (2, 1))

    def test_a_late_batch_of_uses(self):
        """A process that was stopped for hours writes what it had counted."""
        self.add_random_rows()
        self.rollup()
        before = self.stored()
        facts = dict.fromkeys(SuccessfulUse._fields)
        facts |= {"dbname": self.env.cr.dbname, "channel": "json2", "login": "late"}
        for hours in (30, 29.9, 3):
            used = fields.Datetime.now() - timedelta(hours=hours)
            seconds = (used - datetime(1970, 1, 1)).total_seconds()
            self.attempts._write_use(Batch(SuccessfulUse(**facts), 3, seconds, seconds))
            self.assertExact()
        self.rollup()
        self.assertEqual(self.stored(), (before[0] + 9, before[1] + 2))
        self.assertExact()

    def test_a_batch_in_time_invalidates_nothing(self):
        facts = dict.fromkeys(SuccessfulUse._fields)
        facts |= {"dbname": self.env.cr.dbname, "channel": "json2", "login": "in time"}
        seconds = (datetime.fromisoformat(NOW) - datetime(1970, 1, 1)).total_seconds()
        self.attempts._write_use(Batch(SuccessfulUse(**facts), 3, seconds - 60, seconds - 60))
        self.env.cr.execute("SELECT count(*) FROM auth_attempt_report_invalid")
        self.assertEqual(self.env.cr.fetchone(), (0,))

    def test_what_retention_removes(self):
        self.env["ir.config_parameter"].set_param("auth_integration.attempt_keep_failures_days", 30)
        self.add_random_rows()
        self.rollup()
        before = self.stored()
        with patch.object(auth_attempt_retention, "GC_BATCH", 7):
            while self.attempts._gc_attempts()[1]:
                self.assertExact(("UTC", "Atlantic/Azores"))
        self.assertExact()
        self.assertLess(self.stored(), before)
        self.env["ir.config_parameter"].set_param("auth_integration.attempt_max_rows", 5)
        self.attempts._gc_attempts()  # leaves only rows that are not rolled up yet
        self.assertExact()

    def test_what_was_done_by_plain_sql_is_found_within_a_day(self):
        """Rows deleted at the beginning, in the middle or all of them; a clock that was fast."""
        for number, statement in enumerate(
            (
                "DELETE FROM auth_attempt WHERE last_seen < '2026-09-20 13:00'",
                "DELETE FROM auth_attempt WHERE channel = 'web' AND last_seen < '2026-11-05'",
                "UPDATE auth_attempt SET count = count + 1 WHERE last_seen < '2026-11-09'",
                "UPDATE auth_attempt SET last_seen = last_seen - interval '80 days 20 minutes'",
                "DELETE FROM auth_attempt WHERE last_seen < '2026-11-10 11:00'",
            )
        ):
            self.add_random_rows(100, seed=number)
            self.env.cr.execute("DELETE FROM auth_attempt_report_zone")
            self.env.cr.execute("DELETE FROM auth_attempt_report")
            self.rollup()
            self.env.cr.execute(statement)
            with self.subTest(statement):
                self.assertNotEqual(
                    self.of_the_report("UTC", ["day:day"]), self.of_the_log("UTC", ["day:day"])
                )
                compared = 0
                for hour in range(24):
                    with freeze_time(datetime(2026, 11, 10, 13) + timedelta(hours=hour)):
                        for day in self.report._differing_days():
                            compared += 1
                            self.report._rollup_again(
                                day, day + timedelta(days=1, seconds=-1)
                            )
                self.assertTrue(compared)
                self.assertExact()

    def test_what_is_equal_is_left_alone(self):
        self.add_random_rows()
        self.rollup()
        for hour in range(24):
            with freeze_time(datetime(2026, 11, 10, 13) + timedelta(hours=hour)):
                self.assertEqual(self.report._differing_days(), [])

    def test_zones_are_those_of_readers(self):
        """Each zone gets its days soon after it has a reader, and loses them with the last one."""
        employee = new_test_user(self.env, "no reader", OWNER, tz="Asia/Tokyo")
        self.add_random_rows()
        self.rollup()
        self.assertGreater(self.stored("Asia/Kathmandu")[1], 150)
        self.assertEqual(self.stored("Asia/Tokyo"), (0, 0))
        self.assertExact(["Asia/Tokyo"])
        employee.group_ids += self.env.ref("auth_integration.auth_integration_group_owner")
        self.readers["Asia/Kathmandu"].active = False
        self.rollup()
        self.assertGreater(self.stored("Asia/Tokyo")[1], 150)
        self.assertEqual(self.stored("Asia/Kathmandu"), (0, 0))
        self.assertExact([*ZONES, "Asia/Tokyo"])

    def test_a_caller_may_say_anything_as_time_zone(self):
        self.add_random_rows(50)
        self.rollup()
        expected = self.of_the_report("UTC", ["day:day"])
        for zone in (None, False, "no zone", "UTC' OR TRUE --", "%s", "localtime"):
            with self.subTest(zone=zone):
                self.assertEqual(self.of_the_report(zone, ["day:day"]), expected)

    def test_the_scheduled_job(self):
        self.add_random_rows(100)
        self.env.cr.execute("DELETE FROM auth_attempt WHERE last_seen > '2026-11-10 11:00'")
        self.enterContext(self.enter_registry_test_mode())
        self.env.ref("auth_integration.ir_cron_attempt_rollup").method_direct_trigger()
        [(count, rows)] = self.of_the_log("UTC", []).values()
        self.assertEqual(self.stored("UTC"), (count, rows))
        self.env.cr.execute("DELETE FROM auth_attempt WHERE last_seen < '2026-10-10'")
        for hour in range(24):
            with freeze_time(datetime(2026, 11, 10, 12, 30) + timedelta(hours=hour)):
                self.env.ref("auth_integration.ir_cron_attempt_rollup").method_direct_trigger()
        self.assertExact()


@tagged("post_install", "-at_install")
class TestAttemptReportAccess(ReportCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        exporter = f"{OWNER},base.group_allow_export"
        cls.owner = new_test_user(cls.env, "olivia", exporter)
        cls.stranger = new_test_user(cls.env, "sam", exporter)
        cls.readers["UTC"].group_ids += cls.env.ref("base.group_allow_export")
        cls.integrations = [
            cls.env["auth.integration"].create(
                {"name": code, "code": code, "owner_ids": [fields.Command.link(owner.id)]}
            )
            for code, owner in (("one_of_report", cls.owner), ("other_of_report", cls.stranger))
        ]

    def setUp(self):
        super().setUp()
        for integration, count in zip((*self.integrations, None), (7, 5, 3), strict=True):
            for age in (0.01, 3):
                self.add(age, count, integration_id=integration and integration.id)

    def counts(self, user):
        report = self.report.with_user(user)
        total = sum(count for [count] in report._read_group([], [], ["count:sum"]))
        groups = report.formatted_read_group([], ["integration_id"], ["count:sum"])
        exported = report.search([]).export_data(["count"])["datas"]
        self.assertEqual(sum(group["count:sum"] for group in groups), total)
        self.assertEqual(sum(int(count) for [count] in exported), total)
        return total

    def test_owners_see_their_own(self):
        for _time in range(2):
            self.assertEqual(self.counts(self.owner), 14)
            self.assertEqual(self.counts(self.stranger), 10)
            self.assertEqual(self.counts(self.readers["UTC"]), 30)
            self.rollup()
        foreign = self.report.search([("integration_id", "=", self.integrations[1].id)])
        self.assertEqual(len(foreign), 2)
        for row in foreign:
            with self.assertRaises(AccessError):
                row.with_user(self.owner).read(["count"])

    def test_employees_see_nothing(self):
        employee = new_test_user(self.env, "employee", OWNER)
        for call in (
            lambda report: report.search([]),
            lambda report: report.formatted_read_group([], ["cause"], ["count:sum"]),
            lambda report: report.web_search_read([], {"count": {}}),
        ):
            with self.assertRaises(AccessError):
                call(self.report.with_user(employee))

    def test_nobody_changes_a_row(self):
        self.rollup()
        for user in (self.owner, self.readers["UTC"], self.env.ref("base.user_root")):
            row = self.report.with_user(user).search([], limit=1)
            for change in (
                lambda row: row.create({"count": 1}),
                lambda row: row.write({"count": 1}),
                lambda row: row.unlink(),
            ):
                with self.assertRaises(AccessError):
                    change(row)

    def test_a_deleted_integration(self):
        """Its number is shown instead, in lists and groups."""
        number = self.integrations[0].id
        self.rollup()
        self.integrations[0].unlink()
        self.env.invalidate_all()
        report = self.report.with_user(self.readers["UTC"])
        groups = report.formatted_read_group([], ["integration_id"], ["count:sum"])
        self.assertIn(
            (number, f"Deleted (number {number})"), [group["integration_id"] for group in groups]
        )
        listed = report.web_search_read([], {"integration_id": {"fields": {"display_name": {}}}})
        self.assertEqual(listed["length"], 6)
