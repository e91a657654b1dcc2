"""Revoking a key ends what was obtained with it, unless it is the integration's own."""

from datetime import timedelta

from odoo.exceptions import AccessError
from odoo.tests import tagged

from ..delivery.test_delivery_self_service import ELSEWHERE, HOME, SelfServiceCommon


@tagged("post_install", "-at_install")
class TestObtainedKeys(SelfServiceCommon):
    def setUp(self):
        super().setUp()
        self._set_due_in(self.key, 20)

    def _fetch(self, key=None, used_from=None):
        """Obtain a key with another one, and use it."""
        key = key or self.key
        self._move(key, replace_by=self.now + timedelta(days=20))
        new = self._key_of(self._rotate(key))
        if used_from:
            self._use(new, used_from)
        return new

    def _states(self, *keys):
        self.env.invalidate_all()
        return [key.state for key in keys]

    def _dialog(self, keys):
        action = keys.with_user(self.owner).action_revoke()
        return (
            self.env[action["res_model"]].with_user(self.owner)
            .with_context(**action["context"]).create({"reason": "stolen"})
        )

    def test_key_knows_the_key_it_was_obtained_with(self):
        new = self._fetch()
        self.assertEqual(new.obtained_with_id, self.key)
        self.assertFalse(self.key.obtained_with_id)
        self.assertFalse(self._issue(self.integration)[1].obtained_with_id)

    def test_unused_key_ends_too(self):
        new, sibling = self._fetch(), self._fetch()
        self.key.with_user(self.owner).revoke("stolen")
        self.assertEqual(self._states(self.key, new, sibling), ["revoked"] * 3)
        message = self.integration.message_ids[0]
        self.assertIn(self.owner.partner_id, message.notified_partner_ids)
        self.assertIn(f"obtained with {self.key.prefix}", message.body)
        self.assertIn(new.prefix, message.body)
        self.assertIn(sibling.prefix, message.body)

    def test_key_used_from_elsewhere_ends_too(self):
        new = self._fetch(used_from=ELSEWHERE)
        self.key.revoke("stolen")
        self.assertEqual(self._states(self.key, new), ["revoked", "revoked"])

    def test_key_used_from_a_known_address_is_kept(self):
        new = self._fetch(used_from=HOME)
        self.key.revoke("not needed any more")
        self.assertEqual(self._states(self.key, new), ["revoked", "active"])

    def test_address_that_the_obtained_key_made_known(self):
        """What happened after the key was obtained says nothing about who obtained it."""
        new = self._fetch(used_from=ELSEWHERE)
        self._pass_days(new, 30)
        self.env.cr.execute(
            "UPDATE auth_integration_key_address SET first_seen = first_seen - interval '30 days'"
            " WHERE key_id = %s", [new.id])
        self.env.invalidate_all()
        self.key.revoke("stolen")
        self.assertEqual(self._states(new), ["revoked"])

    def test_down_the_chain(self):
        child = self._fetch(used_from=ELSEWHERE)
        grandchild = self._fetch(child, used_from=ELSEWHERE)
        last = self._fetch(grandchild)
        self.key.revoke("stolen", compromised=True)
        self.assertEqual(
            self._states(self.key, child, grandchild, last), ["revoked"] * 4)
        self.assertTrue(last.compromised and not last.may_undo_revocation)

    def test_middle_of_a_chain(self):
        """What the middle key obtained ends; the overlap of the first key is taken back."""
        child = self._fetch(used_from=ELSEWHERE)
        grandchild, sibling = self._fetch(child), self._fetch(child)
        child.revoke("stolen")
        self.assertEqual(
            self._states(self.key, child, grandchild, sibling),
            ["active", "revoked", "revoked", "revoked"])

    def test_what_a_kept_key_obtained_is_kept(self):
        child = self._fetch(used_from=HOME)
        grandchild = self._fetch(child)
        self.key.revoke("old")
        self.assertEqual(self._states(child, grandchild), ["active", "pending"])

    def test_key_that_ended_already(self):
        """The thief was first: the stolen key was replaced before anybody revoked it."""
        new = self._fetch(used_from=ELSEWHERE)
        self.key._end("superseded", False)
        self.key.revoke("stolen")
        self.assertEqual(self._states(self.key, new), ["superseded", "revoked"])

    def test_removed_in_the_preferences(self):
        """Odoo's own button to remove a key revokes the same keys."""
        new = self._fetch(used_from=ELSEWHERE)
        self.key.sudo().apikey_id.unlink()
        self.assertEqual(self._states(self.key, new), ["revoked", "revoked"])
        self.assertFalse(new.apikey_id.exists())

    def test_key_that_ends_during_the_call_obtains_nothing(self):
        self.key._end("revoked", "stolen")
        with self.assertRaisesRegex(AccessError, "no longer works"):
            self._call("_hold_calling_key", user_ids=[self.key.user_id.id])

    def test_dialog_lists_the_keys_and_preselects_them_by_the_rule(self):
        own = self._fetch(used_from=HOME)
        foreign = self._fetch(own, used_from=ELSEWHERE)
        unused = self._fetch(foreign)
        dialog = self._dialog(self.key)
        self.assertEqual(
            {line.key_id: line.revoke for line in dialog.obtained_ids},
            {own: False, foreign: False, unused: False})
        dialog = self._dialog(own)
        self.assertEqual(
            {line.key_id: (line.revoke, line.last_used_address) for line in dialog.obtained_ids},
            {foreign: (True, ELSEWHERE), unused: (True, False)})

    def test_person_decides(self):
        own = self._fetch(used_from=HOME)
        unused, other = self._fetch(own), self._fetch(own)
        dialog = self._dialog(own)
        dialog.obtained_ids.filtered(lambda line: line.key_id == unused).revoke = False
        later = self._fetch(own)  # after the dialog was opened
        dialog.action_revoke()
        self.assertEqual(
            self._states(own, unused, other, later), ["revoked", "pending", "revoked", "revoked"])

    def test_person_revokes_what_the_rule_keeps(self):
        own = self._fetch(used_from=HOME)
        dialog = self._dialog(self.key)
        self.assertFalse(dialog.obtained_ids.revoke)
        dialog.obtained_ids.revoke = True
        dialog.action_revoke()
        self.assertEqual(self._states(self.key, own), ["revoked", "revoked"])

    def test_dialog_revokes_no_other_key(self):
        """A key that was not obtained with the revoked one cannot be put into the dialog."""
        foreign = self._issue(self.foreign)[1]
        own = self._fetch()
        dialog = self._dialog(self.key)
        dialog.obtained_ids.sudo().key_id = foreign
        dialog.sudo().action_revoke()
        self.assertEqual(self._states(own, foreign), ["revoked", "pending"])
