from collections import Counter
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from unittest.mock import patch

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged
from odoo.tools import file_open, mute_logger
from odoo.tools.safe_eval import safe_eval

from ...tools.rotation import rotation_states
from ..common import IntegrationCommon

RUN_LOGGER = "odoo.addons.auth_integration.models.rotation.auth_integration_rotation_schedule"
CLAIM_ACTIVITY = "auth_integration.mail_activity_type_claim"


# Dates of a key that move together when days pass.
DATES = (
    "issued_at", "replace_by", "expires_at", "retire_at", "first_used_at", "last_used_at",
)


class RotationCommon(IntegrationCommon):
    """A key in use, and the means to let days pass and the schedule run."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rotations = cls.env["auth.integration.rotation"]
        cls.keys = cls.env["auth.integration.key"]
        cls.cron = cls.env.ref("auth_integration.ir_cron_rotation")
        cls.policy = cls.integration.policy_id
        cls.secret, cls.key = cls._issue(cls.integration)
        cls.now = fields.Datetime.now()
        cls.owner.email = "olivia@example.com"
        cls.manager.email = "mona@example.com"

    def setUp(self):
        super().setUp()
        self._use(self.key)

    def _use(self, key, address="192.0.2.7"):
        """One successful use over HTTP."""
        from ...tools.key.usage_writer import SuccessfulUse

        use = SuccessfulUse(
            dbname=self.env.cr.dbname, channel="json2", auth_type=None, login=key.login,
            user_id=key.user_id.id, integration_id=key.integration_id.id, attribution="key",
            key_id=key.id, remote_addr=address, user_agent="probe",
        )
        now = fields.Datetime.now()
        self.env.flush_all()
        self.keys._record_use(use, 1, now, now)
        self.env.invalidate_all()

    def _set_end(self, key, days):
        """Move a key's life so that it works for so many days more, natively too."""
        key.invalidate_recordset()
        left = key.expires_at - fields.Datetime.now()
        self._pass_days(key, left.total_seconds() / 86400 - days)

    def _set_due_in(self, key, days):
        """Move a key's life so that it should be replaced in so many days."""
        key.invalidate_recordset()
        left = key.replace_by - fields.Datetime.now()
        self._pass_days(key, left.total_seconds() / 86400 - days)

    def _pass_days(self, key, days):
        """Let days pass for one key: all of its dates lie so much further back."""
        key.invalidate_recordset()
        self._move(
            key, **{date: key[date] - timedelta(days=days) for date in DATES if key[date]}
        )
        self.env.cr.execute(
            "UPDATE res_users_apikeys n SET expiration_date = LEAST(k.expires_at, k.retire_at)"
            " FROM auth_integration_key k WHERE k.id = %s AND n.id = k.apikey_id", (key.id,)
        )

    def _run(self):
        """Let the scheduled job run as the server would."""
        with self.enter_registry_test_mode():
            self.cron.method_direct_trigger()

    def _rotation(self, key=None):
        return self.rotations.search([("old_key_id", "=", (key or self.key).id)])

    def _due(self, key=None, days=20):
        """Make a key due and have the schedule open its rotation."""
        self._set_due_in(key or self.key, days)
        self._run()
        return self._rotation(key)

    def _claim(self, rotation=None, user=None):
        rotation = rotation or self._rotation()
        secret, key = rotation.with_user(user or self.owner)._claim()
        return secret, key.with_env(self.env)

    def _activities(self, integration=None):
        return (integration or self.integration).activity_ids.filtered(
            lambda a: a.activity_type_id == self.env.ref(CLAIM_ACTIVITY)
        )

    def _mails(self, user=None):
        """Queued digest mails, of one person or all."""
        mails = self.env["mail.mail"].search([("model", "=", "auth.integration.digest")])
        return mails.filtered(lambda m: user.partner_id in m.recipient_ids) if user else mails

    @contextmanager
    def _failing(self, name, record_id):
        """Make one step of the run fail for one record."""
        original = getattr(type(self.rotations), name)

        def act(self, items):
            if record_id in items:
                raise ZeroDivisionError("planted")
            return original(self, items)

        with patch.object(type(self.rotations), name, act):
            yield


