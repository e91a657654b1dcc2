"""From the first use of the new key to the end of the old one."""

from datetime import timedelta

from odoo import fields
from odoo.tests import tagged

from .common import RotationCommon


@tagged("post_install", "-at_install")
class TestRotationOverlap(RotationCommon):
    def test_first_use_ends_unused_siblings(self):
        """Whichever of them is used first becomes the new key."""
        rotation = self._due()
        _secret, first = self._claim(rotation)
        _secret, second = self._claim(rotation)
        self._use(first)
        self.assertEqual((first.state, second.state), ("active", "superseded"))
        self.assertEqual(rotation.new_key_id, first)
        self.assertEqual(rotation.state, "overlap")

    def test_first_use_starts_the_overlap(self):
        """The old key works for overlap_days, at most until its own end, also natively."""
        rotation = self._due()
        _secret, new = self._claim(rotation)
        self._use(new)
        self.assertEqual(self.key.state, "retiring")
        left = self.key.retire_at - fields.Datetime.now()
        self.assertAlmostEqual(left.total_seconds() / 86400, 7, places=2)
        self.assertEqual(self._native(self.key), (self.key.retire_at,))
        self._pass_days(self.key, 8)
        self.assertEqual((self.key.state, rotation.state), ("superseded", "done"))
        self._run()
        self.assertEqual((self.key.end_kind, rotation.state), ("superseded", "done"))

    def test_overlap_ends_at_the_old_keys_own_end(self):
        _secret, new = self._claim(self._due())
        self._set_end(self.key, 3)
        self._use(new)
        self.assertEqual(self.key.retire_at, self.key.expires_at)

    def test_use_outside_of_http_confirms_nothing(self):
        rotation = self._due()
        _secret, new = self._claim(rotation)
        self._use(new, address=None)
        self._run()
        self.assertEqual(new.use_count, 1)
        self.assertEqual((self.key.state, new.state), ("active", "pending"))
        self.assertEqual(rotation.state, "delivered")

    def test_new_key_that_ended_unused_opens_again(self):
        """The owners are asked again."""
        rotation = self._due()
        _secret, new = self._claim(rotation)
        self.assertFalse(self._activities())
        new.revoke("shown to the wrong person")
        self.assertEqual(rotation.state, "due")
        self._run()
        self.assertTrue(self._activities())
        self._claim(rotation)
        self.assertEqual(rotation.state, "delivered")

    def test_new_key_revoked_in_the_overlap_gives_the_old_one_back(self):
        """Immediately and without a job, if no other key of the integration works."""
        rotation = self._due()
        _secret, new = self._claim(rotation)
        self._use(new)
        new.with_user(self.owner).revoke("leaked")
        self.assertEqual(rotation.state, "due")
        self.assertEqual((self.key.state, self.key.retire_at), ("active", False))
        self.assertEqual(self._native(self.key), (self.key.expires_at,))
        self.assertIn("no other working key", self.key.history)
        self.assertIn("no other working key", self.integration.message_ids[0].body)
        self._run()
        self.assertTrue(self._activities())
        _secret, newer = self._claim(rotation)
        self._use(newer)
        self.assertEqual((self.key.state, rotation.state), ("retiring", "overlap"))

    def test_overlap_is_not_taken_back(self):
        """The overlap stays if another key works, or if the overlap has passed.

        It also stays if the old key's own end has passed in Odoo's table.
        """
        _secret, new = self._claim(self._due())
        self._use(new)
        hour = timedelta(hours=1)
        other = self._issue(self.integration)[1]
        with self.env.cr.savepoint() as savepoint:
            new.revoke("leaked")
            self.assertEqual(self.key.state, "retiring")
            savepoint.rollback()
        self.env.invalidate_all()
        other.revoke("not needed")
        for column, state in (("retire_at", "superseded"), ("expires_at", "expired")):
            with self.env.cr.savepoint() as savepoint:
                self._move(self.key, **{column: fields.Datetime.now() - hour})
                new.revoke("leaked")
                self.assertEqual(self.key.state, state)
                savepoint.rollback()
            self.env.invalidate_all()
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
            (fields.Datetime.now() - hour, self.key.apikey_id.id),
        )
        self.env.invalidate_all()
        new.revoke("leaked")
        self.assertEqual(self.key.state, "expired")

    def test_run_repairs_what_a_dead_process_left(self):
        """A used key whose old key was not retired; an unused sibling of a used key."""
        rotation = self._due()
        _secret, new = self._claim(rotation)
        _secret, sibling = self._claim(rotation)
        self._move(new, first_used_at=fields.Datetime.now())
        self.assertEqual(self.key.state, "active")
        self._run()
        self.assertEqual(self.key.state, "retiring")
        self.assertEqual((rotation.new_key_id, rotation.state), (new, "overlap"))
        self.assertEqual(sibling.state, "superseded")
        _secret, late = self._issue(self.integration)
        self._move(late, replaces_id=self.key.id)
        self._run()
        self.assertEqual(late.state, "superseded")

    def test_what_was_found_is_looked_at_again(self):
        """Between finding and acting, another run or a call may have been faster."""
        rotation, rotations = self._due(), self.rotations
        self._activities().unlink()
        requests = rotations._missing_activities()
        for _run in range(2):
            rotations._ask_owners(requests)
        self.assertEqual(len(self._activities()), 1)
        new, sibling = (self._claim(rotation)[1] for _ in range(2))
        self._use(new)
        self._move(sibling, ended_at=None, end_kind=None, first_used_at=fields.Datetime.now())
        rotations._end_sibling(sibling.ids)
        self.assertFalse(sibling.ended_at, "it is in use")
        for _run in range(2):
            rotations._announce(rotation.ids)
        notes = self.integration.message_ids.filtered(lambda m: "was first used" in (m.body or ""))
        self.assertEqual(len(notes), 1)

    def test_first_use_is_noted_once(self):
        rotation = self._due()
        _secret, new = self._claim(rotation)
        self._use(new, "198.51.100.4")
        self._run()
        self._run()
        notes = self.integration.message_ids.filtered(lambda m: "was first used" in (m.body or ""))
        self.assertEqual(len(notes), 1)
        self.assertIn("198.51.100.4", notes.body)
