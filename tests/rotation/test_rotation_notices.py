from datetime import timedelta

from odoo.tests import tagged

from .common import RotationCommon

UPDATED, FORGOTTEN = "192.0.2.7", "198.51.100.9"


@tagged("post_install", "-at_install")
class TestRotationNotices(RotationCommon):
    def setUp(self):
        """One host uses the new key; another one, which shared the old key, does not."""
        super().setUp()
        self.rotation = self._due()
        _secret, self.new = self._claim()
        self._use(self.key, UPDATED)
        self._use(self.new, UPDATED)

    def _let_pass(self, days):
        """Let days pass for both keys and their known addresses."""
        for key in (self.key, self.new):
            self._pass_days(key, days)
        self.env.cr.execute(
            "UPDATE auth_integration_key_address SET last_seen = last_seen - %s",
            (timedelta(days=days),),
        )
        self.env.invalidate_all()

    def _told(self):
        self._run()
        return self.integration.message_ids.filtered(lambda m: "still used" in (m.body or ""))

    def test_owners_are_told_in_the_middle_of_the_overlap(self):
        """They learn once, while there is time, which address still uses the old key."""
        self._let_pass(3)
        self._use(self.key, FORGOTTEN)
        self.assertEqual(self.rotation.late_callers, FORGOTTEN)
        self.assertFalse(self._told(), "it may be updated tomorrow")
        self._let_pass(1)
        message = self._told()
        self.assertIn(FORGOTTEN, message.body)
        self.assertNotIn(UPDATED, message.body)
        self.assertIn(self.key._shared_moment_text(self.key.retire_at), message.body)
        self.assertEqual(message.notified_partner_ids, self.owner.partner_id)
        self._use(self.key, "198.51.100.10")
        self.rotations._notify_of_late_callers(self.rotation.ids)  # another run was faster
        self.assertEqual(self._told(), message)

    def test_what_was_just_finished_counts_for_nothing(self):
        """The system that got the new key may still have running calls with the old one."""
        self._move(self.key, last_used_at=self.new.first_used_at - timedelta(seconds=1))
        self.env.invalidate_all()
        self.assertFalse(self.rotation.old_key_used_since)
        self.assertFalse(self.rotation.with_user(self.owner).next_step)
        self._use(self.key, UPDATED)
        for seconds, why in ((5, "the form says so at once"), (0, "the order is not known")):
            self._move(self.key, last_used_at=self.new.first_used_at + timedelta(seconds=seconds))
            self.env.invalidate_all()
            self.assertTrue(self.rotation.old_key_used_since, why)
        self.assertEqual(self.rotation.with_user(self.owner).next_step, "find_late_calls")
        self.assertEqual(self.rotation.with_user(self.owner).old_key_used_from, UPDATED)
        self.assertFalse(self.rotation.late_callers)
        self._let_pass(5)
        self.assertFalse(self._told())

    def test_nobody_straggles_after_the_overlap(self):
        """Calls after the overlap are refused, and are reported as reuse."""
        self._let_pass(1)
        self._use(self.key, FORGOTTEN)
        self._let_pass(7)
        self.assertFalse(self.rotation.late_callers)
        self.assertFalse(self._told())

    def test_told_again_in_another_overlap(self):
        """The new key was revoked, and the old one is replaced once more."""
        self._let_pass(5)
        self._use(self.key, FORGOTTEN)
        self.assertEqual(len(self._told()), 1)
        self.new.revoke("leaked")
        self._run()
        _secret, self.new = self._claim()
        self._use(self.new, UPDATED)
        self._let_pass(5)
        self._use(self.key, FORGOTTEN)
        self.assertEqual(len(self._told()), 2)

    def test_the_form_names_them(self):
        view = self.env.ref("auth_integration.auth_integration_rotation_view_form").id
        rotation = self.rotation.with_user(self.owner)
        self.assertIn('name="late_callers"', rotation.get_view(view)["arch"])
        self._let_pass(1)
        self._use(self.key, FORGOTTEN)
        [shown] = rotation.read(["late_callers"])
        self.assertEqual(shown["late_callers"], FORGOTTEN)
