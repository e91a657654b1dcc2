"""What the dialogs that create and show a key say beside it."""

from datetime import timedelta

from odoo import fields
from odoo.tests import tagged

from ..common import IntegrationCommon

SHOWN = (
    "login", "replaced_login", "replace_by", "works_until", "overlap_days", "networks",
)


@tagged("post_install", "-at_install")
class TestKeyDialogs(IntegrationCommon):
    def _shown(self, secret, user=None, integration=None):
        """What the dialog of a new key gives the web client."""
        dialogs = self.env["res.users.apikeys.show"].with_user(user or self.owner).with_context(
            default_key=secret, auth_integration_id=(integration or self.integration).id
        )
        return dialogs.onchange({}, [], {name: {} for name in SHOWN})["value"]

    def _wizard(self, key=None, **values):
        action = self.integration.with_user(self.owner)._action_issue_key(key)
        wizards = self.env["auth.integration.issue"].with_user(self.owner)
        return wizards.with_context(**action["context"]).create(values)

    def test_login_and_dates_come_with_the_key(self):
        secret, key = self._issue(self.integration)
        shown = self._shown(secret)
        self.assertEqual(shown["login"], "shop")
        self.assertFalse(shown["replaced_login"] or shown["overlap_days"] or shown["networks"])
        self.assertEqual(shown["replace_by"], key.replace_by)
        self.assertEqual(shown["works_until"], key.effective_end)
        self.assertFalse(self._shown(secret, self.stranger)["login"])

    def test_a_rotation_warns_that_the_test_counts(self):
        _secret, key = self._issue(self.integration)
        key.with_user(self.owner).action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", key.id)])
        secret, _new = rotation.with_user(self.owner)._claim()
        shown = self._shown(secret)
        self.assertEqual(shown["overlap_days"], self.integration.policy_id.overlap_days)
        self.assertFalse(shown["replaced_login"])

    def test_the_networks_that_a_test_must_come_from(self):
        secret, key = self._issue(self.integration)
        self.integration.allowed_networks = "203.0.113.0/24\n192.0.2.7"
        self.assertEqual(self._shown(secret)["networks"], "203.0.113.0/24, 192.0.2.7/32")
        self._move(key, allowed_networks="203.0.113.8")
        self.assertEqual(self._shown(secret)["networks"], "203.0.113.8/32")

    def test_dates_are_known_before(self):
        wizard = self._wizard()
        policy = self.integration.policy_id
        replace_by = fields.Datetime.now() + timedelta(days=policy.max_age_days)
        self.assertAlmostEqual(wizard.replace_by, replace_by, delta=timedelta(minutes=5))
        self.assertEqual(
            wizard.works_until - wizard.replace_by, timedelta(days=policy.max_extension_days)
        )
        wizard.expires_at = chosen = fields.Datetime.now() + timedelta(days=3)
        self.assertEqual((wizard.replace_by, wizard.works_until), (chosen, chosen))
        wizard.expires_at = fields.Datetime.now() - timedelta(days=3)
        self.assertFalse(wizard.replace_by or wizard.works_until, "that is not allowed")

    def test_a_key_instead_of_an_expired_one_is_like_it(self):
        _secret, old = self._issue(self.integration, name="Store receipts")
        old._set_access(
            "listed", "report", [["res.partner", "read"]], networks="203.0.113.0/24", reason="x"
        )
        self._move(old, expires_at=fields.Datetime.now() - timedelta(hours=1))
        wizard = self._wizard(old)
        self.assertEqual(
            (wizard.name, wizard.access, wizard.operations),
            ("Store receipts", "listed", "res.partner.read"),
        )
        issued = self.integration.with_user(self.owner)._issue_key(
            wizard.name, False, wizard.access, wizard._listed_operations()
        )
        wizard._keep_rules_of_like_key(issued["prefix"])
        new = self.integration.key_ids.filtered(lambda key: key.prefix == issued["prefix"])
        self.assertEqual(
            (new.access, new.access_mode, new.allowed_networks),
            ("listed", "report", "203.0.113.0/24"),
        )

    def test_a_key_of_another_integration_lends_nothing(self):
        _secret, other = self._issue(self.foreign, name="secret plans")
        wizard = self._wizard(other)
        self.assertFalse(wizard.like_key_id)
        self.assertEqual(wizard.name, "Shop")
