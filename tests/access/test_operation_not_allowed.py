from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ..common import IntegrationCommon
from ..explanation.test_attempt_explanation import TestAttemptExplanation as _Explanation

READ = ("res.partner", "search_read")


@tagged("post_install", "-at_install")
class TestOperationNotAllowed(IntegrationCommon):
    """A rejected call shows the operation and the key's access, and a button allows it."""

    _fixes = _Explanation._fixes

    def setUp(self):
        super().setUp()
        _secret, self.key = self._issue(self.integration)
        self.key.set_access("listed", operations=[READ], reason="x")

    def _rejected(self, operation="res.partner.create", reader=None):
        return _Explanation._attempt(
            self, "operation_not_allowed", reader=reader, key_id=self.key.id, operation=operation,
            attribution="key",
        )

    def _allowed(self):
        return self.key._current_access().operations

    def test_it_says_what_was_called(self):
        text = self._rejected().case_explanation
        self.assertIn("called res.partner.create. Its access: 1 operation.", text)

    def test_the_owner_allows_it(self):
        attempt = self._rejected(reader=self.owner)
        self.assertEqual(
            self._fixes(attempt), {"allow_operation", "change_access", "open", "revoke"}
        )
        attempt.action_fix_allow_operation()
        self.assertEqual(self._allowed(), {READ, ("res.partner", "create")})
        self.assertIn("ref-operation_not_allowed", self.key.history)
        attempt.invalidate_recordset()
        self.assertNotIn("allow_operation", self._fixes(attempt))
        self.assertIn("is now allowed", attempt.resolution)
        with self.assertRaises(UserError):
            attempt.action_fix_allow_operation()

    def test_a_route_is_allowed_too(self):
        self._rejected("/json/1/<path:subpath>").action_fix_allow_operation()
        self.assertIn(("http", "/json/1/<path:subpath>"), self._allowed())

    def test_one_that_may_only_read_is_changed_in_the_dialog(self):
        self.key.set_access("read_only", reason="x")
        attempt = self._rejected(reader=self.owner)
        self.assertNotIn("allow_operation", self._fixes(attempt))
        action = attempt.action_fix_change_access()
        self.assertEqual(action["res_model"], "auth.integration.access")
        with self.assertRaises(UserError):
            attempt.action_fix_allow_operation()

    def test_others_may_not(self):
        with self.assertRaises(AccessError):
            self._rejected(reader=self.stranger).action_fix_allow_operation()
        self.integration.user_id.group_ids |= self.env.ref("base.group_system")
        attempt = self._rejected(reader=self.owner)
        self.assertFalse({"allow_operation", "change_access"} & self._fixes(attempt))
        with self.assertRaises(AccessError):
            attempt.action_fix_allow_operation()
        self.assertEqual(self._allowed(), {READ})
