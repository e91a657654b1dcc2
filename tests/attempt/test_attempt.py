"""The log of attempts in Odoo: kept for a limited time, read-only, and never an obstacle."""

from datetime import timedelta
from unittest.mock import patch

from freezegun import freeze_time
from odoo import fields
from odoo.addons.base.models.res_users import ResUsers as StockUsers
from odoo.exceptions import AccessDenied, AccessError
from odoo.fields import Command
from odoo.tests import TransactionCase, new_test_user, tagged
from psycopg2 import DataError
from psycopg2.pool import PoolError

from ...models.attempt import auth_attempt, auth_attempt_enrichment, auth_attempt_retention
from ...tools import hook_queries, settings
from ...tools.attempt import attempt_logging, caller, references
from ...tools.attempt import user_agent as user_agents
from ...tools.attempt.flood_limits import LogLimit

LOGGER = "odoo.addons.auth_integration.models.auth_attempt"


class AttemptCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.attempts = cls.env["auth.attempt"]
        cls.env.cr.execute("DELETE FROM auth_attempt")

    def add(self, days_old=0, count=1, **values):
        """Add a row to the log as the hooks would have, some days ago."""
        seen = fields.Datetime.now() - timedelta(days=days_old)
        values = {"outcome": "failure", "channel": "xmlrpc", "cause": "password_wrong"} | values
        columns = dict.fromkeys(auth_attempt.IDENTIFYING_COLUMNS) | values
        self.attempts._upsert(columns, count, seen, seen)

    def try_to_log_in(self, login="nobody here", password="x"):
        credential = {"login": login, "password": password, "type": "password"}
        # assertRaises would roll back what was recorded.
        try:
            self.env["res.users"].authenticate(credential, {"interactive": False})
        except AccessDenied:
            return
        self.fail("the login was accepted")


