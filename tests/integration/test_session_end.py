from unittest.mock import patch

from odoo.tests import new_test_user, tagged

from ...tools.hook_queries import TableLockedError
from ..common import OWNER, IntegrationCommon

SID = "s" * 84


@tagged("post_install", "-at_install")
class TestSessionEnd(IntegrationCommon):
    """A session of a user who became an integration user."""

    def setUp(self):
        super().setUp()
        self.person = new_test_user(self.env, "person", OWNER, password="a password of hers")
        self.env.registry.clear_cache()
        self.before = self.person._compute_session_token(SID)
        self._create_integration("person", self.owner, user_id=self.person.id)

    def test_ended_again_once_our_part_can_be_read(self):
        """While the add-on's tables are locked, Odoo decides alone, and nothing of that is kept."""
        hook = "_session_token_of_integration"
        with (
            patch.object(self.registry["res.users"], hook, side_effect=TableLockedError),
            self.assertLogs("odoo.addons.auth_integration.tools.fallback", "WARNING"),
        ):
            self.assertEqual(self.person._compute_session_token(SID), self.before)
        self.assertNotEqual(self.person._compute_session_token(SID), self.before)
