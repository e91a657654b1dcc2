from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .common import RotationCommon

HOME, ELSEWHERE = "192.0.2.7", "203.0.113.66"


@tagged("post_install", "-at_install")
class TestRotationReuse(RotationCommon):
    def setUp(self):
        """Make a finished rotation: the old key is superseded."""
        super().setUp()
        self._use(self.key, HOME)
        _secret, self.new = self._claim(self._due())
        self._use(self.new, HOME)
        self._pass_days(self.key, 8)
        self.env.cr.execute(
            "UPDATE auth_integration_key_address SET first_seen = first_seen - interval '30 days'"
        )
        self._run()
        self.assertEqual(self.key.end_kind, "superseded")

    def _present(self, address, days_ago=0, count=3):
        """Record refused calls with the old key."""
        when = fields.Datetime.now() - timedelta(days=days_ago) + timedelta(seconds=1)
        self.env["auth.attempt"]._upsert(
            dict.fromkeys(
                ("auth_type", "attribution", "user_agent", "reference"), None
            )
            | {
                "outcome": "failure", "cause": "key_superseded", "channel": "json2",
                "login": self.key.login, "user_id": self.key.user_id.id,
                "integration_id": self.integration.id, "key_id": self.key.id,
                "remote_addr": address, "database": self.env.cr.dbname,
            },
            count, when, when,
        )

    def _alerts(self):
        self.integration.invalidate_recordset()
        return self.integration.message_ids.filtered(
            lambda m: "replaced API key" in (m.body or "") and m.notified_partner_ids
        )

    def test_late_caller(self):
        """From a known address, soon after the overlap: some part was not updated."""
        self._present(HOME)
        self._run()
        alert = self._alerts()
        self.assertIn("still used", alert.body)
        self.assertIn(HOME, alert.body)
        self.assertIn("3 times", alert.body)
        self.assertEqual(alert.notified_partner_ids, self.owner.partner_id)

    def test_stranger(self):
        """For an address that the integration never used, administrators are notified, too."""
        self._present(HOME)
        self._present(ELSEWHERE)
        self._run()
        alert = self._alerts()
        self.assertIn("Suspicious", alert.body)
        self.assertIn(ELSEWHERE, alert.body)
        self.assertIn(self.manager.partner_id, alert.notified_partner_ids)

    def test_long_after(self):
        """No system is late for weeks, so even a known address is suspicious then."""
        self._move(self.key, ended_at=fields.Datetime.now() - timedelta(days=20))
        self._present(HOME)
        self._run()
        self.assertIn("Suspicious", self._alerts().body)

    def test_the_good_key_is_never_touched(self):
        self._present(ELSEWHERE, count=1000)
        self._run()
        self.assertEqual(self.new.state, "active")

    def test_once_a_day(self):
        self._present(ELSEWHERE)
        self._run()
        self._present(HOME)
        self._run()
        self.assertEqual(len(self._alerts()), 1)
        self.key.reuse_notified_at -= timedelta(days=1, minutes=1)
        self._run()
        self.assertEqual(len(self._alerts()), 2)
        self.key.reuse_notified_at -= timedelta(days=1)
        self.env.cr.execute("DELETE FROM auth_attempt")
        self._run()
        self.assertEqual(len(self._alerts()), 2)


