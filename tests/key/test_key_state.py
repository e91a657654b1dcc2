"""An end only moves earlier: no job, repair or restore revives a key."""

from datetime import timedelta
from itertools import product

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged

from ...tools.key import key_state
from ...tools.key.key_state import Dates, KeyEnds
from ..rotation.common import RotationCommon

DAY = timedelta(days=1)


class KeyEndCommon(RotationCommon):
    def _set_native_end(self, key, end):
        """Change the end in Odoo's own table only, as SQL or other code does."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
            (end, key.apikey_id.id),
        )
        self.env.invalidate_all()

    def _run_jobs(self, *names):
        """Run scheduled jobs as the server would, by default both of the add-on and the vacuum."""
        for name in names or (
            "auth_integration.ir_cron_reconcile",
            "auth_integration.ir_cron_rotation",
            "base.autovacuum_job",
        ):
            with self.enter_registry_test_mode():
                self.env.ref(name).method_direct_trigger()
        self.env.invalidate_all()

    def _assert_ended(self, key, secret, kind="expired"):
        """Check that the key has ended and is refused, also natively, before and after all jobs."""
        for _run in range(2):
            self.assertEqual(key.state, kind)
            self.assertIsNone(self._check(secret))
            self._run_jobs()
        self.assertTrue(key.ended_at)
        self.assertIsNone(self._native(key), "the vacuum removes what has ended")

    def _rotate(self, key):
        """Replace a key by another one that is in use."""
        key.action_rotate_now()
        secret, new = self._claim(self.rotations._open_of(key))
        self._use(new)
        return secret, new


@tagged("post_install", "-at_install")
class TestKeyEndIsFinal(KeyEndCommon):
    def test_chosen_end_is_not_moved_by_a_job(self):
        """A key issued for an hour ends after an hour."""
        end = fields.Datetime.now() + timedelta(hours=1)
        secret, key = self._issue(self.integration, expires_at=end)
        self._use(key)
        self._run_jobs()
        self.assertEqual((key.expires_at, self._native(key)), (end, (end,)))
        self._pass_days(key, 0.1)
        self._assert_ended(key, secret)

    def test_past_native_end_is_final(self):
        """Set by SQL or by other code, it ends the key, before any job and after each."""
        past = fields.Datetime.now() - timedelta(hours=1)
        self._set_native_end(self.key, past)
        self._assert_ended(self.key, self.secret)
        self.assertEqual(self.key.ended_at, past)

    def test_own_past_end_is_final(self):
        """It is not extended after its last day has passed."""
        self._set_end(self.key, -2)
        self._assert_ended(self.key, self.secret)

    def test_past_native_end_in_the_overlap_is_final(self):
        """The end of the overlap is later than the one in Odoo's table: the earlier one counts."""
        self._rotate(self.key)
        self.assertEqual(self.key.state, "retiring")
        self._set_native_end(self.key, fields.Datetime.now() - timedelta(hours=1))
        self._assert_ended(self.key, self.secret)

    def test_revoking_the_middle_of_a_chain(self):
        """A is replaced by B, B by C, all within a day. Revoking B does not revive A."""
        _secret, second = self._rotate(self.key)
        _secret, third = self._rotate(second)
        retire_at = self.key.retire_at
        second.revoke("leaked")
        self._run_jobs()
        self.assertEqual((self.key.state, self.key.retire_at), ("retiring", retire_at))
        self.assertEqual((second.state, third.state), ("revoked", "active"))
        self.assertEqual(self._rotation().state, "overlap")
        self.assertFalse(self._activities(), "nobody is asked to replace a key twice")
        self._pass_days(self.key, 8)
        self._assert_ended(self.key, self.secret, "superseded")
        self.assertEqual(self._rotation().state, "done")

    def test_removing_the_only_new_key(self):
        """Odoo's own button knows nothing of rotations, but has the effect of a revocation."""
        _secret, new = self._rotate(self.key)
        self.assertEqual(self.key.state, "retiring")
        new.apikey_id.unlink()
        self.assertEqual((new.state, self.key.state), ("revoked", "active"))
        self.assertEqual(self._native(self.key), (self.key.expires_at,))
        self._pass_days(self.key, 8)
        self.assertEqual(self._check(self.secret), self.integration.user_id.id)

    def test_removing_one_of_two_keys(self):
        _secret, new = self._rotate(self.key)
        retire_at = self.key.retire_at
        self._issue(self.integration)
        new.apikey_id.unlink()
        self.assertEqual((self.key.state, self.key.retire_at), ("retiring", retire_at))

    def test_removing_all_keys(self):
        _secret, new = self._rotate(self.key)
        (new + self.key).apikey_id.unlink()
        self.assertEqual((new.state, self.key.state), ("revoked", "revoked"))
        self.assertIsNone(self._check(self.secret))

    def test_a_stopped_scheduler_ends_no_key(self):
        """No job ran from the day a key was issued until long after it should be replaced."""
        self._pass_days(self.key, 90 + self.policy.overlap_days + 1)
        self.assertEqual(self._check(self.secret), self.integration.user_id.id)
        self._run_jobs()
        self.assertEqual(self.key.state, "active")
        self.assertEqual(self._check(self.secret), self.integration.user_id.id)
        for user in (self.owner, self.manager):
            self.assertIn(self.key.prefix, self._mails(user).body_html, user.login)

    def test_a_stopped_scheduler_shortens_no_overlap(self):
        """The first use was recorded by a process that died.

        The overlap begins when the next run finds it, however long that took.
        """
        self.key.action_rotate_now()
        _secret, new = self._claim(self.rotations._open_of(self.key))
        self._move(new, first_used_at=fields.Datetime.now() - 30 * DAY)
        self._run_jobs()
        self.assertEqual(self.key.state, "retiring")
        self.assertGreater(self.key.retire_at, fields.Datetime.now() + 6 * DAY)


