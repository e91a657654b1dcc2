from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from ...models.mixins import fresh_identity
from ..common import MANAGER, IntegrationCommon

HOLIDAYS = "base.group_partner_manager"


@tagged("post_install", "-at_install")
class TestProvision(IntegrationCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.policy = cls.env["auth.integration.policy"].create({"name": "Quarterly"})
        cls.administrator = new_test_user(
            cls.env, "ada", f"{MANAGER},base.group_erp_manager", name="Ada Administrator"
        )
        cls.described = {
            "code": "web_shop",
            "name": "Web Shop",
            "owners": ["olivia", "sam"],
            "policy": "Quarterly",
            "allowed_networks": ["192.0.2.0/24", "198.51.100.7"],
            "allowed_channels": ["json2", "xmlrpc"],
            "groups": [HOLIDAYS],
        }

    def _provision(self, *descriptions, user=None):
        integrations = self.env["auth.integration"].with_user(user or self.administrator)
        return integrations.provision([*descriptions])

    def _integration(self):
        return self.env["auth.integration"].search([("code", "=", "web_shop")])

    def test_creates_what_is_missing(self):
        [result] = self._provision(self.described)
        integration = self._integration()
        self.assertEqual((result["id"], result["created"]), (integration.id, True))
        self.assertEqual(integration.name, "Web Shop")
        self.assertEqual(integration.owner_ids, self.owner | self.stranger)
        self.assertEqual(integration.policy_id, self.policy)
        self.assertEqual(integration.allowed_networks, "192.0.2.0/24\n198.51.100.7")
        self.assertEqual(integration.allowed_channels, "json2,xmlrpc")
        groups = self.env.ref("base.group_user") | self.env.ref(HOLIDAYS)
        self.assertEqual(integration.user_id.group_ids, groups)

    def test_the_same_again_changes_nothing(self):
        self._provision(self.described)
        self.env.flush_all()
        with patch.object(type(self.env["auth.integration"]), "write") as write:
            [result] = self._provision(self.described)
        write.assert_not_called()
        self.assertEqual((result["created"], result["changed"]), (False, []))
        self.assertEqual(self.env["auth.integration"].search_count([("code", "=", "web_shop")]), 1)

    def test_changes_what_differs(self):
        self._provision(self.described)
        [result] = self._provision(
            {"code": "web_shop", "owners": ["sam"], "groups": [], "name": "Web Shop"}
        )
        self.assertEqual(result["changed"], ["groups", "owners"])
        integration = self._integration()
        self.assertEqual(integration.owner_ids, self.stranger)
        self.assertEqual(integration.user_id.group_ids, self.env.ref("base.group_user"))
        self.assertEqual(integration.policy_id, self.policy, "what is left out stays")

    def test_finds_an_archived_one(self):
        self._provision(self.described)
        self._integration().active = False
        [result] = self._provision({**self.described, "active": True})
        self.assertEqual((result["created"], result["changed"]), (False, ["active"]))

    def test_all_or_nothing_and_says_what_is_wrong(self):
        for wrong, message in (
            ({"owners": ["nobody"]}, "0 records match “nobody”"),
            ({"policy": "None Such"}, "0 records match “None Such”"),
            ({"groups": ["base.none_such"]}, "group base.none_such does not exist"),
            ({"colour": "red"}, "unknown colour"),
            ({"allowed_networks": ["300.1.1.1"]}, "networks"),
            ({"code": "shop"}, "twice"),
        ):
            with self.subTest(wrong=wrong), self.assertRaisesRegex(UserError, message):
                self._provision({"code": "shop"}, {**self.described, **wrong})

    def test_rights_of_the_caller(self):
        for user in (self.owner, self.stranger):
            with self.assertRaises(AccessError):
                self._provision(self.described, user=user)
        with self.assertRaises(AccessError):  # stock: groups need Access Rights
            self._provision(self.described, user=self.manager)
        del self.described["groups"]
        self._provision(self.described, user=self.manager)

    def test_privileged_users_stay_with_settings(self):
        """A manager, who may obtain a user's keys, cannot give the user the rights of Settings."""
        with self.assertRaises(AccessError):
            self._provision({**self.described, "groups": ["base.group_system"]})

    def test_asks_for_identity_where_the_screen_does(self):
        self._provision(self.described)
        with patch.object(fresh_identity, "has_fresh_identity", return_value=False):
            with self.assertRaises(fresh_identity.IdentityCheckRequired):
                self._provision({"code": "web_shop", "allowed_networks": []})
            self._provision({"code": "web_shop", "purpose": "Orders"})

    def test_import_by_code(self):
        """Importing a file without ids updates known codes and creates new ones."""
        columns = ["code", "name", "owner_ids", "policy_id", "allowed_networks"]
        rows = [
            ["web_shop", "Web Shop", "Olivia Owner,Sam Stranger", "Quarterly", "192.0.2.0/24"],
            ["shop", "Renamed", "Olivia Owner", "Quarterly", "198.51.100.7"],
        ]
        integrations = self.env["auth.integration"].with_user(self.manager)
        for _time in range(2):
            result = integrations.load(columns, rows)
            self.assertFalse(result["messages"])
            self.assertEqual(result["ids"], [self._integration().id, self.integration.id])
        self.assertEqual(self.integration.name, "Renamed")
        self.assertEqual(self._integration().owner_ids, self.owner | self.stranger)
        self.assertEqual(self._integration().policy_id, self.policy)
