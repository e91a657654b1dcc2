import os
import time
from datetime import timedelta
from unittest.mock import patch

import pyotp
from cryptography.fernet import Fernet
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ...models.delivery import auth_integration_second_factor as second_factor
from ...models.rotation.auth_integration_rotation_new_key import MAX_UNUSED
from ...tools.attempt import request_state
from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE
from ...tools.key.authenticated_key import AuthenticatedKey
from ..rotation.common import RotationCommon

HOME, ELSEWHERE = "192.0.2.7", "203.0.113.66"
SECRET_KEY = Fernet.generate_key().decode()


class SelfServiceCommon(RotationCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.policy.delivery = "self_service"

    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, request_state.current(), "authenticated_key", None)
        self._know(HOME)

    def _know(self, address, days=30):
        """Make an address one from which the integration has called for some days."""
        self._use(self.key, address)
        self.env.cr.execute(
            "UPDATE auth_integration_key_address SET first_seen = first_seen - %s"
            " WHERE key_id = %s AND address = %s", (timedelta(days=days), self.key.id, address)
        )

    def _rotate(self, key=None, address=HOME, totp=False, trusted=True):
        """Call ``rotate`` with a key, as if it had authenticated the call over HTTP."""
        return self._call("rotate", key, address, trusted, totp=totp)

    def _call(self, method, key=None, address=HOME, trusted=True, **arguments):
        key = key or self.key
        self.env.flush_all()
        self.env.invalidate_all()
        request_state.current().authenticated_key = AuthenticatedKey(
            self.env.cr.dbname, key.user_id.id, key.id, "json2", address, trusted
        )
        try:
            keys = self.keys.with_user(key.user_id).sudo(False)
            return getattr(keys, method)(**arguments)
        finally:
            request_state.current().authenticated_key = None
            self.env.flush_all()
            self.env.invalidate_all()

    def _key_of(self, answer):
        return self.keys.search([("prefix", "=", answer["prefix"])])

    def _with_secret_key(self, key=SECRET_KEY):
        return patch.dict(os.environ, {ENVIRONMENT_VARIABLE: key})

    def _enrol(self):
        seed = pyotp.random_base32()
        with self._with_secret_key():
            self.integration._set_totp_seed(seed, self._code(seed, -second_factor.STEP))
        return seed

    def _code(self, seed, shift=0):
        return pyotp.TOTP(seed).at(time.time() + shift)


