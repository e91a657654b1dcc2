from contextlib import nullcontext
from datetime import timedelta
from unittest.mock import patch

from odoo.exceptions import AccessDenied, AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from ...tools import settings
from ...tools.attempt import caller
from ...tools.health import findings
from ...tools.throttle import counters_sql
from ...tools.throttle import guess as guesses
from ..common import IntegrationCommon

HOME, AWAY = "192.0.2.7", "203.0.113.9"


class ThrottleCommon(IntegrationCommon):
    """Guesses as the hooks count them, without hashing a password."""

    def setUp(self):
        super().setUp()
        self.enterContext(self.enter_registry_test_mode())
        self.throttle = self.env["auth.throttle"]
        self.set_parameter("throttle_failures", "3")
        self.login = self.stranger.login

    def set_parameter(self, name, value):
        self.env["ir.config_parameter"].set_param(f"auth_integration.{name}", value)

    def guard(self, login, secret, address=HOME, **options):
        who = caller.Caller(channel="web", remote_addr=address, is_http=True)
        self.enterContext(patch.object(caller, "current", return_value=who))
        return self.throttle._guarded(login, secret, False, **options)

    def guess(self, login, count, address=HOME):
        """Make guesses, and return how many of them were checked."""
        looked_at = 0
        for number in range(count):
            try:
                with self.guard(login, f"wrong {number}", address):
                    looked_at += 1
                    raise AccessDenied
            except AccessDenied:
                pass
        return looked_at

    def passes(self, login, address=HOME, complete=True):
        try:
            with self.guard(login, "right", address) as guess:
                guess.complete = complete
                return True
        except AccessDenied:
            return False

    def refused(self, login, secret, inner=None):
        """Make a refused guess; ``assertRaises`` would roll back the count."""
        try:
            with self.guard(login, secret):
                if inner:
                    inner()
                raise AccessDenied
        except AccessDenied:
            return
        self.fail("it was not refused")

    def most_failures(self):
        self.env.cr.execute("SELECT max(failed) FROM auth_throttle")
        return self.env.cr.fetchone()[0]

    def attempt(self, user, address=HOME, count=5):
        """Record refused guesses."""
        now = self.env.cr.now().replace(microsecond=0)  # as in the log
        values = dict.fromkeys(self.env["auth.attempt"]._fields) | {
            "outcome": "failure", "cause": "throttled", "channel": "xmlrpc",
            "user_id": user.id, "login": user.login, "remote_addr": address,
            "database": self.env.cr.dbname,
        }
        self.env["auth.attempt"]._upsert(values, count, now, now)