@tagged("post_install", "-at_install")
class TestRotation(RotationCommon):
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
        """Not without auto_rotate, not for an archived integration, not a personal key, not an
        ended or retiring one, not a new key that waits for its first use."""
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
        """The others are opened, the job does not fail, and the next run takes the culprit."""
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
        """What is left is told to the scheduler, which calls again; nothing is done twice."""
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
        """Owners and managers; at once, with a mail of its own to the other owners."""
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
        # Whoever may do more than the owner: his key is no owner's business.
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

    def test_copied_database_rotates_nothing(self):
        """Opens, tells and hands over nothing; its own keys work to their ends."""
        rotation = self._due()
        other = self._issue(self.integration)[1]
        self._set_due_in(other, 20)
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        mails = len(self._mails())
        with self.assertLogs(RUN_LOGGER, "WARNING"):
            self._run()
        self.assertFalse(self._rotation(other))
        self.assertEqual(len(self._mails()), mails)
        with self.assertRaisesRegex(UserError, "copy"):
            self._claim(rotation)
        self._set_due_in(self.key, -0.2)
        with mute_logger(RUN_LOGGER):
            self._run()
        self.assertEqual(self.key.state, "active")

    # Deadline --------------------------------------------------------------------------------

    def test_the_policy_gives_both_dates(self):
        """Replaced after 90 days, rejected after 30 more; ``enforce`` gives no more."""
        day, issued = timedelta(days=1), self._issue(self.integration)[1]
        self.policy.on_deadline = "enforce"
        enforced = self._issue(self.integration)[1]
        chosen = self._issue(self.integration, expires_at=self.now + 5 * day)[1]
        for key, replace_by, end in ((issued, 90, 120), (enforced, 90, 90), (chosen, 5, 5)):
            for date, days in ((key.replace_by, replace_by), (key.expires_at, end)):
                self.assertAlmostEqual((date - self.now) / day, days, places=2)
            self.assertEqual(self._native(key), (key.expires_at,))
        self.assertEqual(issued.rotate_after, issued.replace_by - 30 * day)

    def test_overdue_key_works_to_its_end(self):
        """No job moves an end: not before the day it should be replaced, not after."""
        rotation, end = self._due(), self.key.expires_at
        for days in (19, 1, 1, 14, 14):  # from a day before it should be replaced on
            self._pass_days(self.key, days)
            end -= timedelta(days=days)
            self._run()
            self.assertEqual((self.key.state, self.key.expires_at), ("active", end))
            self.assertEqual(self._native(self.key), (end,))
            self.assertEqual(rotation.state, "due")
        self._pass_days(self.key, 3)
        self._run()
        self.assertEqual((self.key.state, rotation.state), ("expired", "due"))

    def test_digest_names_key_time_and_place(self):
        """In the reader's own time, and with the way to where the key is claimed."""
        self.owner.tz = "Asia/Tokyo"
        self._set_due_in(self.key, 5)
        self._run()
        end = self.key.replace_by + timedelta(hours=9)
        mail = self._mails(self.owner)
        self.assertIn(self.integration.name, mail.subject)
        self.assertIn(f"{end:%-d %B %Y %H:%M}</strong> (Asia/Tokyo)", mail.body_html)
        self.assertIn(self.key.name, mail.body_html)
        self.assertIn(f"model=auth.integration&amp;res_id={self.integration.id}", mail.body_html)

    def test_nothing_is_claimed_where_the_key_is_sent(self):
        """An owner may still install one by hand, and reads so wherever he is led."""
        for delivery, sent in (("claim", False), ("self_service", False), ("webhook", True)):
            with self.subTest(delivery=delivery):
                self.policy.delivery = delivery
                self.key.action_rotate_now()
                rotation = self.rotations._open_of(self.key)
                self.assertEqual(rotation.is_sent, sent)
                advice = self.env["auth.integration.digest.line"]._advice(rotation)
                self.assertEqual("has not been sent yet" in advice, sent)
                values = {
                    "state": "due", "delivery": delivery, "is_sent": sent, "tries": 0,
                    "next_step": rotation.next_step,
                }
                for view in (rotation.get_view(view_type="form"), self.env[
                    "auth.integration.claim"].get_view(view_type="form")):
                    labels = {
                        button.get("string")
                        for button in etree.fromstring(view["arch"]).iterfind(".//button")
                        if not safe_eval(button.get("invisible", "False"), values)
                    }
                    claims = [label for label in labels if "Claim" in label]
                    self.assertEqual(bool(claims), not sent, labels)
                self.assertEqual("Claim" in rotation.action_claim()["name"], not sent)
                rotation.action_cancel()

    def test_enforce_lets_the_key_end(self):
        """And its rotation stays open: an owner can still claim a new key."""
        self.policy.on_deadline = "enforce"
        rotation = self._due()
        self._set_end(self.key, -0.1)
        self._run()
        self.assertEqual((self.key.state, rotation.state), ("expired", "due"))
        _secret, new = self._claim(rotation)
        self._use(new)
        self.assertEqual((self.key.state, rotation.state), ("expired", "done"))

    def test_superseded_key_never_comes_back(self):
        """Not even when what replaced it has ended too, on what would have been its last day."""
        _secret, new = self._claim(self._due())
        self._use(new)
        self._move(self.key, retire_at=fields.Datetime.now() - timedelta(hours=1))
        self._run()
        new.revoke("gone")
        self._run()
        self.assertEqual((self.key.state, self.key.end_kind), ("superseded", "superseded"))
        self.assertIsNone(self._check(self.secret))

    # Claim -----------------------------------------------------------------------------------

    def test_due_key_asks_its_owners(self):
        """By an activity each; no mail of its own, the digest has it."""
        self.integration.owner_ids |= self.stranger
        self._due()
        self._run()
        self.assertEqual(self._activities().user_id, self.owner | self.stranger)
        self.assertEqual(len(self._activities()), 2)
        self.assertEqual(len(self._mails(self.owner)), 1)

    def test_claim_hands_over_once(self):
        """No key exists before; the claim makes it, closes the activities and is on record."""
        rotation = self._due()
        self.assertFalse(rotation.new_key_id)
        secret, new = self._claim(rotation)
        self.assertEqual(rotation.state, "delivered")
        self.assertEqual((new.replaces_id, new.state), (self.key, "pending"))
        self.assertEqual(rotation.claimed_by, self.owner)
        self.assertFalse(self._activities())
        self.assertIn(new.prefix, str(self.integration.message_ids.mapped("body")))
        self._assert_nowhere(secret)

    def _assert_nowhere(self, secret):
        """The secret is in no text column of any table of this transaction."""
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT DISTINCT table_name FROM information_schema.columns c JOIN"
            " information_schema.tables t USING (table_schema, table_name)"
            " WHERE table_schema = current_schema AND table_type = 'BASE TABLE'"
            " AND table_name ~ '^(auth_|mail_|bus_|res_users|ir_config|ir_logging|ir_cron)'"
        )
        for (table,) in self.env.cr.fetchall():
            self.env.cr.execute(
                f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", (f"%{secret}%",)
            )
            self.assertEqual(self.env.cr.fetchone(), (0,), table)

    def test_only_owners_and_managers_claim(self):
        rotation = self._due()
        with self.assertRaises(AccessError):
            self._claim(rotation, self.stranger)
        self._claim(rotation, self.manager)

    def test_claim_of_a_privileged_user_needs_an_administrator(self):
        rotation = self._due()
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        for user in (self.owner, self.manager):
            with self.assertRaises(AccessError):
                self._claim(rotation, user)
        self._claim(rotation, self.system)

    def test_dialogue_asks_for_identity(self):
        """Outside of a browser session with a fresh identity check nobody gets a key."""
        rotation = self._due()
        wizard = (
            self.env["auth.integration.claim"].with_user(self.owner)
            .create({"rotation_id": rotation.id})
        )
        with self.assertRaisesRegex(UserError, "HTTP"):
            wizard.action_claim()
        self.assertFalse(rotation.new_key_id)

    def test_second_claim_gives_a_sibling_and_alerts(self):
        """The first answer may be lost: its key stays; the owners hear of it at once."""
        rotation = self._due()
        _secret, first = self._claim(rotation)
        before = self.integration.message_ids
        _secret, second = self._claim(rotation, self.manager)
        self.integration.invalidate_recordset()
        self.assertEqual((first.state, second.state), ("pending", "pending"))
        self.assertEqual(rotation.new_key_id, second)
        alert = self.integration.message_ids - before
        self.assertIn(self.owner.partner_id, alert.notified_partner_ids)
        self.assertIn(second.prefix, alert[0].body)

    def test_first_use_ends_unused_siblings(self):
        """Whichever of them is used, that one is the new key."""
        rotation = self._due()
        _secret, first = self._claim(rotation)
        _secret, second = self._claim(rotation)
        self._use(first)
        self.assertEqual((first.state, second.state), ("active", "superseded"))
        self.assertEqual(rotation.new_key_id, first)
        self.assertEqual(rotation.state, "overlap")

    def test_first_use_starts_the_overlap(self):
        """The old key lives on for overlap_days, at most to its own end, natively too."""
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
        """At once, where no other key of the integration works; no job has a part in it."""
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
        """Where another key works, where the overlap has passed, or where the old key's own end
        has passed in Odoo's table."""
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
        """A used key whose old one was never told; an unused sibling of a used one."""
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
        """Between finding and acting another run, or a caller, may have been faster."""
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

    # Putting off and giving up ---------------------------------------------------------------

    def test_cancel_ends_unused_keys_and_the_next_notice_opens_again(self):
        rotation = self._due(days=20)
        _secret, new = self._claim(rotation)
        rotation.with_user(self.owner).action_cancel()
        self.assertEqual((rotation.state, new.state), ("cancelled", "revoked"))
        self.assertEqual(rotation.cancelled_by, self.owner)
        self._run()
        self.assertEqual(len(self._rotation()), 1)
        self.assertFalse(self._activities())
        self._set_due_in(self.key, 13)
        rotation.cancelled_at = fields.Datetime.now() - timedelta(days=7)
        self._run()
        self.assertEqual(len(self._rotation()), 2)

    def test_cancel_is_too_late_once_the_new_key_is_used(self):
        rotation = self._due()
        _secret, new = self._claim(rotation)
        self._use(new)
        with self.assertRaises(UserError):
            rotation.with_user(self.owner).action_cancel()

    def test_postpone(self):
        """With a reason, not beyond the key's end; until then nobody is asked or told."""
        rotation = self._due(days=20).with_user(self.owner)
        until = fields.Datetime.now() + timedelta(days=5)
        with self.assertRaises(UserError):
            rotation.postpone(until, " ")
        for wrong in (self.now - timedelta(days=1), self.key.expires_at + timedelta(days=1), None):
            with self.assertRaises(UserError):
                rotation.postpone(wrong, "release freeze")
        with self.assertRaises(AccessError):
            rotation.with_user(self.stranger).postpone(until, "release freeze")
        self.assertIs(rotation.postpone(until, "release freeze"), True)
        self.assertFalse(self._activities())
        self.assertIn("release freeze", str(self.integration.message_ids.mapped("body")))
        self._set_due_in(self.key, 13)
        mails = len(self._mails(self.owner))
        self.env["auth.integration.digest"].search([]).day = self.now - timedelta(days=7)
        self._run()
        self.assertFalse(self._activities())
        self.assertEqual(len(self._mails(self.owner)), mails)
        rotation.sudo().postponed_until = fields.Datetime.now() - timedelta(minutes=1)
        self._run()
        self.assertTrue(self._activities())
        self.assertEqual(len(self._mails(self.owner)), mails + 1)

    def test_postpone_on_the_screen(self):
        """The rotation's form has the button; its dialogue asks until when and why."""
        rotation = self._due(days=20).with_user(self.owner)
        view = self.env.ref("auth_integration.auth_integration_rotation_view_form")
        self.assertIn("action_postpone", rotation.get_view(view.id)["arch"])
        action = rotation.action_postpone()
        dialogue = Form(self.env[action["res_model"]].with_user(self.owner).with_context(
            **action["context"]))
        dialogue.until = fields.Datetime.now() + timedelta(days=5)
        dialogue.reason = "release freeze"
        dialogue.save().action_postpone()
        self.assertEqual(
            (rotation.postponed_by, rotation.postponed_reason), (self.owner, "release freeze")
        )

    def test_activities_close_when_nothing_is_left_to_claim(self):
        """For whatever reason: here the old key was revoked."""
        rotation = self._due()
        self.assertTrue(self._activities())
        self.key.revoke("decommissioned")
        self.assertEqual(rotation.state, "cancelled")
        self._run()
        self.assertFalse(self._activities())


