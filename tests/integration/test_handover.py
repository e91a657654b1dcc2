from odoo.exceptions import AccessError
from odoo.tests import Form, new_test_user, tagged

from ..common import MANAGER, IntegrationCommon


@tagged("post_install", "-at_install")
class TestHandover(IntegrationCommon):
    """Whoever archives an owner chooses the new owner of the integrations."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.administrator = new_test_user(cls.env, "ada", f"{MANAGER},base.group_erp_manager")
        cls.shared = cls._create_integration("shared", cls.owner | cls.stranger)

    def _dialog(self, users, user=None):
        return (
            self.env["auth.integration.handover"]
            .with_user(user or self.administrator)
            .create({"user_ids": users.ids})
        )

    def test_asked_for_the_only_active_owner(self):
        self.assertTrue(self.owner.needs_handover)
        self.integration.owner_ids |= self.stranger
        self.env.invalidate_all()
        self.assertFalse(self.owner.needs_handover)
        self.stranger.active = False
        self.env.invalidate_all()
        self.assertTrue(self.owner.needs_handover)
        self.assertFalse(self.manager.needs_handover)

    def test_hands_over_and_archives(self):
        wizard = self._dialog(self.owner)
        self.assertEqual(wizard.integration_ids.ids, self.integration.ids)
        with Form(wizard) as form:
            form.owner_id = self.manager
        wizard.action_hand_over()
        self.assertFalse(self.owner.active)
        self.assertEqual(self.integration.owner_ids.filtered("active"), self.manager)
        self.assertEqual(self.shared.owner_ids.filtered("active"), self.stranger)
        self.assertIn("Mona Manager is the owner now", self.integration.message_ids[:1].body)
        self.assertTrue(self.manager.has_group("auth_integration.auth_integration_group_owner"))

    def test_two_at_once(self):
        both = self.owner | self.stranger
        wizard = self._dialog(both)
        self.assertEqual(
            wizard.integration_ids.sudo(), self.integration | self.foreign | self.shared
        )
        wizard.owner_id = self.manager
        wizard.action_hand_over()
        self.assertFalse(any(both.mapped("active")))
        self.assertIn(self.manager, self.shared.owner_ids)

    def test_archives_without_a_new_owner(self):
        self._dialog(self.owner).action_archive_only()
        self.assertFalse(self.owner.active)
        self.env.flush_all()
        findings = self.env["auth.integration.finding"].search(
            [("integration_id", "=", self.integration.id), ("code", "=", "owner_archived")]
        )
        self.assertTrue(findings)

    def test_gives_no_rights(self):
        """Archiving a user needs Access Rights, and changing owners an integration manager."""
        for user in (self.owner, self.stranger):
            with self.assertRaises(AccessError):
                self._dialog(self.owner, user)
        wizard = self._dialog(self.owner, self.manager)
        wizard.owner_id = self.manager
        with self.assertRaises(AccessError):
            wizard.action_hand_over()
        self.assertTrue(self.owner.active)

    def test_other_callers_archive_as_ever(self):
        self.owner.with_user(self.administrator).action_archive()
        self.assertFalse(self.owner.active)
