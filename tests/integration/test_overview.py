from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import Form, tagged

from ..common import IntegrationCommon

# The fields of a card of the overview; 80 integrations must take as many queries as one.
CARD = {
    "name": {},
    "active": {},
    "user_active": {},
    "environment": {},
    "status": {},
    "status_color": {},
    "finding_count": {},
    "live_key_count": {},
    "next_expiry": {},
    "main_issue": {},
    "call_history": {},
    "archive_warning": {},
    "owner_ids": {"fields": {"display_name": {}}},
    "activity_state": {},
}
CARDS = 80
# Half of them are only made if calls were rejected lately: to check whether that was fixed.
MAX_QUERIES = 50


@tagged("post_install", "-at_install")
class TestOverview(IntegrationCommon):
    """Each integration has one status, the same when read, searched, grouped and sorted."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.now = fields.Datetime.now()
        cls.world = cls.env["auth.integration"]
        for status in ("working", "to_set_up", "failing", "expiring"):
            cls.world |= cls._create_integration(status, cls.owner)
        working, cls.to_set_up, failing, expiring = cls.world
        for integration in (working, failing, expiring):
            _secret, key = cls._issue(integration)
            cls._use(key)
        cls.env.cr.execute(
            "UPDATE auth_integration_key SET replace_by = %s WHERE integration_id = %s",
            (cls.now + timedelta(days=3), expiring.id),
        )
        failing.user_id.active = False
        cls._settle()

    @classmethod
    def _use(cls, key):
        key.sudo().write({"first_used_at": cls.now, "last_used_at": cls.now})

    @classmethod
    def _settle(cls):
        cls.env.flush_all()
        cls.env.invalidate_all()

    def _roll_up(self):
        """Do what the hourly job does, in this transaction."""
        report = self.env["auth.attempt.report"]
        report._sync_zones()
        while report._rollup():
            pass

    def _attempt(self, integration, outcome, count, when=None):
        columns = dict.fromkeys(
            ("cause", "auth_type", "login", "user_id", "attribution", "key_id", "remote_addr",
             "user_agent", "reference", "operation")
        )
        columns |= {"outcome": outcome, "channel": "json2", "database": self.env.cr.dbname,
                    "integration_id": integration.id}
        if outcome == "failure":
            columns["cause"] = "key_unknown"
        when = when or self.now
        self.env["auth.attempt"]._upsert(columns, count, when, when)

    def test_status_is_found_as_it_is_read(self):
        expected = self.world.mapped("code")
        self.assertEqual(self.world.mapped("status"), expected)
        self._settle()
        self.assertEqual([one.with_prefetch().status for one in self.world], expected)
        among = [("id", "in", self.world.ids)]
        for operator, value in (
            ("=", "failing"), ("!=", "working"), ("in", ["failing", "to_set_up"]), ("=", False),
            ("not in", ["expiring", "to_set_up"]),
        ):
            with self.subTest(operator=operator, value=value):
                self.assertEqual(
                    self.world.search([("status", operator, value), *among]).sorted("id"),
                    self.world.filtered_domain([("status", operator, value)]).sorted("id"),
                )
        groups = self.world._read_group(among, ["status"], ["id:recordset"])
        self.assertEqual({status: found.code for status, found in groups},
                         {code: code for code in expected})

    def test_the_worst_is_first(self):
        found = self.world.search([("id", "in", self.world.ids)], order="status, name")
        self.assertEqual(found.mapped("code"), ["failing", "expiring", "to_set_up", "working"])

    def test_the_findings_are_looked_up_once(self):
        """However often a query uses the status: with a full log, each lookup takes long."""
        query = self.world._search([("status", "=", "failing")], order="status, name")
        self.assertEqual(query.select().code.count("FROM auth_integration_finding"), 1)

    def test_an_archived_integration_has_no_status(self):
        self.world[0].active = False
        self._settle()
        self.assertFalse(self.world[0].status)

    def test_a_first_call_ends_the_set_up(self):
        self.assertEqual(self.to_set_up.status, "to_set_up")
        _secret, key = self._issue(self.to_set_up)
        self._settle()
        self.assertEqual(self.to_set_up.status, "to_set_up", "nobody has used the key yet")
        self._use(key)
        self._settle()
        self.assertEqual(self.to_set_up.status, "working")

    def test_a_key_from_before_the_integration_was_in_use(self):
        _secret, key = self._issue(self.to_set_up)
        self._move(key, issued_at=self.now - timedelta(days=20))
        self._settle()
        self.assertEqual(self.to_set_up.status, "working")
        self._move(key, expires_at=self.now - timedelta(days=1))
        self._settle()
        self.assertEqual(self.to_set_up.status, "failing", "it has no valid key")

    def test_set_up_that_is_rejected_fails(self):
        """A system calls, and is rejected each time: that is more than an unfinished setup."""
        self._issue(self.to_set_up)
        self._attempt(self.to_set_up, "failure", 5)
        self._settle()
        self.assertEqual(self.to_set_up.status, "failing")

    def test_an_expired_key_that_is_still_called_fails(self):
        """Only one issue of the key is shown, a warning, but its calls are still rejected."""
        working = self.world[0]
        key = working.key_ids
        _secret, other = self._issue(working)
        self._move(
            other, issued_at=self.now - timedelta(days=91), first_used_at=self.now,
            last_used_at=self.now,
        )
        self._move(key, expires_at=self.now)
        columns = {"cause": "key_expired", "key_id": key.id}
        self.env.cr.execute(
            "INSERT INTO auth_attempt (bucket, outcome, cause, channel, key_id, integration_id,"
            " first_seen, last_seen) VALUES ('x', 'failure', %(cause)s, 'json2', %(key_id)s, %(i)s,"
            " %(now)s, %(now)s)", columns | {"i": working.id, "now": self.now},
        )
        self._settle()
        self.assertEqual(working.finding_ids.mapped("code"), ["key_expired"])
        self.assertEqual(working.status, "failing")

    def test_a_snoozed_issue_is_no_failure(self):
        failing = self.world[2]
        self._settle()
        for finding in failing.finding_ids:
            self.env["auth.integration.finding.acceptance"].create(
                {"finding_id": finding.id, "reason": "It is switched off."}
            )
        self._settle()
        self.assertEqual(failing.status, "working")

    def test_next_expiry_is_of_the_first_key_that_is_not_replaced(self):
        working = self.world[0]
        self.assertEqual(working.next_expiry, working.key_ids.effective_end)
        _secret, second = self._issue(working)
        end = self.now + timedelta(days=5)
        self._move(second, expires_at=end)
        self._settle()
        self.assertEqual(working.next_expiry, end)
        self._move(second, retire_at=end - timedelta(days=1))
        self._settle()
        self.assertEqual(working.next_expiry, (working.key_ids - second).effective_end)
        self.assertFalse(self.to_set_up.next_expiry)

    def test_call_history(self):
        """Seven days in the reader's time zone, from the totals and from newer rows."""
        working = self.world[0].with_context(tz="UTC")
        for ago, outcome, count in ((0, "success", 9), (0, "failure", 2), (6, "success", 5),
                                    (8, "failure", 7)):
            self._attempt(working, outcome, count, self.now - timedelta(days=ago))
        for _look in range(2):
            self._settle()
            history = working.call_history
            self.assertEqual([day["accepted"] for day in history], [5, 0, 0, 0, 0, 0, 9])
            self.assertEqual([day["rejected"] for day in history], [0, 0, 0, 0, 0, 0, 2])
            self.assertEqual(history[-1]["day"], fields.Date.to_string(self.now.date()))
            self.assertEqual(working.attempt_failure_count, 2)
            self._roll_up()

    def test_a_time_zone_that_is_not_rolled_up_is_not_read_from_the_log(self):
        report = self.env["auth.attempt.report"]
        self._roll_up()
        for zone, used in (("Pacific/Chatham", "UTC"), ("UTC", "UTC")):
            self.assertEqual(report.with_context(tz=zone)._in_rolled_up_zone()._zone().zone, used)

    def test_owners_see_their_own(self):
        mine = self.env["auth.integration"].with_user(self.owner)
        groups = mine.formatted_read_group([], ["status"], ["__count"])
        counts = {group["status"]: group["__count"] for group in groups}
        self.assertEqual(counts, {"working": 1, "to_set_up": 2, "failing": 1, "expiring": 1})
        with self.assertRaises(AccessError):
            self.foreign.with_user(self.owner).read(["call_history", "status"])

    def _fail(self, integration):
        """Make an open incident of an integration with a used key, and a new, unused key."""
        self._use(integration.key_ids)
        self.env["auth.integration.incident"].sudo().create(
            {
                "kind": "failing", "source": f"test {integration.id}", "cause": "key_unknown",
                "opened_at": self.now - timedelta(hours=1), "integration_id": integration.id,
                "last_failure_at": self.now - timedelta(hours=1),
            }
        )
        self._issue(integration)

    def _queries_of(self, number):
        """Return the queries that the overview makes for this many cards, as owner of all."""
        integrations = self.env["auth.integration"].with_user(self.owner)
        domain = [("id", "in", self.many.ids[:number])]

        def look():
            self._settle()
            return integrations.web_search_read(
                domain, CARD, limit=CARDS + 1, order="status, name"
            )

        look()  # fills the caches of the registry and the user
        before = self.env.cr.sql_log_count
        self.assertEqual(len(look()["records"]), number)
        return self.env.cr.sql_log_count - before

    def test_queries_do_not_grow_with_the_cards(self):
        self.many = self.world
        for number in range(CARDS - len(self.world)):
            integration = self._create_integration(f"card_{number}", self.owner)
            self._issue(integration)
            self.many |= integration
        for integration in self.many[3:]:
            self._fail(integration)
        few, many = self._queries_of(4), self._queries_of(CARDS)
        self.assertEqual(many, few)
        self.assertLessEqual(many, MAX_QUERIES)

    def test_a_new_form_has_no_status(self):
        form = Form(self.env["auth.integration"].with_user(self.manager))
        self.assertFalse(form.status)
        self.assertFalse(form.is_setting_up)