@tagged("post_install", "-at_install")
class TestRotationNotices(RotationCommon):
    def _next_day(self):
        """No digest is of today any more."""
        self.env.flush_all()
        self.env.cr.execute("UPDATE auth_integration_digest SET day = date '2001-01-01' + id")
        self.env.invalidate_all()

    def test_countdown(self):
        """A digest at each notice, none in between, however often the job runs. Once the key is
        overdue: one for each overlap, to administrators too, until the key ends."""
        told = {self.owner: [], self.manager: []}
        for days in range(31, -32, -1):
            day = datetime.combine(fields.Date.today() + timedelta(days=days), time(23, 59, 30))
            self._set_due_in(self.key, (day - fields.Datetime.now()).total_seconds() / 86400)
            self.env.cr.execute(
                "UPDATE auth_integration_digest_line SET replace_by = %s WHERE key_id = %s",
                (self.key.replace_by, self.key.id),
            )
            before = {user: len(self._mails(user)) for user in told}
            self._run()
            self._run()
            for user, days_told in told.items():
                sent = len(self._mails(user)) - before[user]
                self.assertIn(sent, (0, 1))
                days_told += [days] * sent
            self._next_day()
        self.assertEqual(told[self.owner], [30, 14, 7, 3, 1, 0, -7, -14, -21, -28])
        self.assertEqual(told[self.manager], [-1, -7, -14, -21, -28])
        self.assertEqual(self.key.state, "expired")
        self.assertIn("Overdue", self._mails(self.manager)[:1].body_html)

    def test_one_mail_for_all_keys_of_an_owner(self):
        """Each integration and each of its keys in one mail; no other owner's."""
        second = self._create_integration("mill", self.owner | self.stranger)
        keys = [self.key, self._issue(self.integration)[1], self._issue(second)[1]]
        for key in keys:
            self._set_due_in(key, 20)
        self._run()
        mail = self._mails(self.owner)
        self.assertEqual(len(mail), 1)
        for key in keys:
            self.assertIn(key.prefix, mail.body_html)
        others = self._mails(self.stranger)
        self.assertIn(keys[2].prefix, others.body_html)
        self.assertNotIn(self.key.prefix, others.body_html)

    def test_mail_of_many_keys_is_short(self):
        """The most urgent ones and a link, however many there are and however long their names."""
        self.integration.name = "☃" * 200
        count = 300
        self.env.cr.execute(
            """
            INSERT INTO res_users_apikeys (name, user_id, key, index, expiration_date)
            SELECT repeat('☃', 200), %(user)s, 'x' || n, lpad(n::text, 8, '0'),
                   localtimestamp + interval '40 days'
            FROM generate_series(1, %(count)s) n;
            INSERT INTO auth_integration_key (apikey_id, name, user_id, integration_id, hash,
                prefix, issued_at, first_used_at, expires_at, replace_by)
            SELECT id, name, user_id, %(integration)s, key, index, create_date, create_date,
                   expiration_date,
                   localtimestamp + interval '20 days' - interval '1 minute' * index::integer
            FROM res_users_apikeys WHERE key LIKE 'x%%'
            """,
            {"user": self.integration.user_id.id, "integration": self.integration.id,
             "count": count},
        )
        self.env.invalidate_all()
        self._run()
        mail = self._mails(self.owner)
        self.assertEqual(len(mail), 1)
        self.assertLess(len(mail.body_html.encode()), 100_000)
        self.assertIn(f"{count:08d}…", mail.body_html, "the most urgent")
        self.assertNotIn("00000100…", mail.body_html)
        self.assertIn(str(count - 50), mail.body_html)
        self.assertIn("/odoo/api-keys", mail.body_html)
        digest = self.env["auth.integration.digest"].search([("user_id", "=", self.owner.id)])
        self.assertEqual(len(digest.notice_ids), count, "each notice is given once")
        self.assertLess(len(mail.subject), 400)

    def test_one_mail_a_day(self):
        """What falls due after it waits for tomorrow's."""
        self._due()
        later = self._issue(self.integration)[1]
        self._set_due_in(later, 20)
        self.assertNotIn(self.owner.id, self.env["auth.integration.digest"]._people_to_notify())
        self._run()
        self.assertEqual(len(self._mails(self.owner)), 1)
        self._next_day()
        self._run()
        self.assertIn(later.prefix, self._mails(self.owner).sorted("id")[-1:].body_html)

    def test_nothing_to_tell_once_the_new_key_is_used(self):
        _secret, new = self._claim(self._due())
        self._use(new)
        self._next_day()
        self._set_due_in(self.key, 6)
        before = len(self._mails())
        self._run()
        self.assertEqual(len(self._mails()), before)

    def test_handed_over_and_not_used_says_so(self):
        _secret, new = self._claim(self._due())
        self._next_day()
        self._set_due_in(self.key, 6)
        self._run()
        self.assertIn(new.prefix, self._mails(self.owner).sorted("id")[-1:].body_html)

    def test_mail_has_no_secret(self):
        self._due()
        self.assertNotIn(self.secret, self._mails(self.owner).body_html)

    def test_a_failing_mail_stops_nobody_and_is_tried_again(self):
        """No digest is noted for who was not told."""
        self.stranger.email = "sam@example.com"
        foreign = self._issue(self.foreign)[1]
        for key in (self.key, foreign):
            self._set_due_in(key, 20)
        with self._failing("_send_digest", self.owner.id), mute_logger(RUN_LOGGER):
            self._run()
        self.assertFalse(self._mails(self.owner))
        self.assertEqual(len(self._mails(self.stranger)), 1)
        self._run()
        self.assertEqual(len(self._mails(self.owner)), 1)

    def test_archived_owner_is_not_told(self):
        self.integration.owner_ids |= self.stranger
        self.owner.active = False
        self._due()
        self.assertFalse(self._mails(self.owner))
        self.assertTrue(self._mails(self.stranger))


