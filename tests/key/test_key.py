from datetime import timedelta
from unittest.mock import patch

from freezegun import freeze_time
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from ...models.attempt.auth_attempt import IDENTIFYING_COLUMNS
from ...tools.attempt import request_state
from ...tools.key.authenticated_key import AuthenticatedKey
from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestKey(IntegrationCommon):
    def _codes(self, secret):
        """Return why a key is refused, or None if it is unknown."""
        return self.env["res.users.apikeys"]._denial_causes(secret)

    def test_issued_key_has_a_dated_record(self):
        secret, key = self._issue(self.integration)
        self.assertEqual(key.prefix, secret[:8])
        self.assertEqual(key.integration_id, self.integration)
        self.assertEqual(key.state, "pending")
        lifetime = key.replace_by - key.issued_at
        self.assertAlmostEqual(lifetime.total_seconds() / 86400, 90, places=1)
        self.assertEqual(self._native(key), (key.expires_at,))

    def test_the_secret_is_in_no_column(self):
        secret, _key = self._issue(self.integration)
        self.env.cr.execute("SELECT k::text FROM auth_integration_key k")
        self.assertNotIn(secret, str(self.env.cr.fetchall()))

    def test_end_is_held_to_the_policy(self):
        """An end in the past, after the policy's, or unreadable is refused.

        A key that other code makes without an end gets one.
        """
        now = fields.Datetime.now()
        for wrong in (now - timedelta(minutes=1), now + timedelta(days=100), "tomorrow"):
            with self.subTest(end=wrong), self.assertRaises(UserError):
                self.integration.issue_key(expires_at=wrong)
        # The last day of the policy in another time zone means the policy's end.
        _secret, key = self._issue(self.integration, expires_at=now + timedelta(days=90, hours=14))
        self.assertLessEqual(key.expires_at, now + timedelta(days=90, minutes=5))
        natives = self.env["res.users.apikeys"].with_user(self.integration.user_id).sudo()
        secret = natives._generate(None, "by other code", None)
        key = self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        self.assertTrue(key.expires_at)

    def test_issued_while_the_hooks_sleep(self):
        """A key issued while modules are installed also has its record and the policy's end."""
        with patch.object(self.env.registry, "auth_integration_ready", False):
            secret, key = self.env["auth.integration.key"]._issue(self.integration, "early")
            with self.assertRaises(UserError):
                self.integration.issue_key(expires_at="2020-01-01 00:00:00")
        self.assertEqual((key.prefix, key.integration_id), (secret[:8], self.integration))
        self.assertEqual(key.issued_by, self.env.user)
        self.assertEqual(self._native(key), (key.expires_at,))
        lifetime = key.replace_by - key.issued_at
        self.assertAlmostEqual(lifetime.total_seconds() / 86400, 90, places=1)
        self.assertEqual(self._check(secret), self.integration.user_id.id)

    def test_scheduled_job_sleeps_with_the_hooks(self):
        """If the schema is older than the code, the job changes nothing."""
        _secret, key = self._issue(self.integration)
        self.env.cr.execute("DELETE FROM res_users_apikeys WHERE id = %s", (key.apikey_id.id,))
        for ready in (False, True):
            with (
                self.enter_registry_test_mode(),
                patch.object(self.env.registry, "auth_integration_ready", ready),
            ):
                self.env.ref("auth_integration.ir_cron_reconcile").method_direct_trigger()
            key.invalidate_recordset()
            self.assertEqual(bool(key.ended_at), ready)

    def test_personal_key_is_recorded(self):
        """A key from the preferences page belongs to the user, without an integration."""
        secret = (
            self.env["res.users.apikeys"]
            .with_user(self.owner)
            ._generate(None, "mine", fields.Datetime.now() + timedelta(days=1))
        )
        key = self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        self.assertEqual((key.user_id, key.integration_id.id, key.issued_by), (
            self.owner, False, self.owner))

    def test_trusted_device_is_no_key(self):
        """``auth_totp.device`` inherits the model as a prototype."""
        before = self.env["auth.integration.key"].search_count([])
        devices = self.env["auth_totp.device"].with_user(self.owner).sudo()
        token = devices._generate("browser", "phone", fields.Datetime.now() + timedelta(days=1))
        self.assertEqual(self.env["auth.integration.key"].search_count([]), before)
        self.assertTrue(
            devices._check_credentials_for_uid(scope="browser", key=token, uid=self.owner.id)
        )

    def test_plain_sql_is_found(self):
        """A row inserted by SQL gets one record, and an end if it is an integration's."""
        secret, original = self._issue(self.integration)
        self.env.cr.execute(
            "INSERT INTO res_users_apikeys (name, user_id, index, key)"
            " SELECT 'sql', user_id, index, key || 'x' FROM res_users_apikeys WHERE id = %s"
            " RETURNING id",
            (original.apikey_id.id,),
        )
        native_id = self.env.cr.fetchone()[0]
        keys = self.env["auth.integration.key"]
        keys._reconcile()
        keys._reconcile()
        imported = keys.search([("apikey_id", "=", native_id)])
        self.assertEqual(len(imported), 1)
        self.assertTrue(imported.imported)
        self.assertTrue(imported.expires_at)
        self.assertEqual(self._native(imported), (imported.expires_at,))

    def test_native_row_gone_reads_as_ended_at_once(self):
        _secret, key = self._issue(self.integration)
        self.env.cr.execute(
            "DELETE FROM res_users_apikeys WHERE id = %s", (key.apikey_id.id,)
        )
        key.invalidate_recordset()
        self.assertEqual(key.state, "revoked")
        self.env["auth.integration.key"]._reconcile()
        self.assertTrue(key.ended_at)

    def test_state_changes_at_its_second(self):
        _secret, key = self._issue(self.integration)
        now = fields.Datetime.now()
        for dates, state in (
            ({"expires_at": now + timedelta(seconds=60)}, "pending"),
            ({"first_used_at": now}, "active"),
            ({"retire_at": now + timedelta(seconds=60)}, "retiring"),
            ({"retire_at": now}, "superseded"),
            ({"retire_at": None, "expires_at": now}, "expired"),
        ):
            self._move(key, **dates)
            with self.subTest(state):
                self.assertEqual(key.state, state)
                self.assertIn(key, key.search([("state", "=", state)]))
                self.assertNotIn(key, key.search([("state", "!=", state)]))

    def test_state_can_be_grouped(self):
        self._issue(self.integration)
        groups = dict(
            self.env["auth.integration.key"]._read_group(
                [("integration_id", "=", self.integration.id)], ["state"], ["__count"]
            )
        )
        self.assertEqual(groups, {"pending": 1})

    def test_revocation_ends_it_here_and_natively(self):
        secret, key = self._issue(self.integration)
        self.assertEqual(self._check(secret), self.integration.user_id.id)
        self.assertTrue(key.with_user(self.owner).revoke("leaked"))
        self.assertFalse(self._check(secret))
        self.assertIsNone(self._native(key))
        self.assertEqual((key.state, key.end_reason, key.ended_by), (
            "revoked", "leaked", self.owner))

    def test_revocation_needs_a_reason(self):
        _secret, key = self._issue(self.integration)
        for nothing in ("", "  ", False, 5):
            with self.subTest(reason=nothing), self.assertRaises(UserError):
                key.revoke(nothing)

    def test_vacuum_leaves_the_tombstone(self):
        _secret, key = self._issue(self.integration)
        yesterday = fields.Datetime.now() - timedelta(days=1)
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
            (yesterday, key.apikey_id.id),
        )
        self._move(key, expires_at=yesterday)
        with self.enter_registry_test_mode():
            self.env.ref("base.autovacuum_job").method_direct_trigger()
        key.invalidate_recordset()
        self.assertIsNone(self._native(key))
        self.assertEqual((key.state, key.ended_at), ("expired", yesterday))

    def test_ended_key_is_remembered_for_its_time(self):
        """At half that time, a use after its end names the key; later only attempts are left."""
        secret, old = self._issue(self.integration)
        _secret, new = self._issue(self.integration)
        old.action_rotate_now()
        old.revoke("no longer needed")
        attempts = self.env["auth.attempt"]
        columns = dict.fromkeys(IDENTIFYING_COLUMNS) | {"outcome": "failure", "channel": "web"}
        now = fields.Datetime.now()
        attempts._upsert(columns | {"key_id": old.id, "cause": "key_revoked"}, 1, now, now)
        keys = self.env["auth.integration.key"]
        with freeze_time(now + timedelta(days=200)):
            self.assertEqual(keys._gc_ended_keys(), (0, 0))
        self.assertEqual(self._codes(secret), {"key_revoked"})
        with freeze_time(now + timedelta(days=401)):
            self.assertEqual(keys._gc_ended_keys(), (1, 0))
        self.assertFalse(old.exists())
        self.assertIsNone(self._codes(secret))
        self.assertTrue(new.exists(), "it has not ended")
        row = attempts.search([("cause", "=", "key_revoked")])
        self.assertFalse(row.web_read({"key_id": {"fields": {"display_name": {}}}})[0]["key_id"])

    def test_ended_key_with_a_native_row_is_not_forgotten(self):
        """Otherwise it would be imported again as a key made elsewhere."""
        _secret, key = self._issue(self.integration)
        self._move(key, ended_at=fields.Datetime.now() - timedelta(days=500), end_kind="expired")
        self.assertEqual(self.env["auth.integration.key"]._gc_ended_keys(), (0, 0))
        self.assertTrue(key.exists())

    def test_deleting_the_user_leaves_the_tombstone(self):
        user = new_test_user(self.env, "leaver", "base.group_user")
        secret = (
            self.env["res.users.apikeys"]
            .with_user(user)
            ._generate(None, "mine", fields.Datetime.now() + timedelta(days=1))
        )
        user.unlink()
        key = self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        self.assertEqual((key.state, key.login), ("revoked", "leaver"))
        self.assertFalse(self._check(secret))

    def test_a_user_taken_over_brings_his_keys(self):
        """The user's keys are subject to the policy from today on.

        No key stops working immediately, and not all of them end on the same day.
        """
        user = new_test_user(self.env, "legacy", "base.group_user")
        natives = self.env["res.users.apikeys"].with_user(user).sudo()
        secret = natives._generate(None, "old", None)
        integration = self._create_integration("legacy-shop", self.owner, user_id=user.id)
        key = integration.key_ids
        self.assertEqual(key.prefix, secret[:8])
        days_left = (key.replace_by - fields.Datetime.now()).total_seconds() / 86400
        self.assertTrue(60 <= days_left <= 90, days_left)
        self.assertEqual(self._check(secret), user.id)

    def test_a_key_that_lives_too_long_is_held_to_the_policy(self):
        """Its user becomes an integration user; later its end is moved or removed by SQL."""
        user = new_test_user(self.env, "legacy", "base.group_user")
        far = fields.Datetime.now() + timedelta(days=2000)
        self.env["res.users.apikeys"].with_user(user).sudo()._generate(None, "old", far)
        key = self._create_integration("legacy-shop", self.owner, user_id=user.id).key_ids
        dates = key.replace_by, key.expires_at
        self.assertLessEqual(key.replace_by, fields.Datetime.now() + timedelta(days=90))
        self.assertEqual(key.expires_at - key.replace_by, timedelta(days=30))
        for end in (far, None):
            self.env.cr.execute(
                "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
                (end, key.apikey_id.id),
            )
            key._reconcile()
            self.assertEqual((key.replace_by, key.expires_at), dates)
            self.assertEqual(self._native(key), (key.expires_at,))


