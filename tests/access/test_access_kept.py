"""The access of a new key, whoever creates it, and the resulting scope of its native row."""

from unittest.mock import patch

from odoo.addons.base.models.res_users import ResUsersApikeys as StockApikeys
from odoo.exceptions import UserError
from odoo.tests import tagged

from ...tools.key.native_scope import RESTRICTED
from ..common import IntegrationCommon

OPERATIONS = [["res.partner", "search_read"], ["res.country", "*"]]


@tagged("post_install", "-at_install")
class TestAccessKept(IntegrationCommon):
    def _allowed(self, key):
        found = key.operation_ids.filtered("allowed")
        return sorted([operation.model, operation.method] for operation in found)

    def _scope(self, key):
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT scope FROM res_users_apikeys WHERE id = %s", [key.apikey_id.id]
        )
        return self.env.cr.fetchone()[0]

    def _by_stock(self, secret):
        self.env.flush_all()
        natives = self.env["res.users.apikeys"]
        return StockApikeys._check_credentials(natives, scope="rpc", key=secret)

    def test_chosen_when_it_is_issued(self):
        for arguments, access, allowed in (
            ({}, "full", []),
            ({"access": "read_only"}, "read_only", []),
            ({"operations": OPERATIONS}, "listed", sorted(OPERATIONS)),
            ({"access": "listed", "operations": OPERATIONS}, "listed", sorted(OPERATIONS)),
        ):
            _secret, key = self._issue(self.integration.with_user(self.owner), **arguments)
            self.assertEqual((key.access, self._allowed(key)), (access, allowed))
            self.assertEqual(self._scope(key), RESTRICTED if access != "full" else "rpc")

    def test_what_cannot_be_issued(self):
        for arguments in (
            {"access": "some"},
            {"access": "listed"},
            {"access": "full", "operations": OPERATIONS},
            {"operations": [["res.partner", "_write"]]},
            {"operations": [["no.such.model", "read"]]},
        ):
            with self.assertRaises(UserError, msg=str(arguments)):
                self.integration.issue_key(**arguments)

    def test_the_policy_says_what_is_not_chosen(self):
        self.integration.policy_id.default_access = "read_only"
        _secret, by_policy = self._issue(self.integration)
        _secret, chosen = self._issue(self.integration, access="full")
        self.assertEqual((by_policy.access, chosen.access), ("read_only", "full"))
        user = self.integration.user_id
        self.env["res.users.apikeys"].with_user(user).sudo()._generate(None, "by code", False)
        by_code = self.integration.key_ids.filtered(lambda key: key.name == "by code")
        self.assertEqual((by_code.access, self._scope(by_code)), ("read_only", RESTRICTED))
        self.env["res.users.apikeys"].with_user(self.owner).sudo()._generate(None, "own", False)
        own = self.env["auth.integration.key"].search([("user_id", "=", self.owner.id)])
        self.assertEqual(own.access, "full")

    def test_a_limited_key_is_not_to_be_had_without_its_limit(self):
        """If the limit cannot be recorded, no key is created, unless it has no rules."""
        user = self.integration.user_id
        natives = self.env["res.users.apikeys"].with_user(user).sudo()
        keys = type(self.env["auth.integration.key"])
        with patch.object(keys, "_record_generated", side_effect=ValueError):
            with self.assertLogs("odoo.addons.auth_integration.models.res_users_apikeys"):
                self.assertTrue(natives._generate(None, "x", False))
            self.integration.policy_id.default_access = "read_only"
            with self.assertRaises(ValueError):
                natives._generate(None, "y", False)

    def test_existing_keys_do_not_change(self):
        """Keys that are found in the database do not change, either."""
        _secret, key = self._issue(self.integration)
        self.integration.policy_id.default_access = "listed"
        self.assertEqual(key.access, "full")
        self.env.cr.execute(
            "INSERT INTO res_users_apikeys (name, user_id, index, key, create_date)"
            " VALUES ('by SQL', %s, 'abcdabcd', 'hash', now())", [self.integration.user_id.id],
        )
        self.env["auth.integration.key"]._reconcile()
        found = self.integration.key_ids.filtered(lambda key: key.name == "by SQL")
        self.assertEqual((found.access, self._scope(found)), ("full", None))

    def test_a_rotated_key_has_every_rule_and_so_have_its_siblings(self):
        _secret, key = self._issue(self.integration, operations=OPERATIONS)
        key.set_access(mode="report", networks="192.0.2.0/24", reason="x")
        self.integration.policy_id.default_access = "full"
        rotation = self.env["auth.integration.rotation"]._open(key, self.owner)
        for _sibling in range(2):
            _secret, new = rotation._make_new_key()
            self.assertEqual(
                (new.access, new.access_mode, new.allowed_networks, self._allowed(new)),
                ("listed", "report", "192.0.2.0/24", sorted(OPERATIONS)),
            )
            self.assertEqual(self._scope(new), RESTRICTED)

    def test_stock_refuses_what_has_a_rule(self):
        """Stock accepts it again once it has no rule; in report mode, access is not a rule."""
        secret, key = self._issue(self.integration)
        for values, is_rule in (
            ({}, False),
            ({"access": "read_only"}, True),
            ({"mode": "report"}, False),
            ({"mode": "enforce"}, True),
            ({"access": "listed", "operations": OPERATIONS}, True),
            ({"access": "full"}, False),
            ({"networks": "192.0.2.1"}, True),
            ({"networks": ""}, False),
        ):
            if values:
                key.set_access(**values, reason="x")
            self.assertEqual(self._scope(key), RESTRICTED if is_rule else "rpc", values)
            self.assertEqual(bool(self._by_stock(secret)), not is_rule, values)
            self.assertEqual(self._check(secret), self.integration.user_id.id, values)

    def test_it_comes_back_with_a_revoked_key(self):
        secret, key = self._issue(self.integration, access="read_only")
        key.revoke("by mistake")
        key.with_user(self.manager)._undo_revocation("it was a mistake")
        self.assertEqual((key.access, self._scope(key)), ("read_only", RESTRICTED))
        self.assertFalse(self._by_stock(secret))
