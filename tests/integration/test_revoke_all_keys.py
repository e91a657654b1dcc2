from odoo.addons.base.models.res_users import KEY_CRYPT_CONTEXT
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestRevokeAllKeys(IntegrationCommon):
    """The emergency button of an integration: it revokes all of its keys, and no others."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secrets, cls.keys = [], cls.env["auth.integration.key"]
        for _number in range(3):
            secret, key = cls._issue(cls.integration)
            cls.secrets.append(secret)
            cls.keys += key
        cls.other_secret, _key = cls._issue(cls.foreign)

    def setUp(self):
        super().setUp()
        self.secrets = list(self.secrets)  # a test may add to its own copy

    def _assert_all_refused(self):
        self.assertEqual(set(self.keys.mapped("state")), {"revoked"})
        self.assertFalse(any(map(self._check, self.secrets)))
        self.assertFalse(any(map(self._native, self.keys)))
        self.assertTrue(self._check(self.other_secret))

    def _insert_key(self):
        """Insert a key by SQL, which no job has found yet."""
        secret = "0123456789abcdef0123456789abcdef01234567"
        self.env.cr.execute(
            "INSERT INTO res_users_apikeys (name, user_id, scope, index, key)"
            " VALUES ('by SQL', %s, NULL, %s, %s)",
            (self.integration.user_id.id, secret[:8], KEY_CRYPT_CONTEXT.hash(secret)),
        )
        return secret

    def test_a_key_that_nobody_has_found_yet(self):
        secret = self._insert_key()
        self.integration.with_user(self.owner).revoke_all_keys("The host was lost")
        self.assertIsNone(self._check(secret))
        self._assert_all_refused()

    def test_deletion_ends_a_key_that_nobody_has_found_yet(self):
        """Otherwise it would work again, without any rule, when the user is restored."""
        secret, user = self._insert_key(), self.integration.user_id
        self.integration.unlink()
        user.active = True
        self.assertIsNone(self._check(secret))

    def test_owner_and_manager_may(self):
        for user in (self.owner, self.manager):
            with self.subTest(user=user.login):
                self.assertIs(
                    self.integration.with_user(user).revoke_all_keys("The host was lost"), True
                )
                self._assert_all_refused()
                self.assertEqual(set(self.keys.mapped("end_reason")), {"The host was lost"})
                self.assertEqual(self.keys.ended_by, user)
                self.assertFalse(any(self.keys.mapped("compromised")))
                secret, key = self._issue(self.integration)
                self.secrets.append(secret)
                self.keys = key

    def test_stranger_may_not(self):
        with self.assertRaises(AccessError):
            self.integration.with_user(self.stranger).revoke_all_keys("mine now")
        self.assertTrue(all(map(self._check, self.secrets)))
        self.integration.revoke_all_keys("no key is left")
        with self.assertRaises(AccessError):
            self.integration.with_user(self.stranger).revoke_all_keys("mine now")

    def test_a_reason_is_needed(self):
        for reason in (False, "", "  ", 1):
            with self.assertRaises(UserError):
                self.integration.revoke_all_keys(reason)
        self.assertTrue(all(map(self._check, self.secrets)))

    def test_compromised_keys_stay_revoked(self):
        self.integration.with_user(self.owner).revoke_all_keys("stolen", compromised=True)
        self.assertTrue(all(self.keys.mapped("compromised")))
        for key in self.keys:
            with self.assertRaisesRegex(UserError, "compromised"):
                key.with_user(self.manager)._undo_revocation("a mistake")
        self._assert_all_refused()

    def test_keys_of_an_open_rotation(self):
        """A claimed key that is not used yet is revoked, and no key can be claimed afterwards."""
        self.keys[0].action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search(
            [("old_key_id", "=", self.keys[0].id)]
        )
        secret, new_key = rotation._claim()
        self.secrets.append(secret)
        self.keys += new_key
        self.integration.revoke_all_keys("broken into")
        self._assert_all_refused()
        with self.assertRaises(UserError):
            rotation._claim()

    def test_dialog_lists_who_is_rejected(self):
        action = self.integration.with_user(self.owner).action_revoke_all_keys()
        wizard = (
            self.env[action["res_model"]]
            .with_user(self.owner)
            .with_context(**action["context"])
            .create({"reason": "broken into"})
        )
        for key in self.keys:
            self.assertIn(key.prefix, wizard.warning)
        with self.assertRaises(AccessError):
            self.integration.with_user(self.stranger).action_revoke_all_keys()
        with self.assertRaises(AccessError):
            self.env[wizard._name].with_user(self.stranger).create(
                {"integration_id": self.integration.id, "reason": "curious"}
            )
