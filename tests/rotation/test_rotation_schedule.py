"""What the schedule opens, and when; the state of a rotation, in Python and SQL."""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ...tools.rotation import rotation_states
from .common import RUN_LOGGER, RotationCommon


@tagged("post_install", "-at_install")
class TestRotationSchedule(RotationCommon):
    # State -----------------------------------------------------------------------------------

    def test_sql_state_agrees_with_the_table(self):
        """For every combination of facts, possible or not."""
        facts_of = {}
        other = self._issue(self.integration)[1]
        for facts in rotation_states.all_facts():
            facts_of[self._rotation_with(facts, other)] = facts
        self.env.flush_all()
        self.env.invalidate_all()
        for rotation, facts in facts_of.items():
            with self.subTest(facts=facts):
                self.assertEqual(rotation.state, rotation_states.state_of(facts))
        states = {r: rotation_states.state_of(facts) for r, facts in facts_of.items()}
        for state in rotation_states.STATES:
            ours = [rotation.id for rotation in facts_of]
            found = self.rotations.search([("state", "=", state), ("id", "in", ours)])
            self.assertEqual(set(found), {r for r, s in states.items() if s == state})

    def _rotation_with(self, facts, other):
        now, day = self.now, timedelta(days=1)
        old = self._issue(self.integration)[1]
        self._move(
            old,
            **{
                "active": {},
                "retiring": {"retire_at": now + day},
                "expired": {"expires_at": now - day},
                "revoked": {"ended_at": now - day, "end_kind": "revoked"},
                "superseded": {"retire_at": now - day},
                "copied": {"ended_at": now - day, "end_kind": "copied"},
            }[facts.old],
        )
        new = self.keys
        if facts.replacement != "none":
            new = self._issue(self.integration)[1]
            self._move(new, replaces_id=old.id)
            if facts.replacement == "used":
                self._move(new, first_used_at=now)
        if facts.replaced:
            self._move(old, replaced_by_id=new.id or other.id)
        return self.rotations.create(
            {
                "old_key_id": old.id,
                "new_key_id": new.id,
                "delivery": "claim",
                "delivered_at": now if facts.delivered else False,
                "cancelled_at": now if facts.cancelled else False,
            }
        )

    # Schedule --------------------------------------------------------------------------------

    def test_opens_what_is_due_once(self):
        """A key is due from its first notice on; a second run opens nothing more."""
        self._set_due_in(self.key, 31)
        self._run()
        self.assertFalse(self._rotation())
        self._set_due_in(self.key, 29)
        self._run()
        self._run()
        rotation = self._rotation()
        self.assertEqual(len(rotation), 1)
        self.assertEqual(rotation.state, "due")
        self.assertFalse(rotation.opened_by)
        self.assertNotIn(self.key.id, self.rotations._due_keys())

    def test_opens_only_inside_the_window_of_its_time_zone(self):
        """Midnight to one in Auckland is another hour everywhere else."""
        self._set_due_in(self.key, 20)
        self.policy.write({"window_start": 0, "window_end": 1, "window_tz": "Pacific/Auckland"})
        noon, midnight = "2031-01-10 00:30:00", "2031-01-10 11:30:00"  # UTC+13 in January
        self.assertFalse(self.policy._is_in_window(fields.Datetime.to_datetime(noon)))
        self.assertTrue(self.policy._is_in_window(fields.Datetime.to_datetime(midnight)))
        with patch.object(type(self.policy), "_is_in_window", lambda *a: False):
            self._run()
        self.assertFalse(self._rotation())
        with patch.object(type(self.policy), "_is_in_window", lambda *a: True):
            self._run()
        self.assertTrue(self._rotation())

    def test_window_may_pass_midnight(self):
        """From ten in the evening to four in the morning is a usual maintenance window."""
        self.policy.write({"window_start": 22, "window_end": 4, "window_tz": "UTC"})
        inside = {
            hour: self.policy._is_in_window(fields.Datetime.to_datetime(f"2031-01-10 {hour}"))
            for hour in ("21:59:00", "22:00:00", "03:59:00", "04:00:00", "12:00:00")
        }
        self.assertEqual([h for h, ok in inside.items() if ok], ["22:00:00", "03:59:00"])

    def test_not_due(self):
        """Keys that the schedule does not rotate.

        Keys without auto_rotate, of an archived integration, personal keys, ended or retiring keys,
        and new keys that were not used yet.
        """
        self._set_due_in(self.key, 20)
        self.policy.auto_rotate = False
        self.assertNotIn(self.key.id, self.rotations._due_keys())
        self.policy.auto_rotate = True
        self.assertIn(self.key.id, self.rotations._due_keys())
        self.integration.active = False
        self.assertNotIn(self.key.id, self.rotations._due_keys())
        self.integration.active = True
        _secret, new = self._claim(self._due())
        self._set_due_in(new, 10)
        self.assertNotIn(new.id, self.rotations._due_keys())
        self._use(new)
        self.assertEqual(self.key.state, "retiring")
        self.assertNotIn(self.key.id, self.rotations._due_keys())
        self.assertIn(new.id, self.rotations._due_keys())

    def test_one_failing_key_stops_nobody(self):
        """The others are opened, the job does not fail, and the next run opens the failed one."""
        keys = [self.key] + [self._issue(self.integration)[1] for _ in range(4)]
        for key in keys:
            self._set_due_in(key, 20)
        with self._failing("_open_batch", keys[2].id), self.assertLogs(RUN_LOGGER, "ERROR") as log:
            self._run()
        self.assertEqual(len(log.output), 1)
        self.assertIn(str(keys[2].id), log.output[0])
        self.assertEqual([len(self._rotation(key)) for key in keys], [1, 1, 0, 1, 1])
        self.assertTrue(self.cron.active)
        self._run()
        self.assertEqual([len(self._rotation(key)) for key in keys], [1] * 5)

    def test_run_out_of_time_is_continued(self):
        """The scheduler is told what is left and calls again; nothing is done twice."""
        keys = [self.key] + [self._issue(self.integration)[1] for _ in range(4)]
        for key in keys:
            self._set_due_in(key, 20)
        due, told = len(self.rotations._due_keys()), []

        def out_of_time(cron, processed=0, *, remaining=None):
            told.append((processed, remaining))
            return 0 if told[-2:] == [(0, due), (1, None)] else 60

        with patch.object(type(self.env["ir.cron"]), "_commit_progress", out_of_time):
            self.rotations._cron_rotate()
        self.assertEqual(told[-2:], [(0, due), (1, None)])
        self.assertEqual(len(self.rotations._due_keys()), due - 1)
        self.assertFalse(self._mails(self.owner))
        self._run()
        self.assertEqual([len(self._rotation(key)) for key in keys], [1] * 5)
        self.assertEqual(len(self._mails(self.owner)), 1)

    def test_one_failing_step_stops_no_other(self):
        self._set_due_in(self.key, 20)
        with (
            patch.object(type(self.rotations), "_keys_to_confirm", side_effect=ZeroDivisionError,
                         __name__="_keys_to_confirm"),
            mute_logger(RUN_LOGGER),
        ):
            self._run()
        self.assertTrue(self._rotation())

    def test_rotate_now(self):
        """For owners and managers, immediately, with a separate mail to the other owners."""
        self.integration.owner_ids |= self.manager
        with self.assertRaises(AccessError):
            self.key.with_user(self.stranger).action_rotate_now()
        self.assertIs(self.key.with_user(self.owner).action_rotate_now(), True)
        rotation = self._rotation()
        self.assertEqual((rotation.state, rotation.opened_by), ("due", self.owner))
        self.assertEqual(self._activities().user_id, self.owner | self.manager)
        mails = self.env["mail.message"].search([
            ("model", "=", "auth.integration"), ("res_id", "=", self.integration.id),
            ("subject", "ilike", "Claim the new API key"),
        ])
        self.assertEqual(mails.notified_partner_ids, self.manager.partner_id)
        self.key.with_user(self.owner).action_rotate_now()
        self.assertEqual(len(self._rotation()), 1)
        self.assertEqual(len(self._activities()), 2)
        # The key of a user with more rights than the owner is not the owner's to rotate.
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        with self.assertRaises(AccessError):
            self.key.with_user(self.owner).action_rotate_now()

    def test_rotate_now_refuses_what_cannot_be_rotated(self):
        secret = (
            self.env["res.users.apikeys"].with_user(self.owner)
            ._generate(None, "mine", self.now + timedelta(days=1))
        )
        personal = self.keys.search([("prefix", "=", secret[:8])])
        with self.assertRaises(UserError):
            personal.with_user(self.owner).action_rotate_now()
        self.key.revoke("test")
        with self.assertRaises(UserError):
            self.key.action_rotate_now()
