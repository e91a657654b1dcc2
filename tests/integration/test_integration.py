from datetime import timedelta

from odoo.exceptions import AccessDenied, AccessError, UserError, ValidationError
from odoo.fields import Command
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import mute_logger
from psycopg2 import IntegrityError
from psycopg2.errors import UniqueViolation

from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestIntegration(IntegrationCommon):
    def test_user_is_made_in_one_step(self):
        """Creating an integration creates its user: login = code, internal, no password."""
        user = self.integration.user_id
        self.assertEqual(user.login, "shop")
        self.assertEqual(user.group_ids, self.env.ref("base.group_user"))
        self.env.cr.execute("SELECT password FROM res_users WHERE id = %s", (user.id,))
        self.assertEqual(self.env.cr.fetchone(), (None,))

    def test_the_technical_user_follows_nothing(self):
        """It is not a person: it gets no message, now or later."""
        first = self.integration.user_id.partner_id
        self.integration.user_id = new_user = new_test_user(self.env, "another")
        self.integration.message_post(body="hello", subtype_xmlid="mail.mt_comment")
        for partner in (first, new_user.partner_id):
            self.assertNotIn(partner, self.integration.message_partner_ids)
            self.assertFalse(self.env["mail.notification"].search(
                [("res_partner_id", "=", partner.id)]
            ))

    def test_a_code_is_fit_to_be_a_login(self):
        """It is used in settings of external systems, where spaces and capitals are overlooked."""
        for bad in ("Web Shop", "webShop", "web shop", " webshop", "_webshop", "wébshop", "mill\n"):
            with self.subTest(code=bad):
                with self.assertRaises(ValidationError) as refused:
                    self._create_integration(bad, self.owner)
                self.assertIn("lowercase letters", str(refused.exception))
                with self.assertRaises(ValidationError):
                    self.integration.code = bad
        with self.assertRaises(ValidationError) as refused:
            self.integration.code = "Web Shop"
        self.assertIn("Suggestion: web_shop", str(refused.exception))
        for none in (False, ""):
            with self.assertRaises(ValidationError):
                self.integration.code = none
        for good in ("2shop", "web.shop-2_b"):
            self.integration.code = good

    def test_a_code_from_before_stays(self):
        """Other fields of an integration can be changed although its code would be invalid now."""
        self.env.cr.execute(
            "UPDATE auth_integration SET code = 'Old Shop' WHERE id = %s", [self.integration.id]
        )
        self.integration.invalidate_recordset()
        self.integration.write({"name": "Renamed", "purpose": "as before"})
        self.assertEqual(self.integration.code, "Old Shop")

    def test_the_form_proposes_a_code(self):
        """From the name, until the user enters another one; and from an invalid code."""
        form = Form(self.env["auth.integration"].with_user(self.manager))
        form.name = "Übersee: Web-Shop (2)"
        self.assertEqual(form.code, "ubersee_web-shop_2")
        form.code = "My Shop"
        self.assertEqual(form.code, "my_shop")
        form.name = "Another"
        self.assertEqual(form.code, "my_shop", "chosen by a person")
        form.save()
        self.assertEqual(self.env["res.users"].search_count([("login", "=", "my_shop")]), 1)

    def test_login_taken(self):
        new_test_user(self.env, "taken")
        with self.assertRaisesRegex(UserError, "login taken is already taken"):
            self._create_integration("taken", self.owner)

    def test_an_owner_is_needed(self):
        with self.assertRaisesRegex(ValidationError, "at least one owner"):
            self.integration.owner_ids = [Command.clear()]

    def test_technical_and_portal_users_own_nothing(self):
        portal = new_test_user(self.env, "porter", "base.group_portal")
        for outsider in (portal, self.foreign.user_id):
            with self.subTest(outsider.login), self.assertRaises(ValidationError):
                self.integration.owner_ids = [Command.link(outsider.id)]

    def test_owner_group_follows_ownership(self):
        """A new owner gets the group, and a former owner loses it."""
        group = self.env.ref("auth_integration.auth_integration_group_owner")
        self.assertIn(group, self.owner.all_group_ids)
        self.integration.owner_ids = [Command.set(self.stranger.ids)]
        self.assertNotIn(group, self.owner.all_group_ids)
        self.assertIn(group, self.stranger.all_group_ids)

    def test_one_integration_per_user(self):
        with self.assertRaises(UniqueViolation), mute_logger("odoo.sql_db"):
            self._create_integration("second", self.owner, user_id=self.integration.user_id.id)

    def test_users_that_can_never_be_taken_over(self):
        for xml_id in ("base.user_root", "base.public_user", "base.template_portal_user_id"):
            user = self.env.ref(xml_id)
            with self.subTest(xml_id), self.assertRaises(ValidationError):
                self._create_integration("taker", self.owner, user_id=user.id)

    def test_last_interactive_administrator_cannot_be_taken_over(self):
        administrators = self.env.ref("base.group_system").all_user_ids - self.system
        administrators -= self.env.ref("base.user_root")
        administrators.group_ids = [Command.unlink(self.env.ref("base.group_system").id)]
        with self.assertRaisesRegex(ValidationError, "only administrator"):
            self._create_integration("taker", self.owner, user_id=self.system.id)

    def test_bad_network_is_refused_on_save(self):
        """A typing error in a network would lock the integration out or let everyone in."""
        with self.assertRaisesRegex(ValidationError, r"10\.0\.0\.0/8"):
            self.integration.allowed_networks = "10.0.0.5/8"

    def test_unknown_channel_is_refused_on_save(self):
        with self.assertRaisesRegex(ValidationError, "Unknown protocol soap"):
            self.integration.allowed_channels = "soap"

    def test_bad_notices_are_refused_on_save(self):
        """With a helpful message; PostgreSQL reads such numbers differently, or not at all."""
        for bad in ("30,14,", "soon", "1_4", "-1", ""):
            with self.subTest(notices=bad), self.assertRaisesRegex(
                ValidationError, "whole numbers of days"
            ):
                self.integration.policy_id.notice_days = bad or " "

    def test_channel_flags_and_text_agree(self):
        self.integration.allowed_channels = "json2, xmlrpc"
        self.assertTrue(self.integration.allowed_channel_json2)
        self.assertFalse(self.integration.allowed_channel_http)
        self.integration.allowed_channel_json2 = False
        self.assertEqual(self.integration.allowed_channels, "xmlrpc")

    def test_a_channel_flag_changes_its_own_protocol_only(self):
        """The web client sends only what was changed, and the others are in no cache."""
        both = self.integration | self.foreign
        both.write({"allowed_channels": "xmlrpc"})
        self.foreign.allowed_channels = "jsonrpc,http"

        def write(**flags):
            self.env.flush_all()
            self.env.invalidate_all()
            both.write({f"allowed_channel_{channel}": flag for channel, flag in flags.items()})
            return both.mapped("allowed_channels")

        self.assertEqual(write(json2=True), ["xmlrpc,json2", "jsonrpc,json2,http"])
        self.assertEqual(write(xmlrpc=False), ["json2", "jsonrpc,json2,http"])
        self.assertEqual(write(json2=False, http=True), ["http", "jsonrpc,http"])
        self.assertEqual(write(http=False), [False, "jsonrpc"], "none: all are allowed")
        created = self._create_integration("new", self.owner, allowed_channel_json2=True)
        self.assertEqual(created.allowed_channels, "json2")

    def test_archiving_takes_the_user_along(self):
        """Stock checks whether the user is active, so the end also applies without the add-on."""
        secret, _key = self._issue(self.integration)
        self.integration.action_archive()
        self.assertFalse(self.integration.user_id.active)
        self.assertFalse(self._check(secret))
        self.integration.action_unarchive()
        self.assertEqual(self._check(secret), self.integration.user_id.id)

    def test_restoring_the_user_restores_the_integration(self):
        self.integration.action_archive()
        self.integration.user_id.action_unarchive()
        self.assertTrue(self.integration.active)

    def test_deleting_ends_the_keys_and_archives_the_user(self):
        secret, key = self._issue(self.integration)
        user = self.integration.user_id
        self.integration.unlink()
        self.assertEqual(key.state, "revoked")
        self.assertFalse(user.active)
        user.active = True
        self.assertFalse(self._check(secret))

    def test_what_deletion_meets(self):
        """Neither an integration user nor a policy in use can be deleted; an owner can be."""
        with self.assertRaisesRegex(UserError, "this is an integration user"):
            self.integration.user_id.unlink()
        with self.assertRaises(IntegrityError), mute_logger("odoo.sql_db"), self.cr.savepoint():
            self.integration.policy_id.unlink()
        secret, _key = self._issue(self.integration)
        self.owner.unlink()
        self.assertFalse(self.integration.owner_ids)
        self.assertEqual(self._check(secret), self.integration.user_id.id)

    def test_a_code_that_is_sent_as_a_number(self):
        made = self.env["auth.integration"].create(
            {"name": "Five", "code": 5, "owner_ids": [Command.set(self.owner.ids)]}
        )
        self.assertEqual((made.code, made.user_id.login), ("5", "5"))

    def test_a_policy_can_be_duplicated(self):
        """More than once, and each copy has another name."""
        policy = self.integration.policy_id
        first, second = policy.copy(), policy.copy()
        first.active = False
        names = [policy.name, *(first + second + policy.copy()).mapped("name")]
        self.assertEqual(len(set(names)), 4)
        self.assertTrue(all(name.startswith(policy.name) for name in names))

    def test_archiving_an_owner_or_the_policy_ends_no_key(self):
        """Nor does it let a new key live longer than the policy allows."""
        secret, key = self._issue(self.integration)
        end = key.expires_at
        self.owner.active = False
        self.integration.policy_id.active = False
        self.env["auth.integration.key"]._reconcile()
        self.assertEqual((key.state, key.expires_at), ("pending", end))
        self.assertEqual(self._check(secret), self.integration.user_id.id)
        with self.assertRaises(UserError):
            self.integration.issue_key(expires_at="2099-01-01 00:00:00")

    def test_technical_user_cannot_log_in(self):
        """An integration user cannot log in, even with the right password."""
        user = self.integration.user_id
        user.password = "a good password"
        credential = {"login": user.login, "password": "a good password", "type": "password"}
        for interactive in (True, False):
            with self.subTest(interactive=interactive), self.assertRaises(AccessDenied):
                self.env["res.users"].authenticate(credential, {"interactive": interactive})


