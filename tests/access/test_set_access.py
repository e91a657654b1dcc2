"""The access of a key: who may change it, what widening requires, and who sees it."""

from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ...models.access import auth_integration_key_access
from ...models.mixins.fresh_identity import IdentityCheckRequired
from ..common import IntegrationCommon

PARTNERS = [["res.partner", "search_read"], ["res.country", "*"]]


@tagged("post_install", "-at_install")
class TestSetAccess(IntegrationCommon):
    def setUp(self):
        super().setUp()
        self.secret, self.key = self._issue(self.integration)

    def _allowed(self):
        return {
            (operation.model, operation.method)
            for operation in self.key.operation_ids
            if operation.allowed
        }

    def test_a_new_key_may_do_everything(self):
        self.assertEqual((self.key.access, self.key.access_mode), ("full", "enforce"))
        self.env.cr.execute("SELECT access, access_mode FROM auth_integration_key")
        self.assertEqual(set(self.env.cr.fetchall()), {("full", "enforce")})

    def test_the_owner_narrows_a_key(self):
        key = self.key.with_user(self.owner)
        key.set_access("listed", operations=PARTNERS, networks="192.0.2.0/24", reason="Reports")
        self.assertEqual((key.access, key.access_mode), ("listed", "enforce"))
        self.assertEqual(self._allowed(), {("res.partner", "search_read"), ("res.country", "*")})
        self.assertEqual(key.allowed_networks, "192.0.2.0/24")
        self.assertIn("res.partner.search_read", key.history)
        self.assertIn("Reports", self.integration.message_ids[0].body)

    def test_what_is_not_given_stays(self):
        self.key.set_access("listed", operations=PARTNERS, networks="192.0.2.1", reason="x")
        self.key.set_access(mode="report", reason="x")
        self.assertEqual((self.key.access, self.key.access_mode), ("listed", "report"))
        self.assertEqual(len(self._allowed()), 2)
        self.assertEqual(self.key.allowed_networks, "192.0.2.1")
        self.key.set_access(operations=PARTNERS[:1], networks="", reason="x")
        self.assertEqual(self._allowed(), {("res.partner", "search_read")})
        self.assertFalse(self.key.allowed_networks)

    def test_counts_survive_a_change_of_the_list(self):
        self.key.set_access("listed", operations=PARTNERS, reason="x")
        self.env.cr.execute("UPDATE auth_integration_key_operation SET use_count = 7")
        self.key.set_access(operations=PARTNERS[1:], reason="x")
        self.assertEqual(self.key.operation_ids.mapped("use_count"), [7, 7])

    def test_a_star_stands_for_the_methods_of_the_model(self):
        """Methods of mixins must be listed one by one, except those that everybody needs."""
        keys = self.env["auth.integration.key"]
        self.key.set_access("listed", operations=[["res.partner", "*"]], reason="x")
        for method, is_covered in (
            ("search_read", True),
            ("write", True),
            ("create", True),
            ("message_post", True),
            ("create_company", True),  # of res.partner itself
            ("onchange", False),
            ("message_mail_with_source", False),
            ("message_process", False),
            ("activity_send_mail", False),
            ("no_such_method", False),
        ):
            with self.subTest(method):
                self.assertIs(keys._is_listed(self.key.id, "res.partner", method), is_covered)
        self.key.set_access(operations=[["res.partner", "onchange"]], reason="x")
        self.assertTrue(keys._is_listed(self.key.id, "res.partner", "onchange"))

    def test_no_star_for_code_rights_and_dialogs(self):
        """Neither can it be set, nor does one count that is in the database."""
        keys = self.env["auth.integration.key"]
        for model in (
            "ir.actions.server", "ir.cron", "ir.module.module", "ir.rule", "ir.config_parameter",
            "base.module.uninstall", "res.config.settings", "res.users", "res.users.apikeys",
            "res.groups", "res.company", "mail.template", "mail.compose.message",
            "mail.template.preview", "auth.integration.revoke",
        ):
            with self.subTest(model):
                with self.assertRaisesRegex(UserError, "Name each method"):
                    self.key.set_access("listed", operations=[[model, "*"]], reason="x")
                self.key.set_access("listed", operations=[[model, "read"]], reason="x")
                self.assertTrue(keys._is_listed(self.key.id, model, "read"))
                of_key = [self.key.id]
                self.env.cr.execute(
                    "UPDATE auth_integration_key_operation SET method = '*' WHERE key_id = %s",
                    of_key,
                )
                self.assertFalse(keys._is_listed(self.key.id, model, "read"))
                self.env.cr.execute(
                    "DELETE FROM auth_integration_key_operation WHERE key_id = %s", of_key
                )
                self.env.invalidate_all()

    def test_every_method_marked_by_core_reads(self):
        """A mark anywhere in the ancestry counts, as where Odoo chooses a replica."""
        keys = self.env["auth.integration.key"]
        for model, method, reads in (
            ("res.partner", "read", True),
            ("res.partner", "search_read", True),
            ("res.partner", "web_search_read", True),
            ("res.partner", "fields_get", True),
            ("res.users", "has_group", True),
            ("res.users", "context_get", True),
            ("res.partner", "context_get", False),
            ("auth.attempt", "export", True),
            ("res.partner", "onchange", False),
            ("res.partner", "default_get", False),
            ("res.partner", "create", False),
            ("res.partner", "write", False),
            ("mail.template", "write", False),
            ("no.such.model", "read", False),
        ):
            with self.subTest(f"{model}.{method}"):
                self.assertIs(keys._is_reading(model, method), reads)

    def test_a_read_only_key_may_call_more_by_name(self):
        self.key.set_access("read_only", operations=[["res.partner", "create_company"]], reason="x")
        self.assertEqual(self.key.access_summary, "Read only, and 1 operations")
        self.assertIn("res.partner.create_company", self.integration.message_ids[0].body)
        key = self.integration.issue_key(access="read_only", operations=PARTNERS[:1])
        made = self.integration.key_ids.filtered(lambda one: one.prefix == key["prefix"])
        self.assertEqual((made.access, len(made.operation_ids)), ("read_only", 1))

    def test_no_limit_where_none_can_hold(self):
        """Who has Settings or Access Rights can read the secrets of the database."""
        admin = self.env.ref("base.group_erp_manager")
        self.integration.user_id.group_ids += admin
        integration, key = self.integration.with_user(self.system), self.key.with_user(self.system)
        for access in ({"access": "read_only"}, {"operations": PARTNERS}):
            with self.assertRaisesRegex(UserError, "A limit would not hold"):
                integration.issue_key(**access)
            with self.assertRaisesRegex(UserError, "A limit would not hold"):
                key.set_access(**({"access": "listed"} | access), reason="x")
        self.integration.policy_id.default_access = "read_only"
        with self.assertRaisesRegex(UserError, "A limit would not hold"):
            integration.issue_key()
        integration.issue_key(access="full")
        self.integration.user_id.group_ids -= admin
        key.set_access("read_only", reason="x")
        self.assertFalse(key.is_limit_advisory)
        self.integration.user_id.group_ids += admin
        self.assertTrue(key.is_limit_advisory)
        key.set_access(networks="192.0.2.0/24", reason="A limit that was set before can stay.")

    def test_strangers_change_nothing(self):
        for user in (self.stranger, self.integration.user_id):
            with self.assertRaises(AccessError):
                self.key.with_user(user).set_access("read_only", reason="x")

    def test_nobody_writes_the_fields(self):
        """Administrators cannot, either: every change needs a reason and is in the history."""
        self.key.set_access("listed", operations=PARTNERS, reason="x")
        operation = self.key.operation_ids[0]
        for user in (self.owner, self.manager, self.system):
            with self.assertRaises(AccessError):
                self.key.with_user(user).write({"access": "full"})
            with self.assertRaises(AccessError):
                operation.with_user(user).write({"allowed": True})
            with self.assertRaises(AccessError):
                operation.with_user(user).unlink()
            with self.assertRaises(AccessError):
                operation.with_user(user).create(
                    {"key_id": self.key.id, "model": "res.users", "method": "*", "allowed": True}
                )

    def test_operations_are_seen_by_whoever_sees_the_key(self):
        self.key.set_access("listed", operations=PARTNERS, reason="x")
        operations = self.env["auth.integration.key.operation"]
        for user, expected in ((self.owner, 2), (self.manager, 2), (self.stranger, 0)):
            found = operations.with_user(user).search_count([("key_id", "=", self.key.id)])
            self.assertEqual(found, expected, user.login)

    def test_what_cannot_be_is_refused(self):
        for arguments in (
            {"access": "everything"},
            {"mode": "silent"},
            {"operations": [["res.partner"]]},
            {"operations": [["res.partner", "_read"]]},
            {"operations": [["res.partnre", "read"]]},
            {"operations": "res.partner.read"},
            {"networks": "10.0.0.5/8"},
        ):
            with self.assertRaises(UserError, msg=str(arguments)):
                self.key.set_access(**arguments, reason="x")
        with self.assertRaises(UserError):
            self.key.set_access("read_only")
        self.key.revoke("gone")
        with self.assertRaises(UserError):
            self.key.set_access("read_only", reason="x")

    def test_widening_demands_an_identity_check(self):
        """Over a web session, narrowing does not need it, but switching to report mode does."""
        self.key.set_access("listed", operations=PARTNERS, networks="192.0.2.0/24", reason="x")
        key = self.key.with_user(self.owner)
        demanded = patch.object(
            auth_integration_key_access,
            "require_fresh_identity",
            side_effect=IdentityCheckRequired("confirm"),
        )
        for wider in (
            {"access": "full"},
            {"access": "read_only"},
            {"mode": "report"},
            {"operations": [*PARTNERS, ["res.users", "read"]]},
            {"operations": [*PARTNERS, ["res.country", "onchange"]]},
            {"networks": ""},
            {"networks": "192.0.2.0/23"},
        ):
            with demanded, self.assertRaises(IdentityCheckRequired, msg=str(wider)):
                key.set_access(**wider, reason="x")
        with demanded:
            key.set_access(operations=PARTNERS[:1], networks="192.0.2.1", reason="x")

    def test_a_privileged_key_is_widened_by_settings_alone(self):
        self.key.with_user(self.owner).set_access("read_only", reason="x")
        self.integration.user_id.group_ids += self.env.ref("base.group_system")
        for user in (self.owner, self.manager):
            with self.assertRaises(AccessError):
                self.key.with_user(user).set_access("full", reason="x")
        self.key.with_user(self.system).set_access("full", reason="x")

    def test_a_personal_key_is_its_users_own_business(self):
        self.env["res.users.apikeys"].with_user(self.owner).sudo()._generate("rpc", "mine", False)
        key = self.env["auth.integration.key"].search([("user_id", "=", self.owner.id)])
        key.with_user(self.owner).set_access("read_only", reason="x")
        key.with_user(self.owner).set_access("full", reason="x")
        with self.assertRaises(AccessError):
            key.with_user(self.stranger).set_access("read_only", reason="x")