@tagged("post_install", "-at_install")
class TestKeyAccess(IntegrationCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secret, cls.key = cls._issue(cls.integration)
        cls.foreign_secret, cls.foreign_key = cls._issue(cls.foreign)

    def test_an_owner_sees_and_ends_only_his(self):
        keys = self.env["auth.integration.key"].with_user(self.owner)
        self.assertEqual(keys.search([("integration_id", "!=", False)]), self.key)
        with self.assertRaises(AccessError):
            self.foreign_key.with_user(self.owner).revoke("not mine")
        with self.assertRaises(AccessError):
            self.foreign_key.with_user(self.owner).read(["state"])

    def test_nobody_writes_a_key_record(self):
        """Administrators cannot, either: only methods change dates and states."""
        for user in (self.owner, self.manager, self.system):
            key = self.key.with_user(user)
            with self.subTest(user.login):
                for forbidden in (
                    lambda key=key: key.write({"expires_at": "2099-01-01"}),
                    lambda key=key: key.create({"prefix": "x"}),
                    lambda key=key: key.unlink(),
                ):
                    self.assertRaises(AccessError, forbidden)

    def test_employees_can_still_read_users(self):
        """The add-on's fields on users must not need rights that an employee does not have."""
        employee = new_test_user(self.env, "emil", "base.group_user")
        portal = new_test_user(self.env, "porter", "base.group_portal")
        ours = {"integration_ids", "owned_integration_ids", "api_key_record_ids"}
        for user in (employee, portal):
            fields_of_users = self.env["res.users"].with_user(user).fields_get(ours)
            with self.subTest(user.login):
                self.assertTrue(user.with_user(user).read(list(fields_of_users) or ["login"]))

    def test_whoami_tells_of_no_other_users_key(self):
        """Even if something within the call has verified one."""
        state = request_state.current()
        self.addCleanup(setattr, state, "authenticated_key", None)
        state.authenticated_key = AuthenticatedKey(
            dbname=self.env.cr.dbname,
            uid=self.stranger.id,
            key_id=self.foreign_key.id,
            channel="xmlrpc",
            remote_addr=None,
        )
        keys = self.env["auth.integration.key"]
        self.assertEqual(
            keys.with_user(self.stranger).whoami()["prefix"], self.foreign_key.prefix
        )
        with self.assertRaisesRegex(UserError, "not authenticated with an API key"):
            keys.with_user(self.owner).whoami()

    def test_whoami_needs_a_key(self):
        with self.assertRaisesRegex(UserError, "not authenticated with an API key"):
            self.env["auth.integration.key"].with_user(self.owner).whoami()