@tagged("post_install", "-at_install")
class TestKeyVacuum(KeyEndCommon):
    def test_expired_native_keys_are_deleted(self):
        """Odoo's daily vacuum deletes them; the add-on's records stay."""
        past = fields.Datetime.now() - DAY
        secret, personal = self._personal_key()
        for key in (self.key, personal):
            self._set_native_end(key, past)
        self._run_jobs("base.autovacuum_job")
        for key in (self.key, personal):
            self.assertIsNone(self._native(key))
            self.assertEqual((key.state, key.ended_at), ("expired", past))
        self.assertIsNone(self._check(secret))

    def test_expired_trusted_devices_are_deleted(self):
        devices = self.env["auth_totp.device"].with_user(self.owner).sudo()
        devices._generate("browser", "phone", fields.Datetime.now() + DAY)
        self.env.cr.execute("UPDATE auth_totp_device SET expiration_date = %s", (self.now - DAY,))
        self._run_jobs("base.autovacuum_job")
        self.env.cr.execute("SELECT count(*) FROM auth_totp_device")
        self.assertEqual(self.env.cr.fetchone(), (0,))

    def _personal_key(self):
        natives = self.env["res.users.apikeys"].with_user(self.owner)
        secret = natives._generate(None, "mine", fields.Datetime.now() + DAY)
        return secret, self.keys.search([("prefix", "=", secret[:8])])