@tagged("post_install", "-at_install")
class TestRotationWithdrawal(RotationCommon):
    def test_mistaken_revocation(self):
        """The same key works again, also natively, and the owners are notified."""
        end = self._native(self.key)
        self.key.revoke("wrong line")
        self.assertIsNone(self._check(self.secret))
        self.key.with_user(self.manager)._undo_revocation("a mistake")
        self.assertEqual(self.key.state, "active")
        self.assertEqual(self._native(self.key), end)
        self.assertEqual(self._check(self.secret), self.integration.user_id.id)
        for text in (self.integration.message_ids[0].body, self.key.history):
            self.assertIn("undid the revocation", text)
            self.assertIn("a mistake", text)
        self.assertEqual(self.integration.message_ids[0].author_id, self.manager.partner_id)
        self.keys._reconcile()
        self.assertEqual(
            self.keys.search_count([("prefix", "=", self.key.prefix)]), 1, "imported a second time"
        )

    def test_needs_an_administrator_and_his_identity(self):
        self.key.revoke("wrong line")
        for user in (self.owner, self.stranger):
            with self.assertRaises(AccessError):
                self.key.with_user(user)._undo_revocation("a mistake")
        with self.assertRaisesRegex(UserError, "HTTP"):
            self._dialog(self.manager).action_undo()
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        with self.assertRaises(AccessError):
            self.key.with_user(self.manager)._undo_revocation("a mistake")

    def _dialog(self, user):
        action = self.key.with_user(user).action_undo_revocation()
        dialog = self.env[action["res_model"]].with_user(user).with_context(**action["context"])
        return dialog.create({"reason": "a mistake"})

    def test_needs_a_reason(self):
        self.key.revoke("wrong line")
        for nothing in (False, " ", 5):
            with self.assertRaisesRegex(UserError, "reason"):
                self.key.with_user(self.manager)._undo_revocation(nothing)

    def test_starts_the_overlap_again(self):
        """The old key had been restored: it is retired again, not from the first use on."""
        new = self._claim(self._due())[1]
        self._use(new)
        self._move(new, first_used_at=fields.Datetime.now() - timedelta(days=20))
        new.revoke("wrong line")
        self.assertEqual(self.key.state, "active")
        new.with_user(self.manager)._undo_revocation("a mistake")
        self.assertEqual((self.key.state, new.state), ("retiring", "active"))
        self.assertGreater(self.key.retire_at, fields.Datetime.now() + timedelta(days=6))

    def test_a_native_end_outlives_a_revocation(self):
        """It was set in Odoo's own table, and not found by the job before the revocation."""
        end = fields.Datetime.now() + timedelta(minutes=30)
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
            (end, self.key.apikey_id.id),
        )
        self.key.revoke("wrong line")
        self.key.with_user(self.manager)._undo_revocation("a mistake")
        self.assertEqual((self.key.expires_at, self._native(self.key)), (end, (end,)))

    def test_never_when_compromised(self):
        self.key.revoke("leaked")
        self.key.compromised = True
        with self.assertRaisesRegex(UserError, "compromised"):
            self.key.with_user(self.system)._undo_revocation("a mistake")

    def test_within_the_hour(self):
        self.key.revoke("wrong line")
        self._move(self.key, ended_at=fields.Datetime.now() - timedelta(minutes=61))
        with self.assertRaisesRegex(UserError, "hour"):
            self.key.with_user(self.system)._undo_revocation("a mistake")

    def test_only_revocations(self):
        """Not for a key that works, one past its end, or one retired by rotation."""
        def withdraw():
            self.key.with_user(self.system)._undo_revocation("a mistake")

        with self.assertRaisesRegex(UserError, "not revoked"):
            withdraw()
        self.key.revoke("x")
        self._move(self.key, expires_at=fields.Datetime.now())
        with self.assertRaises(UserError):
            withdraw()
        self._move(self.key, end_kind="superseded", expires_at=self.now + timedelta(days=9))
        with self.assertRaisesRegex(UserError, "not revoked"):
            withdraw()

    def test_marked_in_the_dialogue(self):
        """A user who revokes a key says that it leaked; no one can undo that."""
        wizard = self.env["auth.integration.revoke"].with_user(self.owner).create(
            {"key_ids": self.key.ids, "reason": "posted in a forum", "compromised": True}
        )
        wizard.action_revoke()
        self.assertEqual((self.key.state, self.key.compromised), ("revoked", True))
        self.assertFalse(self.key.with_user(self.manager).may_undo_revocation)
        with self.assertRaisesRegex(UserError, "compromised"):
            self.key.with_user(self.system)._undo_revocation("a mistake")
        history = " ".join(self.integration.message_ids.mapped("body"))
        self.assertIn("as compromised: posted in a forum", history)

    def test_marked_after_its_end(self):
        """A leak is discovered a little after the revocation."""
        self.key.revoke("wrong line")
        self.assertTrue(self.key.with_user(self.manager).may_undo_revocation)
        with self.assertRaises(AccessError):
            self.key.with_user(self.stranger).revoke("mine", compromised=True)
        self.key.with_user(self.owner).revoke("it leaked", compromised=True)
        self.assertEqual((self.key.end_reason, self.key.compromised), ("wrong line", True))
        self.assertFalse(self.key.with_user(self.manager).may_undo_revocation)

    def test_nobody_unmarks(self):
        self.key.revoke("leaked", compromised=True)
        self.key.revoke("not after all", compromised=False)
        self.assertTrue(self.key.compromised)
        for user in (self.owner, self.manager, self.system):
            with self.assertRaises(AccessError):
                self.key.with_user(user).compromised = False

    def test_the_form_offers_it_to_administrators_while_it_can_be_done(self):
        self.key.revoke("wrong line")
        view = self.env.ref("auth_integration.auth_integration_key_view_form").id
        for user, offered in ((self.manager, True), (self.owner, False)):
            arch = self.keys.with_user(user).get_view(view)["arch"]
            self.assertIs("action_undo_revocation" in arch, offered)
        self._move(self.key, ended_at=fields.Datetime.now() - timedelta(minutes=61))
        self.assertFalse(self.key.with_user(self.manager).may_undo_revocation)
