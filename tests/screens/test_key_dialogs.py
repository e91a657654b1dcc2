"""The texts of the dialogs that create and show a key."""

from datetime import datetime, time, timedelta

from freezegun import freeze_time
from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from ..common import IntegrationCommon

SHOWN = (
    "login", "replaced_login", "replace_by", "works_until", "old_key_text", "networks",
)


@tagged("post_install", "-at_install")
class TestKeyDialogs(IntegrationCommon):
    def _shown(self, secret, user=None, integration=None):
        """Return what the dialog of a new key sends to the web client."""
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
        self.assertFalse(shown["replaced_login"] or shown["old_key_text"] or shown["networks"])
        self.assertEqual(shown["replace_by"], key.replace_by)
        self.assertEqual(shown["works_until"], key.effective_end)
        self.assertFalse(self._shown(secret, self.stranger)["login"])

    def test_a_rotation_warns_that_the_test_counts(self):
        _secret, key = self._issue(self.integration)
        key.with_user(self.owner).action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", key.id)])
        secret, _new = rotation.with_user(self.owner)._claim()
        shown = self._shown(secret)
        self.assertRegex(shown["old_key_text"], r"until 7 days after .*, at the latest until \w")
        self.assertFalse(shown["replaced_login"])
        dialog = self.env["auth.integration.claim"].with_user(self.owner).create(
            {"rotation_id": rotation.id}
        )
        self.assertEqual(dialog.old_key_text, shown["old_key_text"])
        self.assertEqual(rotation.old_key_text, shown["old_key_text"])
        with self.assertRaises(AccessError):
            self.env["auth.integration.claim"].with_user(self.stranger).create(
                {"rotation_id": rotation.id}
            )

    def test_a_key_that_stops_before_the_overlap_is_over(self):
        _secret, key = self._issue(self.integration)
        end = datetime.combine(fields.Date.today() + timedelta(days=30), time.min)
        self._move(key, replace_by=end, expires_at=end)
        policy, day = self.integration.policy_id, f"{end:%b} {end.day}, {end.year}"
        text = key.with_context(tz="UTC")._replacement_text(policy)
        self.assertIn(f"at the latest until {day}.", text)
        with freeze_time(end - timedelta(days=policy.overlap_days)):
            text = key.with_context(tz="Africa/Lagos")._replacement_text(policy)
            self.assertRegex(text, rf"{key.prefix}… stops on {day}, 1:00\sAM\. Install")
            text = key._replacement_text(policy, "UTC")
            self.assertRegex(text, rf"stops on {day}, 12:00\sAM \(UTC\)")

    def test_the_networks_that_a_test_must_come_from(self):
        secret, key = self._issue(self.integration)
        self.integration.allowed_networks = "203.0.113.0/24\n192.0.2.7"
        self.assertEqual(self._shown(secret)["networks"], "203.0.113.0/24, 192.0.2.7")
        self._move(key, allowed_networks="203.0.113.8")
        self.assertEqual(self._shown(secret)["networks"], "203.0.113.8")

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

    def _validity(self, model, view, **values):
        """Return the fields that a dialog shows about the dates of a key."""
        arch = self.env[model].get_view(self.env.ref(f"auth_integration.{view}").id)["arch"]
        return [
            node.get("name")
            for node in etree.fromstring(arch).xpath("//field[@name='replace_by'][@class]"
                                                     "| //field[@name='works_until'][@class]")
            if not any(
                safe_eval(one.get("invisible", "False"), {"login": "shop", **values})
                for one in (node, *node.iterancestors())
            )
        ]

    def test_one_date_is_said_once(self):
        for model, view in (
            ("auth.integration.issue", "auth_integration_issue_view_form"),
            ("res.users.apikeys.show", "auth_integration_show_key_view_form"),
        ):
            with self.subTest(view=view):
                one = {"replace_by": "2030-01-01", "works_until": "2030-01-01"}
                self.assertEqual(self._validity(model, view, **one), ["works_until"])
                two = one | {"works_until": "2030-01-08"}
                self.assertEqual(
                    self._validity(model, view, **two), ["replace_by", "works_until"]
                )

    def test_another_key_instead_of_one_that_was_not_copied(self):
        _secret, key = self._issue(self.integration, name="Store receipts")
        action = key.with_user(self.owner).action_issue_another()
        self.assertEqual(action["res_model"], "auth.integration.issue")
        self.assertEqual(action["context"]["default_like_key_id"], key.id)

    def test_another_key_of_a_rotation_is_claimed(self):
        _secret, key = self._issue(self.integration)
        key.with_user(self.owner).action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", key.id)])
        _secret, new = rotation.with_user(self.owner)._claim()
        action = new.with_user(self.owner).action_issue_another()
        self.assertEqual(action["context"]["default_rotation_id"], rotation.id)

    def _alternative(self, keys):
        dialogs = self.env["auth.integration.revoke"].with_user(self.owner)
        dialogs = dialogs.with_context(active_ids=keys.ids, tz="UTC")
        return dialogs.create({"reason": "x"}).alternative

    def test_one_key_is_revoked_by_its_name(self):
        _secret, key = self._issue(self.integration)
        _secret, other = self._issue(self.integration)
        dialogs = self.env["auth.integration.revoke"].with_user(self.owner)
        for keys, names in ((key, ["Revoke Key"]), (key + other, ["Revoke Keys"])):
            dialog = dialogs.create({"key_ids": keys.ids, "reason": "x"})
            arch = etree.fromstring(dialog.get_view(view_type="form")["arch"])
            buttons = [
                button.get("string") for button in arch.iterfind(".//button[@name='action_revoke']")
                if not safe_eval(button.get("invisible"), {"key_count": dialog.key_count})
            ]
            self.assertEqual(buttons, names)

    def test_a_key_that_is_being_replaced_is_not_to_be_rotated(self):
        _secret, key = self._issue(self.integration)
        self.assertIn("rotate it instead", self._alternative(key))
        _secret, other = self._issue(self.integration)
        for one, end in ((key, "2040-03-04 05:06:07"), (other, "2041-03-04 05:06:07")):
            self._move(one, retire_at=end, expires_at="2042-01-01", first_used_at="2026-01-01")
        self.assertRegex(self._alternative(key), r"by itself on Mar 4, 2040, 5:06\sAM\.")
        self.assertRegex(self._alternative(key + other), r"by itself on Mar 4, 2041, 5:06\sAM\.")
        _secret, third = self._issue(self.integration)
        self.assertIn("rotate it instead", self._alternative(key + third))
        third.revoke("gone")
        self.assertFalse(self._alternative(third))