@tagged("post_install", "-at_install")
class TestKeyEndSql(KeyEndCommon):
    """The SQL of ``tools/key/key_state.py`` gives the same as its Python, for every combination."""

    def test_end_and_state(self):
        moments = (None, self.now - DAY, self.now + DAY)
        booleans = (False, True)
        cases = [
            KeyEnds(expires_at, retire_at, has_native, native_end, was_used, *ended)
            for expires_at, retire_at, native_end in product(moments, repeat=3)
            for has_native, was_used in product(booleans, repeat=2)
            for ended in ((None, None), (self.now - 2 * DAY, "revoked"))
            if has_native or not native_end
        ]
        state, end = key_state.STATE_SQL.format(k="k"), key_state.END_SQL.format(k="k")
        joined_state = key_state.JOINED_STATE_SQL.format(k="k")
        joined_end = key_state.JOINED_END_SQL.format(k="k")
        for case in cases:
            self._move(
                self.key,
                expires_at=case.expires_at,
                retire_at=case.retire_at,
                first_used_at=self.now if case.was_used else None,
                ended_at=case.ended_at,
                end_kind=case.end_kind,
                hash=self._native_hash() if case.has_native else "another",
            )
            self._set_native_end(self.key, case.native_end)
            self.env.cr.execute(
                f"SELECT {state}, {joined_state}, {end}, {joined_end}"
                f" FROM auth_integration_key k {key_state.JOIN_NATIVE_SQL.format(k='k')}"
                " WHERE k.id = %s", (self.key.id,)
            )
            with self.subTest(case):
                expected = key_state.state_of(case, self.now), key_state.end_of(case)
                found = self.env.cr.fetchone()
                self.assertEqual(found, (expected[0],) * 2 + (expected[1],) * 2)
                self.assertEqual((self.key.state, self.key.effective_end or None), expected)

    def _native_hash(self):
        self.env.cr.execute(
            "SELECT key FROM res_users_apikeys WHERE id = %s", (self.key.apikey_id.id,)
        )
        return self.env.cr.fetchone()[0]

    def test_shortening(self):
        """All kinds of ages, dates and policies, including the options for the last day."""
        days = (-40, -1, 3, 60, 500)
        for max_age, extension, overlap, on_deadline in product(
            (31, 90), (0, 30), (0, 7), ("extend", "enforce")
        ):
            self.policy.write({
                "max_age_days": max_age, "max_extension_days": extension,
                "overlap_days": overlap, "on_deadline": on_deadline,
            })
            for age, replace_by, more in product((0, 50, 400), days, (0, 30)):
                before = Dates(self.now + replace_by * DAY, self.now + (replace_by + more) * DAY)
                since = self.now - age * DAY
                self._move(self.key, issued_at=since, **before._asdict())
                self.key._shorten_to_policy()
                expected = key_state.shortened(before, since, self.policy._lifetime(), self.now)
                for date, found in zip(
                    expected, (self.key.replace_by, self.key.expires_at), strict=True
                ):
                    self.assertLess(abs(date - found), timedelta(minutes=5), (before, age))


