from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import new_test_user, tagged

from ..common import OWNER, IntegrationCommon


class ConversionCase(IntegrationCommon):
    """Users with personal keys, and the dialog that converts these keys."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.person = new_test_user(cls.env, "pat", OWNER, name="Pat Person")
        cls.machine = cls.env["res.users"].create({"name": "Web Shop", "login": "webshop"})
        cls.admin = cls.env.ref("base.user_admin")

    def _personal_key(self, user, name="export", days=1):
        """Make a key as in the preferences; ``days=None`` means without an end."""
        natives = self.env["res.users.apikeys"].with_user(user).sudo()
        end = fields.Datetime.now() + timedelta(days=days) if days else None
        secret = natives._generate(None, name, end)
        return secret, self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])

    def _open(self, keys, user=None):
        action = keys.with_user(user or self.system).action_convert()
        self.assertEqual(action["res_model"], "auth.integration.convert")
        return self.env[action["res_model"]].with_user(user or self.system).browse(action["res_id"])

    def _convert(self, keys, user=None, **values):
        """Convert with the dialog; return its answer and the integrations of the keys."""
        dialog = self._open(keys, user)
        dialog.line_ids.write(values)
        codes = dialog.line_ids.mapped("code")
        answer = dialog.action_convert()
        return answer, self.env["auth.integration"].search([("code", "in", codes)])

    def _call(self, key, operation, writes=0):
        model, method = operation
        self.env.cr.execute(
            "INSERT INTO auth_integration_key_operation"
            " (key_id, model, method, use_count, write_count, last_used_at)"
            " VALUES (%s, %s, %s, 1, %s, now() AT TIME ZONE 'UTC')",
            (key.id, model, method, writes),
        )
        self.env.invalidate_all()

    def _use(self, key):
        """Use a key for the first time, as a call over HTTP does."""
        self._move(key, first_used_at=fields.Datetime.now())
        key._confirm_first_use(fields.Datetime.now())
        self.env.invalidate_all()


@tagged("post_install", "-at_install")
class TestConvertAccount(ConversionCase):
    """An account that only external systems use becomes the integration user itself."""

    def test_is_proposed_and_keeps_its_keys(self):
        secret, key = self._personal_key(self.machine)
        other_secret, _other = self._personal_key(self.machine, "stock")
        dialog = self._open(key)
        self.assertEqual(dialog.line_ids.method, "keep")
        self.assertIn(other_secret[:8], dialog.line_ids.source)
        answer = dialog.action_convert()
        self.assertEqual(answer["res_model"], "auth.integration")
        integration = self.env["auth.integration"].browse(answer["res_id"])
        self.assertEqual(integration.user_id, self.machine)
        self.assertEqual(integration.owner_ids, self.system)
        self.assertEqual(len(integration.key_ids), 2)
        for one in (secret, other_secret):
            self.assertEqual(self._check(one), self.machine.id)
        self.assertTrue(all(integration.key_ids.mapped("expires_at")))
        self.assertIn("keeps working", key.history)

    def test_a_key_without_an_end_gets_one(self):
        secret, key = self._personal_key(self.machine, days=None)
        self.assertFalse(key.expires_at)
        self._convert(key)
        self.assertTrue(key.expires_at > fields.Datetime.now())
        self.assertEqual(self._check(secret), self.machine.id)

    def test_only_settings_may(self):
        _secret, key = self._personal_key(self.manager)
        dialog = self._open(key, self.manager)
        self.assertEqual(dialog.line_ids.method, "replace")
        self.assertFalse(dialog.line_ids.may_keep)
        dialog.line_ids.method = "keep"
        with self.assertRaisesRegex(UserError, "Only a Settings administrator"):
            dialog.action_convert()

    def test_who_can_never_be_kept(self):
        """The administrator, the superuser, owners and archived users."""
        archived = new_test_user(self.env, "arc", OWNER)
        users = self.admin | self.env.ref("base.user_root") | self.owner | archived
        keys = self.env["auth.integration.key"].union(
            *(self._personal_key(user)[1] for user in users)
        )
        archived.active = False
        dialog = self._open(keys)
        self.assertEqual(dialog.line_ids.mapped("method"), ["replace"] * 4)
        for line in dialog.line_ids:
            with self.subTest(user=line.user_id.login), self.assertRaises(UserError):
                line.method = "keep"
                line._convert()
        self.assertFalse(self.env["auth.integration"].search([("user_id", "in", users.ids)]))

    def test_a_browser_makes_a_person(self):
        _secret, key = self._personal_key(self.person)
        self.assertEqual(self._open(key).line_ids.method, "keep", "nothing shows a person yet")
        self.env["mail.presence"].create({"user_id": self.person.id})
        line = self._open(key).line_ids
        self.assertEqual(line.method, "replace")
        line.method = "keep"
        self.assertIn("used in a browser", line.note)

    def test_says_who_signs_in_by_password(self):
        _secret, key = self._personal_key(self.machine)
        columns = dict.fromkeys(
            ("cause", "auth_type", "integration_id", "attribution", "key_id", "remote_addr",
             "user_agent", "reference")
        )
        columns |= {"outcome": "success", "channel": "xmlrpc", "database": self.env.cr.dbname,
                    "login": self.machine.login, "user_id": self.machine.id}
        now = fields.Datetime.now()
        attempts = self.env["auth.attempt"]
        attempts._upsert(columns | {"key_id": key.id}, 1, now, now)
        self.assertFalse(self._open(key).line_ids.note)
        attempts._upsert(columns, 1, now, now)
        self.assertIn("password on", self._open(key).line_ids.note)

    def test_a_kept_account_has_one_line(self):
        _secret, first = self._personal_key(self.person)
        _secret, second = self._personal_key(self.person, "stock")
        self.env["mail.presence"].create({"user_id": self.person.id})
        dialog = self._open(first | second)
        self.assertEqual(len(dialog.line_ids), 2)
        dialog.line_ids[0].method = "keep"
        with self.assertRaisesRegex(UserError, "one integration"):
            dialog.action_convert()


@tagged("post_install", "-at_install")
class TestConvertKeys(ConversionCase):
    """For a person's account, a new user and key are made; the old key ends after a first use."""

    def setUp(self):
        super().setUp()
        self.env["mail.presence"].create({"user_id": self.person.id})

    def _replaced(self, key, **values):
        answer, integration = self._convert(key, **values)
        return answer["context"]["default_key"], integration

    def test_new_user_and_key(self):
        secret, key = self._personal_key(self.person)
        self.person.write({"lang": "en_US", "tz": "Europe/Lisbon"})
        new_secret, integration = self._replaced(key)
        user = integration.user_id
        self.assertNotEqual(user, self.person)
        self.assertEqual(integration.owner_ids, self.person)
        self.assertEqual(self._check(new_secret), user.id)
        self.assertEqual(self._check(secret), self.person.id, "until the new one is used")
        self.assertEqual((user.tz, user.company_ids), (self.person.tz, self.person.company_ids))
        self.assertEqual(user.group_ids, self.env.ref("base.group_user"))
        self.assertIn(new_secret[:8], key.history)
        self.assertNotIn(new_secret, key.history + str(integration.message_ids.mapped("body")))

    def test_old_key_expires_after_the_first_use(self):
        _secret, key = self._personal_key(self.person, days=None)
        new_secret, integration = self._replaced(key)
        new = integration.key_ids
        self.assertEqual(new.replaces_id, key)
        self.assertEqual((key.state, new.prefix), ("pending", new_secret[:8]))
        until = "The old key works until 7 days after the first call with the new key."
        self.assertEqual(integration.old_key_text, until)
        self.assertIn(until, key.history)
        self._use(new)
        self.assertEqual((key.state, key.replaced_by_id), ("retiring", new))
        days = (key.effective_end - fields.Datetime.now()).total_seconds() / 86400
        self.assertAlmostEqual(days, integration.policy_id.overlap_days, 1)
        self.env.invalidate_all()
        self.assertFalse(integration.old_key_text)
        self.assertTrue(self._native(key)[0], "natively too")

    def test_revoking_the_new_key_gives_the_old_one_back(self):
        secret, key = self._personal_key(self.person, days=None)
        _new_secret, integration = self._replaced(key)
        self._use(integration.key_ids)
        integration.key_ids.revoke("a mistake")
        self.env.invalidate_all()
        self.assertFalse(key.retire_at)
        self.assertEqual(self._check(secret), self.person.id)

    def test_each_key_its_integration(self):
        _secret, first = self._personal_key(self.person, "Web shop")
        _secret, second = self._personal_key(self.person, "Web shop")
        answer, integrations = self._convert(first | second)
        self.assertEqual(set(integrations.mapped("code")), {"web_shop", "web_shop_2"})
        for login in integrations.mapped("login"):
            self.assertIn(f"Login: {login}", answer["context"]["default_key_list"])
        self._assert_leads_to(answer, integrations)
        shown = answer["context"]["default_key_list"].split()
        secrets = [word for word in shown if len(word) == 40]
        self.assertEqual(
            {self._check(secret) for secret in secrets}, set(integrations.user_id.ids)
        )

    def _assert_leads_to(self, answer, integrations):
        """The page that opens when the dialog is closed shows what was made."""
        page = answer["context"]["auth_integration_page_after"]
        self.assertEqual(page["res_model"], "auth.integration")
        found = [page["res_id"]] if page.get("res_id") else page["domain"][0][2]
        self.assertEqual(set(found), set(integrations.ids))

    def test_the_new_login_comes_with_the_key(self):
        _secret, key = self._personal_key(self.person, "Label printer")
        answer, integration = self._convert(key)
        self._assert_leads_to(answer, integration)
        shown = self.env["res.users.apikeys.show"].with_context(**answer["context"]).onchange(
            {}, [], {name: {} for name in ("login", "replaced_login", "old_key_text")}
        )["value"]
        self.assertEqual((shown["login"], shown["replaced_login"]),
                         ("label_printer", self.person.login))
        stops = f"The old key {key.prefix}… stops on"
        self.assertIn(stops, shown["old_key_text"])
        self.assertIn(stops, integration.old_key_text)
        self.assertIn(stops, key.history)
        self.assertEqual(key.pending_replacement_id, integration.key_ids)
        self.assertEqual(key.pending_replacement_integration_id, integration)

    def test_limits_of_the_key_stay(self):
        _secret, key = self._personal_key(self.person)
        key._set_access("read_only", "enforce", [], "192.0.2.0/24", "it only reads")
        _new_secret, integration = self._replaced(key)
        new = integration.key_ids
        self.assertEqual((new.access, new.allowed_networks), ("read_only", "192.0.2.0/24"))

    def test_not_twice(self):
        _secret, key = self._personal_key(self.person)
        dialog, late = self._open(key), self._open(key)
        dialog.action_convert()
        for again in (late.action_convert, lambda: self._open(key)):
            with self.assertRaisesRegex(UserError, "already being replaced"):
                again()

    def test_what_cannot_be_converted_is_left_out(self):
        _secret, key = self._personal_key(self.person)
        revoked = self._personal_key(self.person, "old")[1]
        revoked.revoke("old")
        ours = self._issue(self.integration)[1]
        dialog = self._open(key | revoked | ours)
        self.assertEqual(dialog.line_ids.key_ids, key)
        self.assertIn(revoked.prefix, dialog.skipped)
        self.assertIn(ours.prefix, dialog.skipped)
        with self.assertRaises(UserError):
            self._open(revoked | ours)

    def test_an_archived_user(self):
        secret, key = self._personal_key(self.person)
        self.person.active = False
        dialog = self._open(key)
        self.assertIn("archived", dialog.line_ids.note)
        self.assertEqual(dialog.line_ids.owner_id, self.system)
        new_secret = dialog.action_convert()["context"]["default_key"]
        self.assertTrue(self._check(new_secret))
        self.assertFalse(self._check(secret))

    def test_a_portal_user(self):
        """The new user is also a portal user of the same customer: others would see more."""
        portal = new_test_user(self.env, "por", "base.group_portal")
        company = self.env["res.partner"].create({"name": "Customer", "is_company": True})
        portal.partner_id.parent_id = company
        self.env["mail.presence"].create({"user_id": portal.id})
        _secret, key = self._personal_key(portal)
        _new_secret, integration = self._replaced(key)
        user = integration.user_id
        self.assertTrue(user.share)
        self.assertEqual(user.group_ids, self.env.ref("base.group_portal"))
        self.assertEqual(user.commercial_partner_id, company)
        self.assertEqual(integration.owner_ids, self.system)