@tagged("post_install", "-at_install")
class TestRotationSelfService(SelfServiceCommon):
    def test_due_key_fetches_its_replacement(self):
        rotation = self._due(days=20)
        answer = self._rotate()
        new = self._key_of(answer)
        self.assertEqual(set(answer), {"key", "prefix", "expires_at", "old_key_valid_until"})
        self.assertEqual(self._check(answer["key"]), self.integration.user_id.id)
        self.assertEqual((new.replaces_id, new.state), (self.key, "pending"))
        self.assertEqual((rotation.state, rotation.new_key_id), ("delivered", new))
        latest = fields.Datetime.to_datetime(answer["old_key_valid_until"])
        self.assertEqual(latest, self.key.expires_at.replace(microsecond=0))
        self._use(new)
        self.assertEqual((self.key.state, rotation.state), ("retiring", "overlap"))

    def test_opens_the_rotation_itself(self):
        """The schedule need not have run, and its window does not apply to the integration."""
        self._set_due_in(self.key, 20)
        self._rotate()
        self.assertEqual(self._rotation().state, "delivered")

    def test_a_rotation_that_was_started_by_hand_is_due(self):
        """``rotate.py`` asks ``whoami`` whether a new key may be fetched."""
        before = self._call("whoami")
        self.assertGreater(before["rotate_after"], before["server_time"])
        self.key.action_rotate_now()
        told = self._call("whoami")
        self.assertLessEqual(told["rotate_after"], told["server_time"])
        self._rotate()
        self.assertEqual(self._rotation().state, "delivered")

    def test_owners_are_told_of_each_use(self):
        self._set_due_in(self.key, 20)
        answer = self._rotate()
        message = self.integration.message_ids[0]
        self.assertIn(self.owner.partner_id, message.notified_partner_ids)
        self.assertIn(HOME, message.body)
        self.assertNotIn(answer["key"], str(self.integration.message_ids.mapped("body")))

    def test_lost_answer(self):
        """The old key gets a sibling, and the owners an alert; the first use ends the other one."""
        self._set_due_in(self.key, 20)
        first = self._key_of(self._rotate())
        second = self._key_of(self._rotate())
        self.assertEqual((first.state, second.state), ("pending", "pending"))
        self.assertIn("two systems", self.integration.message_ids[0].body)
        self._use(second)
        self.assertEqual((first.state, second.state), ("superseded", "active"))

    # Attacks ---------------------------------------------------------------------------------

    def _assert_refused(self, words, **arguments):
        before = self.keys.search_count([])
        with self.assertRaisesRegex(UserError, words):
            self._rotate(**arguments)
        self.assertEqual(self.keys.search_count([]), before)

    def test_address_that_nobody_vouches_for(self):
        """Behind a proxy that Odoo does not trust, all callers have the proxy's address."""
        self._set_due_in(self.key, 20)
        with self.assertRaisesRegex(UserError, "through a proxy"):
            self._rotate(trusted=False)
        self.assertTrue(self._rotate()["key"])

    def test_call_without_a_key(self):
        """With a session or a password, it is unknown which key to replace."""
        self._set_due_in(self.key, 20)
        with self.assertRaisesRegex(UserError, "not authenticated with an API key"):
            self.keys.with_user(self.owner).rotate()

    def test_key_of_another_call(self):
        """The key that authenticated another user, or a call to another database."""
        self._set_due_in(self.key, 20)
        user, name = self.key.user_id, self.env.cr.dbname
        for dbname, uid in ((name, self.owner.id), (f"{name}_other", user.id)):
            request_state.current().authenticated_key = AuthenticatedKey(
                dbname, uid, self.key.id, "json2", HOME, True
            )
            with self.assertRaisesRegex(UserError, "not authenticated with an API key"):
                self.keys.with_user(user).sudo(False).rotate()

    def test_personal_key(self):
        """A thief with a personal key could otherwise get one that outlives its discovery."""
        secret = (
            self.env["res.users.apikeys"].with_user(self.owner)
            ._generate(None, "mine", self.now + timedelta(days=1))
        )
        personal = self.keys.search([("prefix", "=", secret[:8])])
        self._assert_refused("is a personal key", key=personal)

    def test_key_without_a_date(self):
        """An integration's key is only without one after SQL; the message says what is wrong."""
        self.env.cr.execute(
            "UPDATE auth_integration_key SET replace_by = NULL WHERE id = %s", [self.key.id])
        self._assert_refused("no rotation date")

    def test_policy_that_does_not_say_so(self):
        """If people deliver new keys, a stolen key cannot fetch one."""
        self._set_due_in(self.key, 20)
        for delivery in ("claim", "webhook"):
            self.policy.delivery = delivery
            self._assert_refused("policy")

    def test_key_that_is_not_due(self):
        """A thief cannot create keys at any time; *Rotate now* is a user's decision."""
        self._set_due_in(self.key, 40)
        self._assert_refused("too early")
        self.key.with_user(self.owner).action_rotate_now()
        self._rotate()

    def test_key_that_was_replaced(self):
        """A key found in an old configuration during its overlap fetches nothing."""
        self._set_due_in(self.key, 20)
        new = self._key_of(self._rotate())
        self._use(new)
        self._assert_refused("Being Replaced")
        self.assertEqual(self.key.state, "retiring")

    def test_unknown_address(self):
        """A thief with the key calls from elsewhere, and has no second factor."""
        self._set_due_in(self.key, 20)
        self._assert_refused("not known", address=ELSEWHERE)
        self._assert_refused("not known", address=None)

    def test_address_the_thief_has_just_made_known(self):
        """A first call with the stolen key does not make the address a known one."""
        self._set_due_in(self.key, 20)
        self._use(self.key, ELSEWHERE)
        self._assert_refused("not known", address=ELSEWHERE)
        self._know(ELSEWHERE, days=6.9)
        self._assert_refused("not known", address=ELSEWHERE)

    def test_address_of_another_integration(self):
        """An address of shared hosting is only known for the integration that uses it."""
        self._set_due_in(self.key, 20)
        foreign = self._issue(self.foreign)[1]
        self._use(foreign, ELSEWHERE)
        self.env.cr.execute(
            "UPDATE auth_integration_key_address SET first_seen = first_seen - interval '30 days'"
        )
        self._assert_refused("not known", address=ELSEWHERE)

    def test_address_not_used_for_long(self):
        """An address given up months ago may belong to someone else now."""
        self._set_due_in(self.key, 20)
        self._know(ELSEWHERE)
        self.env.cr.execute(
            "UPDATE auth_integration_key_address SET last_seen = last_seen - interval '101 days'"
        )
        self._assert_refused("not known", address=ELSEWHERE)

    def test_many_unused_siblings(self):
        """No one can fill the table of keys, or hide one among many."""
        self._set_due_in(self.key, 20)
        for _ in range(MAX_UNUSED):
            self._rotate()
        self._assert_refused("none has been used")

    def test_copied_database(self):
        """A staging copy must not take the integration's key from production."""
        self._set_due_in(self.key, 20)
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        self._assert_refused("copy")