@tagged("post_install", "-at_install")
class TestRetention(AttemptCase):
    def setUp(self):
        super().setUp()
        for name, value in (("keep_failures_days", 40), ("keep_successes_days", 20)):
            self.env["ir.config_parameter"].set_param(f"auth_integration.attempt_{name}", value)

    def clean(self):
        """Run the autovacuum to its end and return the outcomes of the remaining rows."""
        while self.attempts._gc_attempts()[1]:
            pass
        return sorted(self.attempts.search([]).mapped("outcome"))

    def test_kept_for_their_time(self):
        """Failures and successes are kept for separate times, and deleted at their full age."""
        with freeze_time("2026-03-01 12:00:00"):
            self.add()
            self.add(outcome="success", cause=None)
        for day, left in (
            ("2026-03-11", ["failure", "success"]),  # half the time of successes
            ("2026-03-21 11:59:59", ["failure", "success"]),
            ("2026-03-21 12:00:01", ["failure"]),  # successes: full time; failures: half
            ("2026-04-10 11:59:59", ["failure"]),
            ("2026-04-10 12:00:01", []),
        ):
            with self.subTest(day), freeze_time(day):
                self.assertEqual(self.clean(), left)

    def test_a_row_seen_again_stays(self):
        """The age of a row is that of its last attempt."""
        with freeze_time("2026-03-01 12:00:00"):
            self.add(outcome="success", cause=None)
        with freeze_time("2026-03-01 12:40:00"):
            self.add(outcome="success", cause=None)
        with freeze_time("2026-03-21 12:20:00"):
            self.assertEqual(self.clean(), ["success"])
            self.assertEqual(self.attempts.search([]).count, 2)

    def test_removal_goes_by_batches_and_records_itself(self):
        """Each batch has its own transaction, with the record of what it deleted."""
        for number in range(5):
            self.add(days_old=50, count=3, login=f"user {number}")
        self.add(days_old=1)
        with patch.object(auth_attempt_retention, "GC_BATCH", 2):
            self.assertEqual(self.attempts._gc_attempts(), (2, 1))
            self.assertEqual(self.attempts._gc_attempts(), (2, 1))
            self.assertEqual(self.attempts._gc_attempts(), (1, 0))
            self.assertEqual(self.attempts._gc_attempts(), (0, 0))
        removals = self.env["auth.attempt.removal"].search([])
        self.assertEqual(removals.mapped("reason"), ["age"] * 3)
        self.assertEqual(sum(removals.mapped("row_count")), 5)
        self.assertEqual(sum(removals.mapped("attempt_count")), 15)
        self.assertEqual(self.attempts.search_count([]), 1)

    def test_the_daily_cleaning_of_odoo_runs_it(self):
        """Only Odoo's own job calls it."""
        self.add(days_old=50)
        self.enterContext(self.enter_registry_test_mode())
        self.env.ref("base.autovacuum_job").method_direct_trigger()
        self.assertFalse(self.attempts.search_count([]))

    def test_number_of_rows_is_bounded(self):
        """Above the limit, the oldest rows are deleted, whatever their outcome."""
        self.env["ir.config_parameter"].set_param("auth_integration.attempt_max_rows", 3)
        for age in range(5):
            self.add(days_old=age, login=f"user {age}")
        self.add(days_old=10, outcome="success", cause=None, login="old success")
        self.clean()
        self.assertEqual(
            self.attempts.search([]).mapped("login"), ["user 0", "user 1", "user 2"]
        )
        removals = self.env["auth.attempt.removal"].search([])
        self.assertEqual(set(removals.mapped("reason")), {"number"})
        self.assertEqual(sum(removals.mapped("row_count")), 3)

    def test_settings_are_those_used(self):
        """The settings write the parameters that retention reads, with the same defaults."""
        self.env["ir.config_parameter"].search(
            [("key", "in", [f"auth_integration.{name}" for name in settings.DEFAULTS])]
        ).unlink()
        dialogue = self.env["res.config.settings"].create({})
        self.assertEqual(dialogue.auth_integration_attempt_max_rows, 5_000_000)
        for name, default in settings.DEFAULTS.items():
            with self.subTest(name):
                field = f"auth_integration_{name}"
                self.assertEqual(dialogue[field], default)
                self.assertEqual(settings.number(self.env, name), default)
                dialogue[field] = default + 7
        dialogue.execute()
        for name, default in settings.DEFAULTS.items():
            self.assertEqual(settings.number(self.env, name), default + 7)


@tagged("post_install", "-at_install")
class TestAppendOnly(AttemptCase):
    def test_nobody_changes_a_row(self):
        """Owners, administrators and the superuser cannot, with any method of the ORM."""
        self.add()
        self.env.cr.execute(
            "INSERT INTO auth_attempt_removal (date, reason, outcome) VALUES (now(), 'age',"
            " 'failure')"
        )
        manager = new_test_user(self.env, "manager", "base.group_system")
        owner = new_test_user(
            self.env, "owner", "base.group_user,auth_integration.auth_integration_group_owner"
        )
        for model in ("auth.attempt", "auth.attempt.removal"):
            row = self.env[model].sudo().search([], limit=1)
            for user in (owner, manager, self.env.ref("base.user_root")):
                for action, call in {
                    "create": lambda r: r.create({}),
                    "write": lambda r: r.write({"outcome": "success"}),
                    "unlink": lambda r: r.unlink(),
                    "copy": lambda r: r.copy(),
                    "web_save": lambda r: r.web_save({"outcome": "success"}, {}),
                }.items():
                    for record in (row.with_user(user), row.with_user(user).sudo()):
                        with self.subTest(model=model, user=user.login, action=action):
                            with self.assertRaises(AccessError):
                                call(record)
                imported = row.with_user(user).load(["outcome"], [["Success"]])
                self.assertFalse(imported["ids"])
            self.assertEqual(self.env[model].search_count([]), 1)