@tagged("post_install", "-at_install")
class TestConvertRights(ConversionCase):
    """The access rights offered for a new integration user, and who may convert."""

    def setUp(self):
        super().setUp()
        self.env["mail.presence"].create({"user_id": self.person.id})
        groups = self.env["res.groups"]
        self.reader, self.writer = groups.create([{"name": "Bank reader"}, {"name": "Bank writer"}])
        for group, may_write in ((self.reader, False), (self.writer, True)):
            self.env["ir.model.access"].create(
                {
                    "name": group.name,
                    "model_id": self.env["ir.model"]._get("ir.config_parameter").id,
                    "group_id": group.id,
                    "perm_read": True,
                    "perm_write": may_write,
                }
            )
        self.person.group_ids |= self.reader | self.writer
        self.secret, self.key = self._personal_key(self.person)

    def test_proposes_the_least(self):
        self._call(self.key, ("ir.config_parameter", "search_read"))
        self.assertEqual(self._open(self.key).line_ids.group_ids, self.reader)
        self._call(self.key, ("ir.config_parameter", "write"), writes=1)
        line = self._open(self.key).line_ids
        self.assertEqual(line.group_ids, self.writer)
        self.assertNotIn("access rights", line.note)

    def test_says_when_the_old_key_expires_before_the_overlap_is_over(self):
        self._call(self.key, ("ir.config_parameter", "search_read"))
        self._move(self.key, expires_at=fields.Datetime.now() + timedelta(days=1))
        self.assertIn("stops on", self._open(self.key).line_ids.note)

    def test_proposes_nothing_without_calls(self):
        line = self._open(self.key).line_ids
        self.assertFalse(line.group_ids)
        self.assertIn("has not been used yet", line.note)
        self._move(self.key, last_used_at=fields.Datetime.now())
        self.assertIn("not counted yet", self._open(self.key).line_ids.note)
        self.assertLessEqual(self.reader | self.writer, line.offered_group_ids)

    def test_never_more_than_the_person_has(self):
        for group in ("base.group_system", "auth_integration.auth_integration_group_manager"):
            dialog = self._open(self.key)
            dialog.line_ids.group_ids = self.env.ref(group)
            with self.subTest(group=group), self.assertRaisesRegex(UserError, "does not have"):
                dialog.action_convert()
        implying = self.env["res.groups"].create(
            {"name": "Implies", "implied_ids": [Command.link(self.env.ref("base.group_system").id)]}
        )
        dialog = self._open(self.key)
        dialog.line_ids.group_ids = implying
        with self.assertRaisesRegex(UserError, "does not have"):
            dialog.action_convert()

    def _has_rights(self, operation, groups):
        """Whether an integration made from a key has the rights that its calls need."""
        _secret, key = self._personal_key(self.person)
        if operation:
            self._call(key, operation)
        _answer, integration = self._convert(key, group_ids=[Command.set(groups.ids)])
        self.assertTrue(integration.is_never_called, "the checklist is shown")
        return integration.has_access_rights

    def test_the_checklist_agrees_with_the_dialog(self):
        """It asks for access rights only if the dialog left some open."""
        reads_settings, nothing = ("ir.config_parameter", "search_read"), self.env["res.groups"]
        self.assertTrue(self._has_rights(("res.users", "context_get"), nothing))
        self.assertTrue(self._has_rights(reads_settings, self.reader))
        self.assertFalse(self._has_rights(reads_settings, nothing))
        self.assertFalse(self._has_rights(None, nothing), "no call says what it needs")

    def test_gives_what_the_administrator_decides(self):
        _answer, integration = self._convert(
            self.key, group_ids=[Command.set(self.reader.ids)]
        )
        self.assertEqual(
            integration.user_id.group_ids, self.env.ref("base.group_user") | self.reader
        )

    def test_access_rights_are_not_given_by_whoever_may_not_give_them(self):
        _secret, own = self._personal_key(self.manager)
        dialog = self._open(own, self.manager)
        dialog.line_ids.group_ids = self.env.ref(
            "auth_integration.auth_integration_group_manager"
        )
        with self.assertRaises(AccessError):
            dialog.action_convert()

    def test_a_manager_converts_only_their_own(self):
        _secret, own = self._personal_key(self.manager)
        _answer, integration = self._convert(own, self.manager)
        self.assertEqual(integration.key_ids.replaces_id, own)
        with self.assertRaises(AccessError):
            self._open(self.key, self.manager)
        for values in (
            {"key_ids": [Command.set(self.key.ids)]},
            {"key_ids": [Command.set((own | self.key).ids)]},
        ):
            dialog = self._open(self._personal_key(self.manager)[1], self.manager)
            with self.assertRaises(AccessError):
                dialog.line_ids.write(values)
                dialog.action_convert()
        self.assertFalse(self.key.search([("replaces_id", "=", self.key.id)]))

    def test_nobody_else(self):
        for user in (self.owner, self.person):
            with self.subTest(user=user.login), self.assertRaises(AccessError):
                self._open(self.key, user)
            with self.assertRaises(AccessError):
                self.env["auth.integration.convert"].with_user(user).create({})

    def test_from_the_user_and_from_the_issue(self):
        action = self.person.with_user(self.system).action_convert_api_keys()
        self.assertEqual(action["res_model"], "auth.integration.convert")
        self._move(self.key, use_count=10, last_used_at=fields.Datetime.now())
        self.env.flush_all()
        issues = self.env["auth.integration.finding"].with_user(self.system)
        issue = issues.search([("key_id", "=", self.key.id)])
        self.assertEqual(issue.code, "personal_account_used")
        action = issue.action_convert()
        self.env["auth.integration.convert"].with_user(self.system).browse(
            action["res_id"]
        ).action_convert()
        self.env.flush_all()
        self.assertFalse(issues.search([("key_id", "=", self.key.id)]), "it is being replaced")

    def test_the_system_is_not_asked_twice_for_a_user_without_keys(self):
        with self.assertRaisesRegex(UserError, "no active personal"):
            self.stranger.with_user(self.system).action_convert_api_keys()