@tagged("post_install", "-at_install")
class TestRotationSecondFactor(SelfServiceCommon):
    def test_code_replaces_the_known_address(self):
        self._set_due_in(self.key, 20)
        seed = self._enrol()
        with self._with_secret_key():
            answer = self._rotate(address=ELSEWHERE, totp=self._code(seed))
        self.assertEqual(self._key_of(answer).state, "pending")

    def test_each_code_once(self):
        """A code that was seen or logged is useless."""
        self._set_due_in(self.key, 20)
        seed = self._enrol()
        code = self._code(seed)
        with self._with_secret_key():
            self._rotate(totp=code)
            with self.assertRaisesRegex(UserError, "used before"):
                self._rotate(totp=code)
            with self.assertRaisesRegex(UserError, "used before"):
                self._rotate(totp=self._code(seed, -second_factor.STEP))  # nor an older one
            self._rotate(totp=self._code(seed, second_factor.STEP))

    def test_one_step_of_drift(self):
        self._set_due_in(self.key, 20)
        seed = self._enrol()
        with self._with_secret_key(), self.enter_registry_test_mode():
            for shift in (-2, 2):
                with self.assertRaisesRegex(UserError, "wrong"):
                    self._rotate(totp=self._code(seed, shift * second_factor.STEP))

    def test_code_used_in_enrolment_is_spent(self):
        self._set_due_in(self.key, 20)
        seed = pyotp.random_base32()
        code = self._code(seed)
        with self._with_secret_key():
            self.integration._set_totp_seed(seed, code)
            with self.assertRaisesRegex(UserError, "used before"):
                self._rotate(totp=code)

    def test_guessing_is_limited_and_told(self):
        """After five wrong codes, the right one is also refused for a quarter of an hour."""
        self._set_due_in(self.key, 20)
        seed = self._enrol()
        with (
            self._with_secret_key(),
            self.enter_registry_test_mode(),
            mute_logger(second_factor.__name__),
        ):
            for _ in range(second_factor.MAX_WRONG_CODES):
                with self.assertRaisesRegex(UserError, "wrong"):
                    self._rotate(totp="000000")
            with self.assertRaisesRegex(UserError, "Too many"):
                self._rotate(totp=self._code(seed))
            self.integration.invalidate_recordset()
            self.assertIn("wrong codes", self.integration.message_ids[0].body)
            self.integration.totp_locked_until = fields.Datetime.now() - timedelta(seconds=1)
            self._rotate(totp=self._code(seed))

    def test_nonsense_codes(self):
        self._set_due_in(self.key, 20)
        self._enrol()
        with self._with_secret_key(), self.enter_registry_test_mode():
            for nonsense in ("", False, "１２３４５６", "12 34", {"a": 1}, 123, "0" * 10**5):
                self.env.cr.execute("UPDATE auth_integration SET totp_wrong_codes = 0")
                with self.subTest(code=nonsense), self.assertRaises(UserError):
                    self._rotate(address=ELSEWHERE, totp=nonsense)

    def test_code_without_a_second_factor(self):
        """It is not silently ignored: a caller who gives a code relies on it."""
        self._set_due_in(self.key, 20)
        with self.assertRaisesRegex(UserError, "no second factor"):
            self._rotate(totp="123456")

    def test_seed_is_encrypted_and_never_without_a_key(self):
        seed = pyotp.random_base32()
        with self._with_secret_key(""), self.assertRaisesRegex(UserError, "generate_key"):
            self.integration._set_totp_seed(seed, self._code(seed))
        seed = self._enrol()
        self.env.flush_all()
        self.env.cr.execute("SELECT i::text FROM auth_integration i")
        self.assertNotIn(seed, str(self.env.cr.fetchall()))
        self._set_due_in(self.key, 20)
        with self._with_secret_key(""), self.assertRaisesRegex(UserError, "generate_key"):
            self._rotate(totp=self._code(seed))

    def test_nobody_reads_the_seed(self):
        """Administrators cannot, either: not over RPC, by read, search or export."""
        self._enrol()
        integration = self.integration.with_user(self.system)
        self.assertNotIn("totp_seed", integration.fields_get())
        self.assertNotIn("totp_seed", integration.read()[0])
        for access in (
            lambda: integration.read(["totp_seed"]),
            lambda: integration.search([("totp_seed", "!=", False)]),
            lambda: integration.export_data(["totp_seed"]),
        ):
            with self.assertRaises(Exception):  # noqa: B017
                access()

    def test_seed_of_another_integration(self):
        """A seed copied by SQL to another integration's row cannot be decrypted there."""
        self._enrol()
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE auth_integration SET totp_seed ="
            " (SELECT totp_seed FROM auth_integration WHERE id = %s) WHERE id = %s",
            (self.integration.id, self.foreign.id),
        )
        self.env.invalidate_all()
        with self._with_secret_key(), self.assertRaisesRegex(UserError, "another record"):
            self.foreign._decrypt(self.foreign.totp_seed, "totp")

    def test_change_of_the_servers_key(self):
        """The hourly job encrypts secrets of an older key with the newest one."""
        seed = self._enrol()
        newer = Fernet.generate_key().decode()
        with self._with_secret_key(f"{newer},{SECRET_KEY}"):
            self._run()
        self.integration.invalidate_recordset()
        with self._with_secret_key(newer):
            self.assertEqual(self.integration._decrypt(self.integration.totp_seed, "totp"), seed)

    # Enrolment -------------------------------------------------------------------------------

    def test_enrolment(self):
        """The dialog shows seed and QR code to its creator; the first code turns it on."""
        with self._with_secret_key():
            action = self.integration.with_user(self.owner).action_set_up_totp()
            wizard = self.env[action["res_model"]].with_user(self.owner).browse(action["res_id"])
            seed = wizard.seed
            self.assertIn(seed, wizard.url)
            self.assertTrue(wizard.qr_code)
            for code in (None, "000000"):
                with self.assertRaisesRegex(UserError, "clock"):
                    wizard.with_context(code=code).action_confirm()
            code = self._code(seed)
            wizard.write({"code": code})  # as the web client saves the form
            self.env.flush_all()
            self.env.cr.execute("SELECT w::text FROM auth_integration_second_factor w")
            row = str(self.env.cr.fetchall())
            self.assertNotIn(seed, row)
            self.assertNotIn(code, row)
            wizard.with_context(code=code).action_confirm()
            self.assertTrue(self.integration.totp_enrolled_at)
            self.assertFalse(wizard.seed)
            self.integration.with_user(self.owner).action_remove_totp()
            self.assertFalse(self.integration.totp_seed)

    def test_the_connection_sheet_says_where_the_seed_goes(self):
        def sheet():
            return str(self.env["ir.qweb"]._render(
                "auth_integration.connection_sheet", self.integration._connection_sheet_values()))

        self.assertNotIn("Save the seed", sheet())
        self._enrol()
        self.assertIn("Save the seed of the second factor to the file after <code>--totp", sheet())

    def test_enrolment_is_for_owners_and_administrators(self):
        with self._with_secret_key(), self.assertRaises(AccessError):
            self.env["auth.integration.second.factor"].with_user(self.stranger).create(
                {"integration_id": self.integration.id}
            )
        with self._with_secret_key(""), self.assertRaisesRegex(UserError, "generate_key"):
            self.integration.with_user(self.owner).action_set_up_totp()

    def test_no_dialogue_for_a_secret_that_cannot_be_kept(self):
        """The button shows what is missing before it asks for identity."""
        integration = self.integration.with_user(self.owner)
        for missing in ("", "no Fernet key"):
            with self._with_secret_key(missing), self.assertRaisesRegex(
                UserError, r"sets it on every Odoo server: secret_key in .* odoo\.conf"
            ):
                integration.action_new_webhook_secret()
        with self._with_secret_key():
            action = integration.action_new_webhook_secret()
        self.assertEqual(action["res_model"], "auth.integration.signing.secret")

    def test_signing_secret_is_for_owners_and_administrators(self):
        """It signs messages with keys; the dialog's button also asks for identity."""
        make = self.env["auth.integration.signing.secret"]
        with self._with_secret_key():
            wizard = make.with_user(self.owner).create({"integration_id": self.integration.id})
            with self.assertRaisesRegex(UserError, "HTTP"):
                wizard.action_make()
            self.assertTrue(wizard._make().startswith("whsec_"))
            with self.assertRaises(AccessError):
                make.with_user(self.stranger).create(
                    {"integration_id": self.integration.id}
                )._make()