@tagged("post_install", "-at_install")
class TestKeyPolicyChange(KeyEndCommon):
    def _dates(self):
        self.key.invalidate_recordset()
        return self.key.replace_by, self.key.expires_at

    def test_a_policy_counts_for_keys_issued_from_now_on(self):
        """Whether it is stricter or looser, no job applies it to a key that has its dates."""
        before = self._dates()
        for days in (40, 300):
            self.policy.max_age_days = days
            self._run_jobs()
            self.assertEqual(self._dates(), before)
        new = self._issue(self.integration)[1]
        self.assertAlmostEqual((new.replace_by - self.now) / DAY, 300, places=2)

    def test_shorten_existing_keys(self):
        """The dialog shows the number; the keys end earlier, also natively, which is recorded."""
        self.policy = self.policy.copy()
        self.integration.policy_id = self.policy
        chosen = self._issue(self.integration, expires_at=self.now + 10 * DAY)[1]
        policy = self.policy.with_user(self.manager)
        policy.write({"max_age_days": 40, "max_extension_days": 10})
        action = policy.action_shorten_existing_keys()
        dialog = self.env[action["res_model"]].with_user(self.manager)
        dialog = dialog.with_context(**action["context"]).create({})
        self.assertEqual(dialog.key_count, 1)
        dialog.action_shorten()
        for date, days in zip(self._dates(), (40, 50), strict=True):
            self.assertAlmostEqual((date - self.now) / DAY, days, places=2)
        self.assertEqual(self._native(self.key), (self.key.expires_at,))
        self.assertAlmostEqual((chosen.expires_at - self.now) / DAY, 10, places=2)
        self.assertIn("was applied", self.key.history)
        self.assertIn("was applied", self.integration.message_ids[0].body)
        dialog.invalidate_recordset()
        self.assertEqual(dialog.key_count, 0)
        with self.assertRaises(AccessError):
            self.policy.with_user(self.owner).action_shorten_existing_keys()

    def test_shortening_leaves_time_to_replace_a_key(self):
        self._pass_days(self.key, 80)
        self.policy.max_age_days = 31
        self.policy._shorten_existing_keys()
        for date in self._dates():
            self.assertAlmostEqual((date - self.now) / DAY, 7, places=2)

    def test_another_policy(self):
        """A stricter one moves both dates earlier, a looser one does not move them."""
        strict = self.policy.copy({"max_age_days": 40, "on_deadline": "enforce"})
        self.integration.with_user(self.manager).policy_id = strict
        shorter = self._dates()
        for date in shorter:
            self.assertAlmostEqual((date - self.now) / DAY, 40, places=2)
        self.integration.with_user(self.manager).policy_id = self.policy
        self._run_jobs()
        self.assertEqual(self._dates(), shorter)

    def test_a_user_taken_over_by_another_integration(self):
        """Keys that already had a policy are subject to the new one, and never live longer."""
        strict = self.policy.copy({"max_age_days": 40, "on_deadline": "enforce"})
        other = self._create_integration("mill", self.owner, policy_id=strict.id)
        user, spare = self.integration.user_id, other.user_id
        self.env.cr.execute(
            "UPDATE auth_integration SET user_id = %s WHERE id = %s",
            (new_test_user(self.env, "spare", "base.group_user").id, self.integration.id),
        )
        self.env.invalidate_all()
        other.user_id = user
        self.assertEqual(self.key.integration_id, other)
        self.assertTrue(spare.exists())
        for date in self._dates():
            self.assertAlmostEqual((date - self.now) / DAY, 40, places=2)

    def test_a_key_that_an_integration_makes_for_itself(self):
        """With Odoo's own methods, it gets no longer life than Odoo grants the user's groups."""
        user = self.integration.user_id
        user.group_ids.api_key_duration = 100
        natives = self.env["res.users.apikeys"].with_user(user)
        secret = natives._generate(None, "its next", None)
        key = self.keys.search([("prefix", "=", secret[:8])])
        for date, days in ((key.replace_by, 90), (key.expires_at, 100)):
            self.assertAlmostEqual((date - self.now) / DAY, days, places=2)
        self.assertEqual(self._native(key), (key.expires_at,))

    def test_imported_native_end(self):
        """Within the policy it is both dates; otherwise, the policy gives both from now on."""
        user = new_test_user(self.env, "legacy", "base.group_user")
        natives = self.env["res.users.apikeys"].with_user(user).sudo()
        soon = fields.Datetime.now() + 20 * DAY
        secrets = [natives._generate(None, "x", soon + days * DAY) for days in (0, 80, 900)]
        integration = self._create_integration("mill", self.owner, user_id=user.id)
        near, later, far = (
            integration.key_ids.filtered(lambda key, s=secret: key.prefix == s[:8])
            for secret in secrets
        )
        self.assertEqual((near.replace_by, near.expires_at), (soon, soon))
        self.assertLess(later.replace_by, self.now + 91 * DAY)
        self.assertLessEqual(later.expires_at, soon + 80 * DAY, "never later than in Odoo's table")
        self.assertEqual(far.expires_at - far.replace_by, 30 * DAY)