@tagged("post_install", "-at_install")
class TestGuard(ThrottleCommon):
    """What is limited, and what is not."""

    def test_limits(self):
        self.assertEqual(self.guess(self.login, 10), 3, "of a login and address")
        self.assertEqual(self.guess(self.login, 10, AWAY), 3, "another address has its own")
        self.assertEqual(self.guess("somebody", 10), 3, "and so has another login")
        self.assertFalse(self.passes(self.login))
        self.assertTrue(self.passes("another", AWAY))

    def test_an_address_that_guesses_many_logins(self):
        looked_at = sum(self.guess(f"login {number}", 1) for number in range(40))
        self.assertEqual(looked_at, 30)
        self.assertFalse(self.passes(self.login))
        self.assertTrue(self.passes(self.login, AWAY))

    def test_addresses_of_one_ipv6_customer(self):
        """A /64 counts as one guesser, and so does a /48, which has 65,536 of them."""
        self.assertEqual(self.guess(self.login, 2, "2001:db8:1:1::1"), 2)
        self.assertEqual(self.guess(self.login, 2, "2001:db8:1:1::2"), 1)
        looked_at = sum(
            self.guess(f"login {number}", 1, f"2001:db8:2:{number:x}::1") for number in range(40)
        )
        self.assertEqual(looked_at, 30)

    def test_callers_without_an_address_share_a_limit(self):
        self.assertEqual(self.guess(self.login, 2, None) + self.guess(self.login, 2, "junk"), 3)

    def test_known_pair(self):
        """Known from its first success on; a password alone is not enough with a second factor."""
        self.assertTrue(self.passes(self.login, complete=False))
        for number in range(12):
            self.guess(self.login, 3, f"198.51.100.{number}")
        self.assertFalse(self.passes(self.login), "half a success")
        self.throttle._unlock(self.login)
        self.assertTrue(self.passes(self.login))
        for number in range(12):
            self.guess(self.login, 3, f"198.51.100.{number}")
        self.assertTrue(self.passes(self.login))
        self.assertFalse(self.passes(self.login, AWAY))
        self.env.cr.execute(
            "UPDATE auth_throttle SET known_until = now() AT TIME ZONE 'UTC' - interval '1 s'"
        )
        self.assertFalse(self.passes(self.login), "after 30 days")

    def test_success_of_one_factor_keeps_a_known_pair(self):
        self.assertTrue(self.passes(self.login))
        self.env.cr.execute(
            "UPDATE auth_throttle SET known_until = now() + interval '1 day'"
            " WHERE known_until IS NOT NULL"
        )
        self.assertTrue(self.passes(self.login, complete=False))
        self.env.cr.execute(
            "SELECT max(known_until) > now() + interval '29 days',"
            " bool_and(expires > known_until) FROM auth_throttle WHERE known_until IS NOT NULL"
        )
        self.assertEqual(self.env.cr.fetchone(), (True, True))

    def test_trusted_code_is_not_limited(self):
        for _turn in range(10):
            with self.assertRaises(AccessDenied), self.throttle._guarded(self.login, "x") as guess:
                self.assertIsNone(guess)
                raise AccessDenied
        self.assertTrue(self.passes(self.login))

    def test_what_counts(self):
        """Only a guess that was checked: no errors, and nothing that Odoo refused itself."""
        for _turn in range(5):
            with self.assertRaises(ZeroDivisionError), self.guard(self.login, "x"):
                raise ZeroDivisionError
            self.refused(self.login, "x", guesses.do_not_count)
        self.assertEqual(self.guess(self.login, 10), 3)
        self.env.cr.execute("SELECT sum(cardinality(pending)) FROM auth_throttle")
        self.assertEqual(self.env.cr.fetchone()[0], 0)

    def test_one_guess_in_another_is_one(self):
        def check_again():
            with self.guard(self.login, "x") as inner:
                self.assertIsNone(inner)
                raise AccessDenied

        for _turn in range(3):
            self.refused(self.login, "x", check_again)
        self.assertEqual(self.most_failures(), 3)

    def test_a_request_that_is_made_again_counts_once(self):
        class Request:
            pass

        with patch.object(caller, "current_request", return_value=Request()):
            for _turn in range(5):
                self.refused(self.login, "the same")
            self.assertEqual(self.most_failures(), 1)
            self.assertEqual(self.guess(self.login, 5), 2, "another secret is another guess")

    def test_refusal_is_the_callers(self):
        """Whatever the hook does, no one gets in."""
        self.guess(self.login, 3)
        for refuse in (lambda _login: None, lambda _login: nullcontext()):
            with self.assertRaises(AccessDenied), self.guard(self.login, "x", refuse=refuse):
                self.fail("it was looked at")

    def test_identity_check(self):
        """A value that cannot be a password is refused like a wrong one, and counted."""
        who = caller.Caller(channel="web", remote_addr=HOME, is_http=True)
        self.enterContext(patch.object(caller, "current", return_value=who))
        check = self.env["res.users.identitycheck"].with_user(self.stranger).create({})
        for password in (12, "x" * 5000, "\ud800"):  # as many as the limit
            try:
                check.with_context(password=password)._check_identity()
            except UserError as error:
                self.assertIn("Incorrect Password", str(error))
            else:
                self.fail("it was not refused")
        self.assertEqual(self.most_failures(), 3)

    def test_number_of_rows(self):
        self.guess(self.login, 10)
        self.env.cr.execute("UPDATE auth_throttle SET expires = now() - interval '1 day'")
        self.assertEqual(self.throttle._gc_throttle(), (3, 0))
        self.assertEqual(self.throttle._gc_throttle(), (0, 0))

    def test_nothing_that_was_typed_is_kept(self):
        self.guess("a password in the wrong field", 1)
        self.env.cr.execute("SELECT t::text FROM auth_throttle t")
        rows = str(self.env.cr.fetchall())
        for typed in ("password", HOME, "wrong"):
            self.assertNotIn(typed, rows)

    def test_bad_list_of_networks_is_ignored(self):
        self.set_parameter("throttle_exempt_networks", "10.0.0.5/8")
        with self.assertLogs("odoo.addons.auth_integration", "WARNING"):
            self.assertEqual(self.throttle._exempt_networks(), ())

    def test_columns(self):
        """The columns that are needed are those that are created."""
        self.env.cr.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'auth_throttle'"
        )
        self.assertEqual({name for (name,) in self.env.cr.fetchall()}, counters_sql.COLUMNS)


