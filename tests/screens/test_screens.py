from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.exceptions import UserError
from odoo.fields import Command, Domain
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools.safe_eval import safe_eval

from ..common import IntegrationCommon

ACTIONS = (
    "auth_integration_action",
    "auth_integration_finding_action",
    "auth_integration_key_action",
    "auth_integration_rotation_action",
    "auth_attempt_action",
    "auth_attempt_report_action",
    "auth_attempt_hours_action",
    "auth_integration_policy_action",
    "auth_integration_diagnosis_action",
)


@tagged("post_install", "-at_install")
class TestScreens(IntegrationCommon):
    """Everything that a screen offers works on the server: views, filters, groups."""

    def _screens(self, user):
        """Yield the model and the search view of each action, as a user gets it."""
        for name in ACTIONS:
            with self.subTest(action=name, user=user.login):
                action = self.env.ref(f"auth_integration.{name}")
                model = self.env[action.res_model].with_user(user)
                views = [(False, mode) for mode in action.view_mode.split(",")]
                archs = model.get_views([*views, (action.search_view_id.id, "search")])["views"]
                yield model, etree.fromstring(archs["search"]["arch"])

    def test_each_filter_finds(self):
        for user in (self.manager, self.owner):
            for model, search in self._screens(user):
                for node in search.iterfind(".//filter[@domain]"):
                    with self.subTest(model=model._name, filter=node.get("name")):
                        model.search(safe_eval(node.get("domain"), {"uid": user.id}), limit=5)

    def _shown_first(self, action, user):
        """Return the records that an action shows first, by its domain and default filters."""
        model = self.env[action["res_model"]].with_user(user)
        search = etree.fromstring(
            model.get_view((action["search_view_id"] or [False])[0], "search")["arch"]
        )
        domain = Domain(action["domain"])
        for name in action["context"]:
            [node] = search.xpath(f"//filter[@name='{name.removeprefix('search_default_')}']")
            domain &= Domain(safe_eval(node.get("domain")))
        return model.search(domain)

    def test_a_count_and_its_list_agree(self):
        integration = self.integration.with_user(self.owner).with_context(tz="UTC")
        now = fields.Datetime.now()
        columns = dict.fromkeys(
            ("cause", "auth_type", "login", "user_id", "attribution", "key_id", "remote_addr",
             "user_agent", "reference")
        ) | {
            "channel": "json2", "database": self.env.cr.dbname,
            "integration_id": self.integration.id,
        }
        for days, outcome, count in ((0, "success", 3), (0, "failure", 5), (6, "failure", 2),
                                     (7, "failure", 9)):
            when = now - timedelta(days=days)
            cause = "key_unknown" if outcome == "failure" else None
            self.env["auth.attempt"]._upsert(
                columns | {"outcome": outcome, "cause": cause}, count, when, when
            )
        self.env.invalidate_all()
        shown = self._shown_first(integration.action_view_attempts(), self.owner)
        self.assertEqual(sum(shown.mapped("count")), 7)
        self.assertEqual(integration.attempt_failure_count, 7)

        for cancelled in (True, False):
            _secret, key = self._issue(self.integration)
            key.action_rotate_now()
            if cancelled:
                self.env["auth.integration.rotation"].search(
                    [("old_key_id", "=", key.id)]
                ).action_cancel()
        self.env.invalidate_all()
        shown = self._shown_first(integration.action_view_rotations(), self.owner)
        self.assertEqual(len(shown), integration.open_rotation_count)
        self.assertEqual(len(shown), 1)

    def test_each_group_counts(self):
        for user in (self.manager, self.owner):
            for model, search in self._screens(user):
                for node in search.iterfind(".//filter[@context]"):
                    with self.subTest(model=model._name, filter=node.get("name")):
                        group = safe_eval(node.get("context"))["group_by"]
                        groups = model.formatted_read_group([], [group], ["__count"])
                        counted = sum(line["__count"] for line in groups)
                        # A record with two owners is in two groups.
                        self.assertGreaterEqual(counted, model.search_count([]))

    def test_the_activity_menu_finds_its_filters(self):
        """It uses their names, and shows all records if a view has none with that name."""
        arch = self.env["auth.integration"].get_view(view_type="search")["arch"]
        names = etree.fromstring(arch).xpath("//filter/@name")
        for name in ("filter_activities_my", "activities_overdue", "activities_today",
                     "activities_upcoming_all"):
            self.assertIn(name, names)

    def test_owners_are_not_offered_what_they_may_not_do(self):
        """No input hints in read-only fields, and no link to the form of a user."""
        integrations = self.env["auth.integration"]
        for user, is_manager in ((self.manager, True), (self.owner, False)):
            arch = integrations.with_user(user).get_view(view_type="form")["arch"]
            self.assertEqual("One IP address or CIDR range per line" in arch, is_manager)
            self.assertEqual("Any address" in arch, not is_manager)
            self.assertEqual("Shorten Existing Keys" in self.env["auth.integration.policy"]
                             .with_user(user).get_view(view_type="form")["arch"], is_manager)
            [link] = etree.fromstring(arch).xpath("//field[@name='user_id'][@domain]")
            self.assertIn("'no_open': True", link.get("options"), user.login)
        shown = self.integration.with_user(self.owner)
        self.assertEqual(shown.allowed_protocols, "All protocols")
        self.integration.allowed_channels = "json2,xmlrpc"
        self.assertEqual(shown.allowed_protocols, "XML-RPC, JSON-2")
        arch = integrations.with_user(self.system).get_view(view_type="form")["arch"]
        [link] = etree.fromstring(arch).xpath("//field[@name='user_id'][@domain]")
        self.assertNotIn("no_open", link.get("options"))

    def test_an_empty_search_claims_nothing(self):
        """Odoo shows the same text when there are no records and when a search finds none."""
        for name in ACTIONS:
            with self.subTest(action=name):
                action = self.env.ref(f"auth_integration.{name}")
                text = etree.fromstring(f"<div>{action.help}</div>")
                self.assertRegex(text.findtext("p"), r"(No|Nothing) .*found$|^Nothing found$")

    def test_each_action_has_its_button(self):
        """An action without a button would never be found."""
        views = self.env["ir.ui.view"].search([("key", "=", False)])
        ours = views.filtered(lambda view: view.xml_id.startswith("auth_integration."))
        offered = set()
        for arch in ours.mapped("arch_db"):
            offered |= set(etree.fromstring(arch).xpath("//button/@name"))
        for model in self.env.values():
            if not model._name.startswith(("auth.integration", "auth.attempt")):
                continue
            actions = {
                name
                for class_ in type(model).mro()
                if class_.__module__.startswith("odoo.addons.auth_integration")
                for name in vars(class_)
                if name.startswith("action_")
            }
            with self.subTest(model=model._name):
                # Programs call these; users click action_rotate and action_ask_add_network, which
                # call them.
                called = {"action_rotate_now", "action_fix_add_network"}
                self.assertLessEqual(actions - called, offered)

    def _shown(self, button, **values):
        return not safe_eval(button.get("invisible", "False"), values)

    def test_the_form_has_one_thing_to_do_first(self):
        """In every state of an integration, at most one button is primary."""
        form = self.env["auth.integration"].with_user(self.owner).get_view(view_type="form")
        header = etree.fromstring(form["arch"]).xpath("//header//button[hasclass('btn-primary')]")
        for values, first in (
            ({}, None),
            ({"next_step": "issue_key"}, "action_issue_key"),
            ({"next_step": "claim"}, "action_claim_key"),
            ({"next_step": "issue_key", "box_fix": "issue_key"}, None),
            ({"next_step": "claim", "box_fix": "claim"}, None),
            ({"next_step": "restore_user"}, None),
        ):
            state = {"id": 1, "active": True, "user_active": True, "next_step": False,
                     "box_fix": False, "is_setting_up": False, "live_key_count": 1}
            shown = [b.get("name") for b in header if self._shown(b, **(state | values))]
            self.assertEqual(shown, [first] if first else [], values)
        form = self.env["auth.integration"].with_user(self.system).get_view(view_type="form")
        [restore] = etree.fromstring(form["arch"]).xpath(
            "//header//button[@name='action_restore_user']"
        )
        self.assertTrue(self._shown(restore, next_step="restore_user", box_fix=False))
        self.assertFalse(self._shown(restore, next_step="restore_user", box_fix="restore_user"))
        boxes = self.env.ref("auth_integration.auth_integration_finding_view_kanban").arch_db
        primary = etree.fromstring(boxes).xpath("//button[hasclass('btn-primary')]")
        self.assertEqual(len(primary), 6)
        for button in primary:
            self.assertIn("not is_next_step", button.get("invisible"))

    def test_what_fixes_an_attempt_is_its_first_button(self):
        """Whatever the reader may do: nothing of less use comes before it in the row."""
        arch = self.env["auth.attempt"].with_user(self.owner).get_view(view_type="form")["arch"]
        alert = "//div[hasclass('alert-warning')]//div[hasclass('d-flex')]/button"
        kinds = ["btn-primary" in b.get("class") for b in etree.fromstring(arch).xpath(alert)]
        self.assertEqual(kinds, sorted(kinds, reverse=True))
        self.assertTrue(etree.fromstring(arch).xpath(
            "//widget[@name='auth_integration_form_focus']"), "the keyboard begins at them")

    def test_the_card_says_that_keys_are_refused(self):
        arch = self.env["auth.integration"].get_view(view_type="kanban")["arch"]
        [refused] = etree.fromstring(arch).xpath("//span[contains(., 'rejected')]")
        self.assertIn("user_active", refused.get("t-elif"))
        following = [node.get("t-elif") or "else" for node in refused.itersiblings()]
        self.assertIn("else", following, "only then it counts live keys")

    def test_owner_claims_from_the_integration(self):
        """The mail leads to the integration's form, whose first button claims the key."""
        integration = self.integration.with_user(self.owner)
        self.assertFalse(integration.has_key_to_claim)
        with self.assertRaises(UserError):
            integration.action_claim_key()
        keys = [self._issue(self.integration)[1] for _number in range(2)]
        now = fields.Datetime.now()
        # Before the end in Odoo's own table, which also counts.
        for key, days in zip(keys, (20, 10), strict=True):
            end = now + timedelta(days=days)
            self._move(key, replace_by=end, expires_at=end, first_used_at=now)
            key.action_rotate_now()
        integration.invalidate_recordset()
        self.assertTrue(integration.has_key_to_claim)
        rotations = self.env["auth.integration.rotation"]
        for key in reversed(keys):  # the first to end comes first
            action = integration.action_claim_key()
            rotation = rotations.browse(action["context"]["default_rotation_id"])
            self.assertEqual(rotation.old_key_id, key)
            rotation.with_user(self.owner)._claim()
        integration.invalidate_recordset()
        self.assertFalse(integration.has_key_to_claim)

    def test_owner_gets_no_policy_menu_and_no_settings(self):
        visible = self.env["ir.ui.menu"].with_user(self.owner).load_menus(False)
        root = self.env.ref("auth_integration.auth_integration_menu_root")
        self.assertIn(root.id, visible)
        self.assertNotIn(self.env.ref("base.menu_administration").id, visible)
        for name in ("settings", "settings_policies"):
            menu = self.env.ref(f"auth_integration.auth_integration_menu_{name}")
            self.assertNotIn(menu.id, visible)

    def test_users_with_live_keys_are_found(self):
        users = self.env["res.users"].with_user(self.system).with_context(active_test=False)
        self._issue(self.integration)
        technical = self.integration.user_id.with_user(self.system)
        self.assertEqual(technical.api_key_flag, "live")
        self.assertIn(technical, users.search([("has_live_api_key", "=", True)]))
        self.assertIn(self.foreign.user_id, users.search([("has_live_api_key", "=", False)]))
        technical.active = False
        self.assertEqual(technical.api_key_flag, "refused")
        archived = [("active", "=", False), ("has_live_api_key", "=", True)]
        self.assertIn(technical, users.search(archived))

    def test_user_reads_his_own_keys(self):
        fields = ["name", "api_key_record_ids"]
        self.assertFalse(self.stranger.with_user(self.stranger).read(fields)[0][fields[1]])
        self.env["res.users.apikeys"].with_user(self.stranger).sudo()._generate(
            None, "Own", "2099-01-01 00:00:00"
        )
        keys = self.stranger.with_user(self.stranger).read(fields)[0][fields[1]]
        self.assertEqual(len(keys), 1)
        self.assertFalse(self.env["auth.integration.key"].with_user(self.owner).search(
            [("id", "in", keys)]
        ))

    def test_archiving_names_who_breaks(self):
        self.assertFalse(self.integration.archive_warning)
        _secret, key = self._issue(self.integration, name="Orders")
        self.integration.invalidate_recordset()
        self.assertIn("Orders", self.integration.archive_warning)
        self.assertIn(key.prefix, self.integration.user_id.archive_warning)

    def test_the_connection_sheet_speaks_the_readers_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        terms = {"Settings of the external system": "Réglages"}
        body = self.env.ref("auth_integration.connection_sheet_body")
        body.update_field_translations("arch_db", {"fr_FR": terms})
        integration = self.integration.with_user(self.owner).with_context(lang="fr_FR")
        sheet = integration.env["ir.qweb"]._render(
            "auth_integration.connection_sheet", integration._connection_sheet_values()
        )
        self.assertIn("Réglages", sheet)
        self.assertIn('lang="fr-FR"', sheet)

    def test_closing_the_tab_does_not_log_the_new_key(self):
        """The web client saves the open dialog that shows a key; Odoo would log the query."""
        dialogue = self.env["res.users.apikeys.show"].with_user(self.owner)
        with self.assertNoLogs("odoo.sql_db"):
            self.assertEqual(dialogue.web_save({"key": "0" * 40}, {}), [])


@tagged("post_install", "-at_install")
class TestSettingsPage(HttpCase):
    def test_technical_users_are_no_pending_invitations(self):
        """Odoo treats users who never logged in as invited; invited persons stay listed."""
        boss = new_test_user(self.env, "boss", "base.group_user,base.group_system", password="boss")
        invited = new_test_user(self.env, "invited")
        integration = self.env["auth.integration"].create(
            {"name": "Shop", "code": "shop", "owner_ids": [Command.set(boss.ids)]}
        )
        self.authenticate("boss", "boss")
        before = self.make_jsonrpc_request("/base_setup/data")
        listed = [user for user, _login in before["pending_users"]]
        self.assertIn(invited.id, listed)
        self.assertNotIn(integration.user_id.id, listed)
        integration.unlink()
        after = self.make_jsonrpc_request("/base_setup/data")
        self.assertEqual(after["pending_count"], before["pending_count"], "it was archived")
        self.assertEqual(before["active_users"], after["active_users"] + 1)
