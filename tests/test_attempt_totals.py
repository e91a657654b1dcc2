"""Totals of the log: the same groups as of its rows, whatever is added and removed."""

import dataclasses
from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time
from odoo import fields
from odoo.tests import new_test_user, tagged

from ..models import auth_attempt_retention, auth_attempt_totals
from ..models.auth_attempt_totals import Totals
from ..tools.usage_writer import Batch, SuccessfulUse
from .test_attempt import AttemptCase

NOW = "2026-03-10 12:20:00"
MONTH = [("last_seen", ">=", "2026-02-10 00:00:00"), ("last_seen", "<", "2026-03-11 00:00:00")]


@tagged("post_install", "-at_install")
class TestAttemptTotals(AttemptCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.cr.execute("DELETE FROM auth_attempt_total")
        cls.startClassPatcher(freeze_time(NOW))

    def setUp(self):
        super().setUp()
        for number in range(60):
            cause = ("key_expired", "password_wrong", "user_archived")[number % 3]
            facts = {"cause": cause, "channel": ("json2", "web")[number % 2]}
            age = number * 0.31
            self.add(age, number + 1, login="user 1", integration_id=number % 4 or None, **facts)
            self.add(age, 2, login="user 2", integration_id=number % 4 or None, **facts)
            self.add(age, 3, login="user 3", integration_id=5, **facts)
            self.add(age, outcome="success", cause=None, integration_id=1)

    def sum_up(self):
        while self.attempts._sum_up()[1]:
            pass

    def totals(self):
        self.env.cr.execute(
            "SELECT count(*), sum(count), sum(row_count), max(half_hour) FROM auth_attempt_total"
        )
        return self.env.cr.fetchone()

    def groups(self, of_rows=False, groupby=("cause",), domain=None, options=None, **context):
        """Groups of a period, and whether totals were read for them."""
        attempts = self.attempts.with_context(**context)
        domain = domain or MONTH
        used = []
        query = type(attempts)._table_query

        def spied(model):
            used.append(isinstance(model.env.context.get("auth_attempt_totals"), Totals))
            return query.fget(model)

        def no_totals(model, *args):
            return model

        patches = [patch.object(type(attempts), "_table_query", property(spied))]
        if of_rows:
            patches.append(patch.object(type(attempts), "_totals_if_equal", no_totals))
        for each in patches:
            each.start()
        try:
            options = options or {}
            groups = attempts._read_group(domain, groupby, ["__count", "count:sum"], **options)
            sets = "having" in options or attempts._read_grouping_sets(
                domain, [[], list(groupby)], ["__count", "count:sum"], **options
            )
        finally:
            for each in reversed(patches):
                each.stop()
        return (groups, sets), any(used)

    def assertSameAsRows(self, from_totals=True, **asked):
        self.env.flush_all()
        found, used = self.groups(**asked)
        self.assertEqual(found, self.groups(of_rows=True, **asked)[0])
        self.assertTrue(found[0])
        self.assertEqual(used, from_totals)

    def test_same_groups_as_of_the_rows(self):
        """By everything a chart of the log is made of, in lists, graphs and pivots alike."""
        self.sum_up()
        for groupby in (
            [],
            ["cause"],
            ["outcome", "channel"],
            ["integration_id", "cause", "last_seen:day"],
            ["last_seen:hour", "cause"],
            ["last_seen:week"],
            ["last_seen:month"],
        ):
            for domain in (MONTH, [*MONTH, ("outcome", "=", "failure")], [("cause", "!=", False)]):
                for tz in ("UTC", "Asia/Kolkata", "America/New_York", "no zone"):
                    with self.subTest(groupby=groupby, domain=domain, tz=tz):
                        self.assertSameAsRows(groupby=groupby, domain=domain, tz=tz)

    def test_same_with_nothing_summed_up(self):
        self.assertEqual(self.totals()[0], 0)
        self.assertSameAsRows()

    def test_what_totals_do_not_know_is_read_from_the_rows(self):
        """Another column, a half hour cut in two, a zone whose days begin in the midst of one."""
        self.sum_up()
        for asked in (
            {"groupby": ["login"]},
            {"domain": [*MONTH, ("login", "=", "user 1")]},
            {"domain": [("last_seen", ">=", "2026-03-01 00:10:00")]},
            {"domain": [("first_seen", ">=", "2026-03-01 00:00:00")]},
            {"groupby": ["last_seen:day"], "tz": "Asia/Kathmandu"},
            {"groupby": ["last_seen:minute_number"]},
        ):
            with self.subTest(asked=asked):
                self.assertSameAsRows(from_totals=False, **asked)

    def test_groups_chosen_and_ordered_by_what_totals_do_not_know(self):
        """A condition on groups, or their order, may ask for another aggregate than is shown."""
        self.sum_up()
        for known, options in (
            (True, {"having": [("count:sum", ">", 700)], "order": "__count desc, cause"}),
            (True, {"having": ["|", ("__count", "<", 60), ("count:sum", "<", 700)]}),
            (False, {"having": [("count:max", ">", 59)]}),
            (False, {"having": ["!", ("login:count_distinct", ">", 1)]}),
            (False, {"order": "count:avg desc"}),
            (False, {"order": "cause, id:max desc NULLS LAST"}),
        ):
            with self.subTest(options=options):
                self.assertSameAsRows(from_totals=known, options=options)

    def test_records_of_groups_are_as_any(self):
        """Whoever goes on from an integration to its attempts reads the log."""
        self.sum_up()
        [[found, _count], *_others] = self.attempts._read_group([], ["integration_id"], ["__count"])
        _total, [[of_set, _count], *_others] = self.attempts._read_grouping_sets(
            [], [[], ["integration_id"]], ["__count"]
        )
        for integration in (found, of_set):
            attempts = integration.env["auth.attempt"]
            self.assertEqual(attempts.search_count([]), self.attempts.search_count([]))

    def test_bounds_as_the_filters_of_the_screen_write_them(self):
        for days in (0, 9):
            self.add(days_old=days + (12 * 60 + 10) / 1440)  # ten past midnight
        self.sum_up()
        for first, last in ((">=", "<="), (">=", "<"), (">", "<=")):
            for begin, end in (
                ("2026-02-28 23:59:59", "2026-03-09 23:59:59"),
                ("2026-03-01 00:00:00", "2026-03-10 00:00:00"),
            ):
                domain = [("last_seen", first, begin), ("last_seen", last, end)]
                with self.subTest(domain=domain):
                    found, used = self.groups(domain=domain)
                    self.assertEqual(found, self.groups(of_rows=True, domain=domain)[0])
                    separates = {"23:59:59": {">", "<="}, "00:00:00": {">=", "<"}}[begin[11:]]
                    self.assertEqual(used, {first, last} <= separates)
        self.assertSameAsRows(domain=[("last_seen", ">=", "today -7d")])

    def test_only_what_has_settled_is_summed_up(self):
        """A success may be added to its row for an hour, and be a minute late."""
        self.add(outcome="success", cause=None, login="late", days_old=80 / 1440)  # 11:00
        self.sum_up()
        self.assertEqual(self.totals()[3], datetime(2026, 3, 10, 4, 30))
        self.add(outcome="success", cause=None, login="late", days_old=21 / 1440)  # 11:59
        self.assertSameAsRows()
        with freeze_time("2026-03-10 14:00:00"):
            self.sum_up()
            self.assertEqual(self.totals()[3], datetime(2026, 3, 10, 12))
            self.assertSameAsRows()

    def test_summed_up_once_and_in_portions(self):
        """A long log is summed up by days, each in a transaction; a second run adds nothing."""
        made, more = self.attempts._sum_up()
        self.assertTrue(made)
        self.assertEqual(more, 1)
        self.assertSameAsRows()
        self.sum_up()
        totals = self.totals()
        # All but the newest four rows.
        self.assertEqual(totals[:3], (59 * 3, sum(range(2, 61)) + 59 * (2 + 3 + 1), 59 * 4))
        self.assertEqual(self.attempts._sum_up(), (0, 0))
        self.assertEqual(self.totals(), totals)

    def test_what_is_removed_is_taken_from_its_totals(self):
        self.env["ir.config_parameter"].set_param("auth_integration.attempt_keep_failures_days", 9)
        self.sum_up()
        before = self.totals()
        with patch.object(auth_attempt_retention, "GC_BATCH", 1):
            self.attempts._gc_attempts()  # one of the two rows of a total
        self.assertSameAsRows()
        while self.attempts._gc_attempts()[1]:
            pass
        after = self.totals()
        self.assertLess(after[2], before[2])
        self.env.cr.execute("SELECT count(*), sum(count) FROM auth_attempt")
        rows, count = self.env.cr.fetchone()
        self.assertEqual(after[1:3], (count - 1 - 2 - 3 - 1, rows - 4))
        self.assertSameAsRows()
        self.env.cr.execute("SELECT count(*) FROM auth_attempt_total WHERE row_count <= 0")
        self.assertEqual(self.env.cr.fetchone(), (0,))

    def test_a_late_batch_of_uses_has_its_totals_made_again(self):
        """A process that was stopped for hours writes down what it had counted."""
        self.sum_up()
        used = fields.Datetime.now() - timedelta(hours=9)
        facts = dict.fromkeys(item.name for item in dataclasses.fields(SuccessfulUse))
        facts |= {"dbname": self.env.cr.dbname, "channel": "json2", "login": "x"}
        seconds = (used - datetime(1970, 1, 1)).total_seconds()
        self.attempts._write_use(Batch(SuccessfulUse(**facts), 3, seconds, seconds))
        before = self.totals()
        self.assertSameAsRows()
        self.sum_up()
        self.assertSameAsRows()
        self.assertEqual(self.totals()[1:], (before[1] + 3, before[2] + 1, before[3]))

    def test_what_was_done_behind_our_back_is_noticed_once_a_day(self):
        """Rows removed by SQL, at the beginning, in the midst or all; a clock that ran fast."""
        for log_is_changed in (
            "DELETE FROM auth_attempt WHERE last_seen < '2026-02-26'",
            "DELETE FROM auth_attempt WHERE login = 'user 2' AND last_seen < '2026-03-05'",
            "UPDATE auth_attempt SET count = count + 1 WHERE last_seen < '2026-03-09'",
            "UPDATE auth_attempt SET last_seen = last_seen - interval '1 day 20 minutes'",
            "DELETE FROM auth_attempt",
        ):
            self.sum_up()
            with self.subTest(log_is_changed):
                self.env.cr.execute(log_is_changed)
                of_totals, of_rows = self.groups()[0], self.groups(of_rows=True)[0]
                self.assertNotEqual(of_totals, of_rows)
                self.attempts._redo_totals_that_differ()
                self.assertEqual(self.groups()[0], self.groups(of_rows=True)[0])
                self.sum_up()
                self.assertEqual(self.groups()[0], self.groups(of_rows=True)[0])

    def test_totals_that_tell_the_same_stay(self):
        self.attempts._redo_totals_that_differ()
        self.sum_up()
        totals = self.totals()
        self.attempts._redo_totals_that_differ()
        self.attempts._drop_totals_to_redo()
        self.assertEqual(self.totals(), totals)

    def test_totals_are_to_be_made_again_of_which_there_are_none(self):
        """A late batch before the first night, or after retention has removed the last total."""
        self.attempts._redo_totals(datetime(2026, 3, 9))
        self.assertSameAsRows()
        self.attempts._redo_totals_that_differ()
        self.sum_up()
        self.assertTrue(self.totals()[0])
        self.assertSameAsRows()

    def test_an_owner_reads_his_own(self):
        """The rules of the log hold for its totals."""
        owner = new_test_user(self.env, "owner of one", "base.group_user")
        integration = self.env["auth.integration"].create(
            {"name": "One", "code": "one_of_totals", "owner_ids": [fields.Command.link(owner.id)]}
        )
        self.add(days_old=3, integration_id=integration.id, count=7)
        self.sum_up()
        self.attempts = self.attempts.with_user(owner)
        groups = self.attempts._read_group(MONTH, ["integration_id"], ["count:sum"])
        self.assertEqual(groups, [(integration, 7)])
        self.assertSameAsRows()

    def test_a_rule_that_totals_do_not_know(self):
        """An administrator's own rule on another column holds: the rows are read."""
        self.env["ir.rule"].create(
            {
                "name": "only one user's",
                "model_id": self.env["ir.model"]._get_id("auth.attempt"),
                "domain_force": "[('login', '=', 'user 1')]",
            }
        )
        self.sum_up()
        manager = new_test_user(self.env, "manager", "base.group_system")
        self.attempts = self.attempts.with_user(manager)
        self.assertSameAsRows(from_totals=False)

    def test_a_caller_cannot_ask_for_totals(self):
        """What is said in the context over RPC is no :class:`Totals`."""
        attempts = self.attempts.with_context(auth_attempt_totals="2026-01-01")
        self.assertIsNone(attempts._table_query)
        self.assertEqual(auth_attempt_totals.BATCH, timedelta(days=1))
