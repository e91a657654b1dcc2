"""What an owner does with a rotation: claim the new key, postpone it, cancel it."""

from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common import RotationCommon


@tagged("post_install", "-at_install")
class TestRotationOwner(RotationCommon):
    # Claim -----------------------------------------------------------------------------------

    def test_due_key_asks_its_owners(self):
        """Each owner gets an activity, but no separate mail, as the digest contains it."""
        self.integration.owner_ids |= self.stranger
        self._due()
        self._run()
        self.assertEqual(self._activities().user_id, self.owner | self.stranger)
        self.assertEqual(len(self._activities()), 2)
        self.assertEqual(len(self._mails(self.owner)), 1)

    def test_the_requests_of_all_owners_leave_one_line(self):
        self.integration.owner_ids |= self.stranger
        rotation = self._due()
        self._run()
        self.assertEqual(len(self._activities()), 2)
        self._claim(rotation)
        self.assertFalse(self._activities())
        closed = self.integration.message_ids.filtered("mail_activity_type_id")
        self.assertEqual(len(closed), 1)
        self.assertIn("Claimed by Olivia Owner", closed.body)

    def test_another_key_has_a_dialog_of_that_name(self):
        rotation = self._due()
        owned = rotation.with_user(self.owner)
        self.assertEqual(owned.action_claim()["name"], "Claim New Key")
        self._claim(rotation)
        owned.invalidate_recordset()
        self.assertEqual(owned.action_claim()["name"], "Claim Another Key")
        self.assertEqual(rotation.display_name, f"Rotation of {self.key.display_name}")

    def test_claim_hands_over_once(self):
        """The claim creates the key, closes the activities and is recorded."""
        rotation = self._due()
        self.assertFalse(rotation.new_key_id)
        secret, new = self._claim(rotation)
        self.assertEqual(rotation.state, "delivered")
        self.assertEqual((new.replaces_id, new.state), (self.key, "pending"))
        self.assertEqual(rotation.claimed_by, self.owner)
        self.assertFalse(self._activities())
        self.assertIn(new.prefix, str(self.integration.message_ids.mapped("body")))
        self.assertIn(new.prefix, self._noted_by(self.owner))
        self._assert_nowhere(secret)

    def _noted_by(self, user):
        """Return the newest note in the integration's history, if it is by this user."""
        note = self.integration.message_ids[:1]
        return note.author_id == user.partner_id and note.body or ""

    def _assert_nowhere(self, secret):
        """Check that the secret is in no relevant table of this transaction."""
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
        """No one gets a key without a web session with a fresh identity check."""
        rotation = self._due()
        wizard = (
            self.env["auth.integration.claim"].with_user(self.owner)
            .create({"rotation_id": rotation.id})
        )
        with self.assertRaisesRegex(UserError, "HTTP"):
            wizard.action_claim()
        self.assertFalse(rotation.new_key_id)

    def test_second_claim_gives_a_sibling_and_alerts(self):
        """The first answer may be lost, so its key stays; the owners are alerted immediately."""
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

    def test_who_has_no_address_starts_a_rotation_all_the_same(self):
        self.manager.email = False
        self.key.with_user(self.manager).action_rotate_now()
        self.assertIn("started the rotation", self._noted_by(self.env.ref("base.user_root")))

    def test_the_most_urgent_is_listed_first(self):
        first = self._due(days=20)
        _secret, later = self._issue(self.integration)
        later.with_user(self.owner).action_rotate_now()
        over = self._issue(self.integration)[1]
        over.with_user(self.owner).action_rotate_now()
        self._rotation(over).with_user(self.owner).action_cancel()
        rotations = self.rotations.with_user(self.owner)
        listed = etree.fromstring(rotations.get_view(view_type="list")["arch"])
        found = rotations.search(
            [("integration_id", "=", self.integration.id)], order=listed.get("default_order")
        )
        self.assertEqual(
            found.ids, [first.id, self._rotation(later).id, self._rotation(over).id]
        )
        self.assertEqual(found[0].old_key_works_until, self.key.effective_end)
        self.assertFalse(found[2].old_key_works_until)

    # Putting off and giving up ---------------------------------------------------------------

    def test_cancel_ends_unused_keys_and_the_next_notice_opens_again(self):
        rotation = self._due(days=20)
        _secret, new = self._claim(rotation)
        rotation.with_user(self.owner).action_cancel()
        self.assertEqual((rotation.state, new.state), ("cancelled", "revoked"))
        self.assertEqual(rotation.cancelled_by, self.owner)
        self.assertIn("canceled the rotation", self._noted_by(self.owner))
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
        """With a reason, not beyond the key's end; until then no one is asked or notified."""
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
        """The rotation's form has the button; its dialog asks for a date and a reason."""
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
        """For any reason: here the old key was revoked."""
        rotation = self._due()
        self.assertTrue(self._activities())
        self.key.revoke("decommissioned")
        self.assertEqual(rotation.state, "cancelled")
        self._run()
        self.assertFalse(self._activities())
