"""Groups of the log: screens use the newest rows, other callers all that match."""

from ast import literal_eval
from unittest.mock import patch

import babel.dates
from lxml import etree
from odoo.tests import tagged

from .test_attempt import AttemptCase


@tagged("post_install", "-at_install")
class TestAttemptGroups(AttemptCase):
    def setUp(self):
        super().setUp()
        for age in range(6):
            self.add(days_old=age, login=f"user {age % 4}", count=age + 1, channel="web")
        self.add(days_old=1, login=None, channel="json2")
        self.newest = self.attempts.with_context(auth_attempt_row_limit=3)

    def grouped(self, attempts, domain=(), by="login", **options):
        told = attempts.web_read_group(list(domain), [by], ["count:sum"], **options)
        return {group[by]: group["count:sum"] for group in told["groups"]}, told["length"]

    def test_screens_group_the_newest_rows(self):
        """The three newest rows of today and yesterday, in lists, graphs and pivots alike."""
        newest = {"user 0": 1, "user 1": 2, False: 1}
        self.assertEqual(self.grouped(self.newest), (newest, 3))
        graph = self.newest.formatted_read_group([], ["login"], ["count:sum"])
        self.assertEqual({group["login"]: group["count:sum"] for group in graph}, newest)
        total, *_sets = self.newest.formatted_read_grouping_sets([], [[], ["login"]], ["count:sum"])
        self.assertEqual([group["count:sum"] for group in total], [4])

    def test_newest_of_those_that_match(self):
        """A filter is applied first: rows that it excludes do not count toward the limit."""
        matching, _length = self.grouped(self.newest, [("channel", "=", "web")])
        self.assertEqual(matching, {"user 0": 1, "user 1": 2, "user 2": 3})

    def test_opened_group_has_the_rows_that_were_counted(self):
        [group, *_others] = self.newest.formatted_read_group([], ["login"], ["__count"])
        opened = self.attempts.search(group["__extra_domain"])
        self.assertEqual((group["login"], group["__count"]), ("user 0", 1))
        self.assertEqual(opened.mapped("count"), [1])

    def test_calls_of_programs_are_complete(self):
        """Other callers than screens get every row that matches."""
        every = {"user 0": 6, "user 1": 8, "user 2": 3, "user 3": 4, False: 1}
        self.assertEqual(self.grouped(self.attempts), (every, 5))

    def test_an_hour_of_many_groups_is_put_into_words_once(self):
        for cause in ("key_expired", "user_archived"):
            self.add(days_old=2, cause=cause)
        day_and_cause = ["last_seen:day", "cause"]
        with patch("babel.dates.format_datetime", wraps=babel.dates.format_datetime) as words:
            groups = self.attempts.formatted_read_group([], day_and_cause, ["__count"])
        self.assertEqual((len(groups), words.call_count), (8, 6))

    def test_nonsense_bounds_nothing(self):
        everything = self.grouped(self.attempts)
        for nonsense in ("3", -3, 0, 10**30, [3], {"a": 1}, True, 2.5):
            with self.subTest(nonsense=nonsense):
                attempts = self.attempts.with_context(auth_attempt_row_limit=nonsense)
                self.assertEqual(self.grouped(attempts), everything)

    def test_number_of_groups(self):
        """They are counted without reading them; rows without a value form one more group."""
        for limit, offset in ((2, 0), (2, 2), (5, 0), (3, 3)):
            with self.subTest(limit=limit, offset=offset):
                groups, length = self.grouped(self.attempts, limit=limit, offset=offset)
                self.assertEqual((len(groups), length), (min(limit, 5 - offset), 5))
        by_day = self.grouped(self.attempts, by="last_seen:day", limit=2)
        self.assertEqual((len(by_day[0]), by_day[1]), (2, 6))

    def test_action_bounds_what_it_opens(self):
        action = self.env.ref("auth_integration.auth_attempt_action")
        self.assertEqual(literal_eval(action.context)["auth_attempt_row_limit"], 20_000)
        login = etree.fromstring(self.attempts.get_view(view_type="search")["arch"])
        [label] = login.xpath("//filter[@name='group_login']/@string")
        self.assertIn("newest", label)