@tagged("post_install", "-at_install")
class TestEmission(AttemptCase):
    def setUp(self):
        super().setUp()
        # The log uses its own cursors; here they share the test's transaction.
        self.enterContext(self.enter_registry_test_mode())

    def test_failure_of_the_log_is_no_failure_of_the_login(self):
        """Whatever fails in the add-on, the caller gets Odoo's answer."""
        for owner, name in (
            (type(self.attempts), "_log_cursor"),
            (type(self.attempts), "_enrich"),
            (type(self.attempts), "_write_failure"),
            (type(self.attempts), "_upsert"),
            (caller, "new_attempt"),
            (references, "reference"),
            (user_agents, "describe"),
        ):
            with (
                self.subTest(name),
                patch.object(owner, name, side_effect=PoolError("The Connection Pool Is Full")),
                patch.object(attempt_logging, "_write_failures", LogLimit(100)),
                self.assertLogs(level="ERROR"),
            ):
                self.try_to_log_in()
                self.try_to_log_in("admin")

    def test_nothing_is_remembered_that_nobody_saw(self):
        """A password is refused as soon as the add-on works again.

        Another module had accepted it for an integration user while the add-on failed.
        """
        user = self.env["auth.integration"].create(
            {"name": "Shop", "code": "shop", "owner_ids": [Command.link(self.env.uid)]}
        ).user_id
        accepted = {"uid": user.id, "auth_method": "ldap", "mfa": "default"}
        call = self.env["res.users"]._check_uid_passwd
        with patch.object(StockUsers, "_check_credentials", return_value=accepted):
            with (
                patch.object(type(self.attempts), "_open", side_effect=PoolError),
                self.assertLogs("odoo.addons.auth_integration.tools.fallback", "ERROR"),
            ):
                call(user.id, "a password")
            with self.assertRaises(AccessDenied):
                call(user.id, "a password")

    def test_lines_of_unwritten_attempts_are_limited_and_counted(self):
        """An unavailable database must not fill the disk with log lines about it."""
        with (
            patch.object(type(self.attempts), "_log_cursor", side_effect=PoolError),
            patch.object(attempt_logging, "_write_failures", LogLimit(2, clock=lambda: now[0])),
            self.assertLogs(LOGGER, "ERROR") as logged,
        ):
            now = [0]
            for _try in range(5):
                self.try_to_log_in()
            now = [60]
            self.try_to_log_in()
        self.assertEqual(len(logged.output), 3)
        self.assertIn('"suppressed": 3', logged.output[-1])

    def test_a_refusal_of_an_integration_asks_little(self):
        """The log makes one query, and updates one row."""
        integration = self.env["auth.integration"].create(
            {"name": "Shop", "code": "shop", "owner_ids": [Command.link(self.env.uid)]}
        )
        self.env.flush_all()
        self.try_to_log_in("shop", "0" * 40)
        of_the_log = type(self.attempts)._query
        with (
            patch.object(
                type(self.attempts), "_query", autospec=True, side_effect=of_the_log
            ) as asked,
            patch.object(type(self.attempts), "_upsert", autospec=True) as written,
        ):
            self.try_to_log_in("shop", "1" * 40)
        self.assertEqual((asked.call_count, written.call_count), (2, 0))
        rows = self.attempts.search([])
        self.assertEqual(
            (rows.login, rows.user_id, rows.integration_id, rows.attribution, rows.cause),
            ("shop", integration.user_id, integration, "login", "key_unknown"),
        )

    def test_a_query_that_fails_ends_no_transaction(self):
        """Neither a query that PostgreSQL rejects, nor one that cannot be sent to it."""
        for number, error in (("x", DataError), ("\ud800", ValueError), ("\0", ValueError)):
            with self.subTest(number), self.assertRaises(error):
                hook_queries.query(self.env, "SELECT %(number)s::integer", {"number": number})
            self.assertTrue(self.env["res.users"].search_count([]))

    def test_a_login_that_several_users_have(self):
        """With several websites, the user that Odoo chose is recorded, and nothing fails."""
        self.env.cr.execute("ALTER TABLE res_users DROP CONSTRAINT IF EXISTS res_users_login_key")
        users = [new_test_user(self.env, login) for login in ("shopper", "shopper of the other")]
        self.env.flush_all()
        self.env.cr.execute("UPDATE res_users SET login = 'shopper' WHERE id = %s", [users[1].id])
        self.env.invalidate_all()
        with self.assertNoLogs("odoo.addons.auth_integration", "ERROR"):
            self.try_to_log_in("shopper", "0" * 40)
        row = self.attempts.search([])
        self.assertIn(row.user_id.id, [user.id for user in users])
        self.assertEqual((row.login, row.cause), ("shopper", "key_unknown"))

    def test_unknown_login_is_described(self):
        """With its length, the nearest login and a short hash that changes every day."""
        new_test_user(self.env, "magento_shop")
        described = []
        for day in ("2026-03-01", "2026-03-02"):
            with freeze_time(day):
                self.try_to_log_in("magento_shpo")
                described += self.attempts.search([], limit=1).mapped("login")
        self.assertRegex(
            described[0], r'unknown login \(12 characters, nearest "magento_shop" at distance 2, #'
        )
        self.assertNotIn("magento_shpo", described[0])
        self.assertNotEqual(described[0], described[1])

    def test_nearest_login_is_searched_once_a_minute(self):
        """The search is expensive: repetitions within a minute get the first description."""
        new_test_user(self.env, "magento_shop")
        with freeze_time("2026-03-01 12:00:00"):
            self.try_to_log_in("magento_shpo")
        with patch.object(auth_attempt_enrichment, "NEAREST_LOGIN_CANDIDATES", 0):
            for moment in ("12:00:30", "12:01:00"):
                with freeze_time(f"2026-03-01 {moment}"):
                    self.try_to_log_in("magento_shpo")
                    self.try_to_log_in("magento_shpoo")
        rows = self.attempts.search([], order="first_seen, id")
        self.assertEqual(rows.mapped("count"), [2, 1, 1, 1])
        self.assertEqual(["nearest" in row.login for row in rows], [True, False, False, False])

    def test_one_source_keeps_its_address_whatever_it_tries(self):
        """60 variants of a call in a minute keep all details; more keep the address."""
        addresses = [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2::3", "2001:db8:1:2::/64")]
        for address, kept in addresses:
            self.env.cr.execute("DELETE FROM auth_attempt; DELETE FROM auth_attempt_budget")
            with freeze_time("2026-03-01 12:00:00"):
                for number in range(100):
                    attempt = caller.new_attempt(
                        self.env.cr.dbname, login=f"variant {number}", channel="xmlrpc",
                        outcome="failure",
                    )
                    attempt.remote_addr, attempt.user_agent = address, f"try/{number}"
                    self.attempts._emit(attempt)
            rows = self.attempts.search([], order="id")
            self.assertEqual(sum(rows.mapped("count")), 100)
            self.assertEqual(set(rows[:60].mapped("remote_addr")), {address})
            self.assertEqual(set(rows[60:].mapped("remote_addr")), {kept})
            for detail in ("reference", "login", "user_agent"):
                self.assertEqual(len(set(rows[:60].mapped(detail))), 60)
            self.assertLess(len(rows), 75)

    def test_equal_failures_share_a_row_for_a_minute(self):
        """The count is exact, and the next minute has its own row."""
        for moment in ("12:00:00", "12:00:30", "12:00:59", "12:01:00"):
            with freeze_time(f"2026-03-01 {moment}"):
                self.try_to_log_in()
        rows = self.attempts.search([], order="first_seen")
        self.assertEqual(rows.mapped("count"), [3, 1])
        self.assertEqual(
            rows.mapped("last_seen"),
            [fields.Datetime.to_datetime(f"2026-03-01 12:0{end}") for end in ("0:59", "1:00")],
        )