@tagged("post_install", "-at_install")
class TestUnlock(ThrottleCommon):
    """Administrators can unlock users."""

    def test_only_administrators(self):
        for user in (self.owner, self.manager):
            with self.assertRaises(AccessError):
                self.stranger.with_user(user).action_unlock_sign_in()

    def test_user_form(self):
        self.assertFalse(self.stranger.is_sign_in_paused)
        self.guess(self.login, 3)
        self.stranger.invalidate_recordset()
        self.assertTrue(self.stranger.is_sign_in_paused)
        form = Form(self.stranger.with_user(self.system), view="base.view_users_form")
        self.assertTrue(form.is_sign_in_paused)
        self.stranger.with_user(self.system).action_unlock_sign_in()
        self.stranger.invalidate_recordset()
        self.assertFalse(self.stranger.is_sign_in_paused)
        self.assertTrue(self.passes(self.login))
        message = self.stranger.partner_id.message_ids[:1]
        self.assertIn("unlocked", message.body)
        self.assertEqual(message.author_id, self.system.partner_id)

    def test_integration_has_the_line_too(self):
        self.integration.user_id.with_user(self.system).action_unlock_sign_in()
        self.assertIn("unlocked", self.integration.message_ids[:1].body)

    def test_the_address_is_unlocked_with_the_login(self):
        for number in range(30):
            self.guess(f"login {number}", 1)
        self.attempt(self.stranger)
        self.assertFalse(self.passes(self.login))
        self.stranger.with_user(self.system).action_unlock_sign_in()
        self.assertTrue(self.passes(self.login))

    def test_known_pairs_stay_known(self):
        self.assertTrue(self.passes(self.login))
        self.stranger.with_user(self.system).action_unlock_sign_in()
        self.env.cr.execute("SELECT count(*) FROM auth_throttle WHERE known_until IS NOT NULL")
        self.assertEqual(self.env.cr.fetchone()[0], 1)