@tagged("post_install", "-at_install")
class TestPrivilegedUser(IntegrationCommon):
    """Whoever handles a privileged user's key effectively has that user's rights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.privileged = cls._create_integration("root-like", cls.owner)
        cls.privileged.user_id.group_ids = [Command.link(cls.env.ref("base.group_erp_manager").id)]

    def test_only_administrators_issue_its_keys(self):
        for user in (self.owner, self.manager):
            with self.subTest(user.login), self.assertRaises(AccessError):
                self.privileged.with_user(user).issue_key()
        self.assertTrue(self.privileged.with_user(self.system).issue_key()["key"])

    def test_only_administrators_let_its_keys_work_longer(self):
        _secret, key = self._issue(self.privileged)
        later = key.effective_end + timedelta(days=1)
        with self.assertRaises(AccessError):
            key.with_user(self.manager)._extend(later, "no time")
        with self.assertRaises(AccessError):
            key.with_user(self.manager).action_extend()
        key.with_user(self.system)._extend(later, "no time")
        self.assertEqual(key.effective_end, later)

    def test_only_administrators_appoint_its_owners(self):
        with self.assertRaises(AccessError):
            self.privileged.with_user(self.manager).owner_ids = [Command.link(self.manager.id)]

    def test_only_administrators_take_over_a_privileged_user(self):
        administrator = new_test_user(self.env, "erp", "base.group_user,base.group_erp_manager")
        values = {"name": "Taker", "code": "taker", "user_id": administrator.id}
        with self.assertRaises(AccessError):
            self.env["auth.integration"].with_user(self.manager).create(values)
        self.env["auth.integration"].with_user(self.system).create(values)

    def test_defaults_in_the_context_do_not_reach_its_user(self):
        """A manager can set neither a password for it nor an administrator as its partner.

        The holder of its key could then change the administrator's email address.
        """
        integrations = self.env["auth.integration"].with_user(self.manager).with_context(
            default_partner_id=self.system.partner_id.id, default_password="known to the manager"
        )
        user = integrations.create({"name": "Defaults", "code": "defaults"}).sudo().user_id
        self.assertNotEqual(user.partner_id, self.system.partner_id)
        self.assertEqual(self.system.name, "Sys Administrator")
        self.assertFalse(user._is_person())

    def test_only_administrators_change_its_policy(self):
        """Its keys would live longer, or be sent elsewhere. A manager may change other policies."""
        policy = self.env["auth.integration.policy"].create({"name": "Strict"})
        self.integration.policy_id = policy
        policy.with_user(self.manager).max_age_days = 360
        self.privileged.policy_id = policy
        self.privileged.active = False
        for values in (
            {"max_age_days": 365},
            {"on_deadline": "extend", "max_extension_days": 365},
            {"delivery": "webhook"},
        ):
            with self.subTest(values), self.assertRaises(AccessError):
                policy.with_user(self.manager).write(values)
        policy.with_user(self.manager).write({"name": "Strict one", "window_start": 3})
        policy.with_user(self.system).max_age_days = 365

    def test_rights_cannot_be_slipped_under_an_owner(self):
        """An access-rights administrator cannot make an owner a Settings administrator."""
        administrator = new_test_user(self.env, "erp", "base.group_user,base.group_erp_manager")
        with self.assertRaises(AccessError):
            self.integration.user_id.with_user(administrator).group_ids = [
                Command.link(self.env.ref("base.group_system").id)
            ]