@tagged("post_install", "-at_install")
class TestRotationAdoption(IntegrationCommon):
    def test_keys_adopted_on_one_day_end_on_different_days(self):
        """Otherwise all of them would have to be rotated in one night, every time."""
        natives = []
        for number in range(30):
            self.env.cr.execute(
                "INSERT INTO res_users_apikeys (name, user_id, index, key, create_date)"
                " VALUES ('old', %s, %s, %s, now() AT TIME ZONE 'UTC') RETURNING id",
                (self.integration.user_id.id, f"{number:08x}", f"hash{number}"),
            )
            natives.append(self.env.cr.fetchone()[0])
        keys = self.env["auth.integration.key"]
        keys._reconcile()
        imported = keys.search([("apikey_id", "in", natives)])
        days = {key.replace_by.date() for key in imported}
        self.assertGreater(len(days), 15)
        now = fields.Datetime.now()
        for key in imported:
            self.assertEqual(self._native(key), (key.expires_at,))
            self.assertLessEqual(key.replace_by, now + timedelta(days=90, minutes=1))
            self.assertEqual(key.expires_at - key.replace_by, timedelta(days=30))
            self.assertGreater(key.rotate_after, now)
        self._assert_graph_shows(imported)
        ends = {key.id: key.expires_at for key in imported}
        keys._reconcile()
        self.assertEqual({key.id: key.expires_at for key in imported}, ends)


    def _assert_graph_shows(self, keys):
        """What ends when, as the graph of an owner asks for it."""
        keys = keys.with_user(self.owner)
        view = keys.get_view(view_type="graph")
        self.assertIn("effective_end", view["arch"])
        groups = keys.formatted_read_group(
            [("id", "in", keys.ids)], ["effective_end:month", "state"], ["__count"]
        )
        shown = Counter()
        for group in groups:
            shown[group["effective_end:month"][0][:7]] += group["__count"]
        ending = Counter(key.expires_at.strftime("%Y-%m") for key in keys)
        self.assertEqual(shown, ending)


@tagged("post_install", "-at_install")
class TestRotationNeutralize(RotationCommon):
    def test_neutralized_copy(self):
        """Targets and secrets are gone, the jobs are off, and no key is handed over."""
        self.integration.webhook_url = "https://example.com/hook"
        self.env.cr.execute(
            "UPDATE auth_integration SET webhook_secret = 'x', totp_seed = 'y' WHERE id = %s",
            (self.integration.id,),
        )
        rotation = self._due()
        self.env.flush_all()
        with file_open("auth_integration/data/neutralize.sql") as script:
            self.env.cr.execute(script.read())
        self.env.invalidate_all()
        self.env.registry.clear_all_caches()
        self.assertFalse(self.integration.webhook_url)
        self.assertFalse(self.integration.sudo().webhook_secret or self.integration.totp_seed)
        self.assertFalse(self.cron.active)
        with self.assertRaisesRegex(UserError, "copy"):
            self._claim(rotation)
        # Whatever gives the copy's database.uuid, it is never what the script wrote.
        self.env["ir.config_parameter"].init(force=True)
        self.assertTrue(self.env["auth.integration.database"]._is_copy())
