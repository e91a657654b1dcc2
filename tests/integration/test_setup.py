from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError
from odoo.fields import Command
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestSetup(IntegrationCommon):
    """The remaining steps for a new integration: access rights, a key, a first call."""

    def _refresh(self):
        self.env.flush_all()
        self.env.invalidate_all()

    def _steps(self):
        self._refresh()
        integration = self.integration.with_user(self.owner)
        self.assertTrue(integration.is_setting_up)
        return (
            integration.has_access_rights,
            bool(integration.live_key_count),
            not integration.is_never_called,
        )

    def test_step_by_step(self):
        self.assertEqual(self._steps(), (False, False, False))
        app = self.env["res.groups.privilege"].create({"name": "An App"})
        group = self.env["res.groups"].create({"name": "Its Users", "privilege_id": app.id})
        self.integration.user_id.group_ids = [Command.link(group.id)]
        self.assertEqual(self._steps(), (True, False, False))
        _secret, key = self._issue(self.integration)
        self.assertEqual(self._steps(), (True, True, False))
        now = fields.Datetime.now()
        key.sudo().first_used_at = now
        self.assertEqual(self._steps(), (True, True, True))
        self.assertEqual(self.integration.first_call_at, now)
        key.sudo().first_used_at = now - timedelta(hours=2)
        self._refresh()
        self.assertFalse(self.integration.is_setting_up, "that was long enough to be seen")

    def test_an_archived_user_is_not_set_up_but_restored(self):
        self.integration.user_id.active = False
        self._refresh()
        self.assertFalse(self.integration.is_setting_up)

    def test_access_rights_open_the_form_with_groups(self):
        action = self.integration.with_user(self.system).action_set_access_rights()
        [(view, mode)] = action["views"]
        self.assertEqual((mode, action["res_id"]), ("form", self.integration.user_id.id))
        users = self.env["res.users"].with_user(self.system)
        arch = etree.fromstring(users.get_view(view, "form")["arch"])
        self.assertTrue(arch.xpath("//field[@name='group_ids']"))
        for user in (self.owner, self.manager):
            with self.assertRaises(AccessError):
                self.integration.with_user(user).action_set_access_rights()

    def test_owners_ask_for_access_rights(self):
        integration = self.integration.with_user(self.owner)
        self.assertFalse(integration.rights_were_requested)
        integration.action_request_access_rights()
        self.assertTrue(integration.rights_were_requested)
        activities = self.integration.activity_ids
        self.assertIn(self.manager, activities.user_id)
        self.assertIn("needs access rights", activities[0].note)
        with self.assertRaises(AccessError):
            self.integration.with_user(self.stranger).action_request_access_rights()

    def test_the_apps_are_named(self):
        group = self.env.ref("base.group_partner_manager")
        self.integration.user_id.group_ids += group
        self._refresh()
        self.assertEqual(self.integration.accessible_apps, group.privilege_id.name)

    def _buttons(self, user, kind="btn-primary", **state):
        """Return the form's primary buttons that a user sees, in the order of the page."""
        arch = etree.fromstring(
            self.env["auth.integration"].with_user(user).get_view(view_type="form")["arch"]
        )
        values = {
            "id": 1, "active": True, "user_active": True, "has_key_to_claim": False,
            "is_setting_up": True, "is_never_called": True, "has_access_rights": False,
            "live_key_count": 0, "last_failure": False, "last_success": False,
            "first_call_command": "curl", "main_finding_ids": [], "finding_count": 0,
            "environment": "production", "next_step": False, "more_finding_count": 0,
            "box_fix": False, "networks_warning": False,
            "rights_were_requested": False,
        } | state

        def shown(node):
            return not any(
                safe_eval(one.get("invisible", "False"), values)
                for one in (node, *node.iterancestors())
            )

        buttons = arch.xpath("//header//button | //div[@name='setup']//button")
        return [b.get("name") for b in buttons if kind in b.get("class", "") and shown(b)]

    def test_a_key_to_claim_is_the_only_new_key(self):
        state = {"is_setting_up": False, "live_key_count": 1}
        buttons = self._buttons(self.owner, "", next_step="claim", **state)
        self.assertEqual(buttons[0], "action_claim_key")
        self.assertNotIn("action_issue_key", buttons)
        self.assertIn("action_issue_key", self._buttons(self.owner, "", **state))

    def test_there_is_one_thing_to_do_next(self):
        for user, state, first in (
            (self.system, {}, "action_set_access_rights"),
            (self.system, {"has_access_rights": True}, "action_issue_key"),
            (self.owner, {}, "action_issue_key"),
            (self.owner, {"has_access_rights": True}, "action_issue_key"),
            (self.owner, {"live_key_count": 1}, None),
            (self.system, {"live_key_count": 1}, None),
            (self.owner, {"live_key_count": 1, "last_failure": "2026-01-01"},
             "action_view_attempts"),
            (self.owner, {"live_key_count": 1, "is_never_called": False}, None),
            (self.owner, {"live_key_count": 1, "is_never_called": False, "is_setting_up": False},
             None),
            (self.owner, {"is_setting_up": False, "next_step": "issue_key"}, "action_issue_key"),
        ):
            with self.subTest(user=user.login, **state):
                self.assertEqual(self._buttons(user, **state), [first] if first else [])

    def test_the_new_key_comes_with_a_command(self):
        """Only the dialog shows it, and only to users who may read the integration."""
        dialogs = self.env["res.users.apikeys.show"].with_context(
            auth_integration_id=self.integration.id
        )
        secret = "0123456789abcdef0123456789abcdef01234567"
        for user, shown in ((self.owner, True), (self.stranger, False)):
            opened = dialogs.with_user(user).with_context(default_key=secret).onchange(
                {}, [], {"key": {}, "first_call_command": {}}
            )["value"]
            self.assertEqual(opened["key"], secret)
            self.assertEqual(secret in (opened["first_call_command"] or ""), shown, user.login)
        command = self.integration.first_call_command
        self.assertIn("$ODOO_KEY", command)
        self.assertIn(self.env.cr.dbname, command)
        self.assertIn(self.integration.get_base_url(), command)
        self.integration.allowed_channels = "http"
        self.assertFalse(self.integration.first_call_command, "there is no route all have")