@tagged("post_install", "-at_install")
class TestKeyExtend(KeyEndCommon):
    def _extend(self, days=10, user=None, reason="supplier is late", key=None):
        key = key or self.key
        end = key.effective_end + days * DAY
        key.with_user(user or self.manager)._extend(end, reason)
        return end

    def test_extend(self):
        """By an administrator, with a reason, in both histories; reminders continue as before."""
        replace_by = self.key.replace_by
        end = self._extend(30)
        self.assertEqual((self.key.expires_at, self._native(self.key)), (end, (end,)))
        self.assertEqual(self.key.replace_by, replace_by)
        for text in (self.key.history, self.integration.message_ids[0].body):
            self.assertIn("supplier is late", text)
        self._run_jobs()
        self.assertEqual(self.key.expires_at, end)

    def test_limits(self):
        for days in (31, 0, -1):
            with self.assertRaisesRegex(UserError, "Choose a date"):
                self._extend(days)
        with self.assertRaisesRegex(UserError, "reason"):
            self._extend(reason=" ")
        for user in (self.owner, self.stranger):
            with self.assertRaises(AccessError):
                self._extend(user=user)
        self.policy.max_extension_days = 0
        with self.assertRaisesRegex(UserError, "policy"):
            self._extend()

    def test_only_a_key_that_works(self):
        """Not a key that has ended, even if only in Odoo's table, nor one being replaced."""
        new = self._rotate(self.key)[1]
        with self.assertRaisesRegex(UserError, "being replaced"):
            self._extend()
        self._set_native_end(new, fields.Datetime.now() - timedelta(minutes=1))
        with self.assertRaisesRegex(UserError, "no longer works"):
            self._extend(key=new)
        new.revoke("leaked")
        with self.assertRaisesRegex(UserError, "no longer works"):
            self._extend(key=new)

    def test_not_a_personal_key(self):
        natives = self.env["res.users.apikeys"].with_user(self.system)
        secret = natives._generate(None, "mine", fields.Datetime.now() + DAY)
        key = self.keys.search([("prefix", "=", secret[:8])])
        self.assertFalse(key.may_extend)
        with self.assertRaisesRegex(UserError, "personal"):
            self._extend(key=key, user=self.system)

    def test_the_dialog_asks_for_identity(self):
        """It is on the form of a key that can be extended, for administrators only."""
        self.assertTrue(self.key.may_extend)
        view = self.env.ref("auth_integration.auth_integration_key_view_form").id
        for user, offered in ((self.manager, True), (self.owner, False)):
            arch = self.keys.with_user(user).get_view(view)["arch"]
            self.assertIs("action_extend" in arch, offered)
        action = self.key.with_user(self.manager).action_extend()
        dialog = Form(self.env[action["res_model"]].with_user(self.manager).with_context(
            **action["context"]))
        self.assertEqual(dialog.latest, self.key.expires_at + 30 * DAY)
        dialog.expires_at = self.key.expires_at + DAY
        dialog.reason = "supplier is late"
        with self.assertRaisesRegex(UserError, "HTTP"):
            dialog.save().action_extend()


@tagged("post_install", "-at_install")
class TestKeyRestored(KeyEndCommon):
    def test_restored_native_row(self):
        """As from a backup of Odoo's own table: it ends again, and the record says so."""
        self.key.revoke("leaked")
        # For the vacuum, the current time is the beginning of the tests' transaction.
        self._move(self.key, ended_at=fields.Datetime.now() - timedelta(hours=1))
        self.env.cr.execute(
            "INSERT INTO res_users_apikeys (id, name, user_id, index, key)"
            " SELECT apikey_id, name, user_id, prefix, hash FROM auth_integration_key"
            " WHERE id = %s",
            (self.key.id,),
        )
        self._assert_ended(self.key, self.secret, "revoked")
        self.assertEqual(self.key.history.count("still rejected"), 1)