@tagged("post_install", "-at_install")
class TestIntegrationUserOnScreen(ConversionCase):
    """An integration user is labeled as such, and is never invited."""

    def _modifiers(self, view_type, path):
        view_id = self.env.ref(f"base.view_users_{'tree' if view_type == 'list' else 'form'}").id
        view = self.env["res.users"].with_user(self.system).get_view(view_id, view_type)
        nodes = etree.fromstring(view["arch"]).xpath(path)
        self.assertTrue(nodes, path)
        return [node.get("invisible") or "" for node in nodes]

    def test_no_invitation(self):
        for path in ("//button[@name='action_reset_password']", "//header/field[@name='state']"):
            for modifier in self._modifiers("form", path):
                self.assertTrue(modifier.startswith("is_integration_user"), modifier)
        self.assertEqual(
            self._modifiers("list", "//field[@name='state']"), ["is_integration_user"]
        )

    def test_the_state_of_a_key_is_shown(self):
        """In a list on the form of a user, which itself has none of these fields."""
        self.env["ir.ui.view"].create(
            {
                "name": "state of a key",
                "model": "res.users",
                "inherit_id": self.env.ref("auth_integration.res_users_view_form").id,
                "arch": """
                    <xpath expr="//field[@name='api_key_record_ids']/list" position="inside">
                        <field name="state"/>
                    </xpath>
                """,
            }
        )
        path = "//field[@name='api_key_record_ids']//field[@name='state']"
        self.assertEqual(self._modifiers("form", path), [""])

    def test_ribbon(self):
        [modifier] = self._modifiers("form", "//widget[@title='API Only']")
        self.assertIn("not is_integration_user", modifier)

    def test_only_administrators_learn_it(self):
        user = self.integration.user_id
        for reader in (self.system, self.manager):
            self.assertTrue(user.with_user(reader).is_integration_user)
            self.assertFalse(self.owner.with_user(reader).is_integration_user)
        for reader in (self.owner, self.stranger):
            self.assertFalse(user.with_user(reader).is_integration_user)

    def test_filter(self):
        found = self.env["res.users"].with_user(self.system).search(
            [("integration_ids", "!=", False)]
        )
        self.assertIn(self.integration.user_id, found)
        self.assertNotIn(self.owner, found)