@tagged("post_install", "-at_install")
class TestGuessingFinding(ThrottleCommon):
    """Who sees whose password is being guessed."""

    def found(self, user=None):
        """Return the findings, except for the user of the demo data."""
        self.env.flush_all()
        model = self.env["auth.integration.finding"].with_user(user or self.manager)
        demo = self.env.ref("base.user_demo", raise_if_not_found=False)
        return model.search([("code", "=", "guessing"), ("user_id", "!=", demo and demo.id)])

    def test_finding(self):
        self.assertFalse(self.found())
        for number in range(5):
            self.attempt(self.stranger, f"198.51.100.{number}")
        finding = self.found()
        self.assertEqual(finding.user_id, self.stranger)
        self.assertIn(self.login, finding.message)
        self.assertIn("25", finding.message)
        self.assertIn("198.51.100.", finding.message)
        self.assertIn("more addresses", finding.message)
        self.assertFalse(self.found(self.owner), "no business of an owner")
        finding.with_user(self.system).action_unlock_sign_in()
        self.assertIn("unlocked", self.stranger.partner_id.message_ids[:1].body)
        self.assertFalse(self.found(), "it is dealt with")
        self.stranger.sign_in_unlocked_at -= timedelta(minutes=5)
        self.env.invalidate_all()
        self.assertTrue(self.found(), "it goes on")

    def test_owner_of_the_integration(self):
        self.attempt(self.integration.user_id)
        self.assertEqual(self.found(self.owner).integration_id, self.integration)
        self.assertFalse(self.found(self.stranger))

    def test_many_logins_are_one_finding(self):
        for number in range(findings.MAX_GUESSED_LOGINS + 1):
            self.attempt(new_test_user(self.env, f"guessed{number}"))
        finding = self.found()
        self.assertEqual(len(finding), 1)
        self.assertFalse(finding.user_id)
        self.assertIn("many users", finding.message)
        self.assertIn(HOME, finding.message)

    def test_mail(self):
        """Once for each window, and only to persons."""
        self.stranger.email = "sam@example.com"
        for number in range(12):
            self.guess(self.login, 3, f"198.51.100.{number}")
            self.guess(self.integration.user_id.login, 3, f"198.51.100.{number}")
        self.attempt(self.stranger)
        self.attempt(self.integration.user_id)
        self.attempt(self.owner)  # from one address only
        self.assertEqual(self.throttle._notify_users(), self.stranger)
        self.assertFalse(self.throttle._notify_users())
        mail = self.env["mail.mail"].search([("email_to", "ilike", "sam@example.com")])
        self.assertEqual(len(mail), 1)
        self.assertIn("15 minutes", mail.body_html)


@tagged("post_install", "-at_install")
class TestSettings(ThrottleCommon):
    """Bounds, on the form and for parameters that were set in another way."""

    def settings(self, **values):
        names = {f"auth_integration_throttle_{name}": value for name, value in values.items()}
        return self.env["res.config.settings"].create(names)

    def test_bounds_of_the_form(self):
        for values in ({"failures": 2}, {"failures": 1001}, {"minutes": 4}, {"minutes": 1441}):
            with self.assertRaises(ValidationError):
                self.settings(**values)
        with self.assertRaises(ValidationError):
            self.settings(exempt_networks="10.0.0.5/8")

    def test_values_are_kept(self):
        self.settings(failures=20, minutes=30, exempt_networks="192.0.2.0/24\n10.0.0.1").execute()
        self.assertEqual(settings.number(self.env, "throttle_failures"), 20)
        self.assertEqual(settings.number(self.env, "throttle_minutes"), 30)
        self.assertEqual(len(self.throttle._exempt_networks()), 2)
        values = self.env["res.config.settings"].get_values()
        self.assertIn("10.0.0.1", values["auth_integration_throttle_exempt_networks"])

    def test_they_are_those_of_settings_administrators(self):
        """Odoo's methods of the page are public, and would reset what no record contains."""
        self.settings(failures=20, minutes=30, exempt_networks="192.0.2.0/24").execute()
        names = [
            name for name in self.env["res.config.settings"]._fields
            if name.startswith("auth_integration_")
        ]
        for user in (self.owner, self.manager):
            page = self.env["res.config.settings"].with_user(user)
            page.set_values()
            self.assertNotIn("192.0.2", str(page.get_values()))
            shown = page.default_get(names)
            self.assertNotIn("192.0.2", str(shown))
            self.assertEqual(
                shown["auth_integration_throttle_failures"], settings.DEFAULTS["throttle_failures"]
            )
            self.assertEqual(settings.number(self.env, "throttle_failures"), 20)
            self.assertEqual(len(self.throttle._exempt_networks()), 1)
        page = self.env["res.config.settings"].with_user(self.system)
        self.assertEqual(page.default_get(names)["auth_integration_throttle_failures"], 20)
        page.create({"auth_integration_throttle_failures": 30}).execute()
        self.assertEqual(settings.number(self.env, "throttle_failures"), 30)

    def test_bounds_of_the_parameters(self):
        for text, value in (("0", 10), ("-1", 10), ("x", 10), ("1", 3), ("9" * 30, 10),
                            ("5000", 1000), ("7", 7)):
            self.set_parameter("throttle_failures", text)
            self.assertEqual(settings.number(self.env, "throttle_failures"), value, text)
