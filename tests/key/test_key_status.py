from odoo.tests import tagged

from ...tools.key import native_scope
from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestKeyStatus(IntegrationCommon):
    """A key that is rejected for another reason than its end is shown as blocked."""

    def setUp(self):
        super().setUp()
        self.secret, self.key = self._issue(self.integration)

    def _status(self, user=None):
        self.env.flush_all()
        key = self.key.with_user(user or self.owner)
        key.invalidate_recordset()
        found = self.env["auth.integration.key"].search([("status", "=", "blocked")])
        self.assertEqual(self.key in found, key.status == "blocked")
        same = self.env["auth.integration.key"].search([("status", "=", key.status)])
        self.assertIn(self.key, same)
        return key.status, key.blocked_reason

    def test_a_good_key_has_its_state(self):
        self.assertEqual(self._status(), ("pending", False))

    def test_archived_user(self):
        self.integration.user_id.action_archive()
        status, reason = self._status()
        self.assertEqual((self.key.state, status), ("pending", "blocked"))
        self.assertIn("shop is archived", reason)
        self.assertIsNone(self._check(self.secret))

    def test_archived_integration(self):
        self.integration.user_id.active = True
        self.env.cr.execute(
            "UPDATE auth_integration SET active = FALSE WHERE id = %s", [self.integration.id]
        )
        self.env.invalidate_all()
        status, reason = self._status(self.manager)
        self.assertEqual(status, "blocked")
        self.assertIn("integration is archived", reason)
        self.assertIsNone(self._check(self.secret))

    def test_scope_that_is_not_known(self):
        self.key.scope = native_scope.RESTRICTED
        self.assertEqual(self._status()[0], "blocked")

    def test_an_ended_key_has_its_end(self):
        self.integration.user_id.action_archive()
        self.key.revoke("lost")
        self.assertEqual(self._status(), ("revoked", False))
