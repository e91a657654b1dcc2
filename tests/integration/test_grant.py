from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import new_test_user, tagged

from ...models.mixins import fresh_identity
from ..common import MANAGER, OWNER, SYSTEM, IntegrationCommon

PARTNER_MANAGER = "base.group_partner_manager"


@tagged("post_install", "-at_install")
class TestGrant(IntegrationCommon):
    """Nobody gives an integration, or its owners, more than they could grant.

    There are two companies, and an integration in the second one whose user has a group that no
    manager has. Each way to get or give its rights is tried by each caller.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a = cls.env.company
        cls.b = cls.env["res.company"].create({"name": "Company B"})
        both = cls.a | cls.b
        cls.callers = {
            name: cls._person(name, groups, companies)
            for name, groups, companies in (
                ("of A", MANAGER, cls.a),
                ("of B", MANAGER, cls.b),
                ("of both", MANAGER, both),
                ("with the group", f"{MANAGER},{PARTNER_MANAGER}", cls.b),
                ("access rights", f"{MANAGER},base.group_erp_manager", cls.a),
                ("settings", SYSTEM, cls.a),
                ("owner", OWNER, cls.b),
                ("owner who manages", MANAGER, cls.a),
            )
        }
        cls.owners = cls.callers["owner"] | cls.callers["owner who manages"]
        cls.spare = cls._person("spare", OWNER, cls.b)
        cls.env.cr.execute("UPDATE res_users SET password = NULL WHERE id = %s", [cls.spare.id])
        cls.leaving = cls._person("leaving", OWNER, cls.b)
        cls.in_b = cls._create_integration("in_b", cls.owners, company_id=cls.b.id)
        cls.strict = cls.env["auth.integration.policy"].create(
            {"name": "Strict", "max_age_days": 60, "notice_days": "30"}
        )
        cls.in_b.policy_id = cls.strict
        cls.key = cls._issue(cls.in_b, access="read_only")[1]

    @classmethod
    def _person(cls, name, groups, companies):
        return new_test_user(
            cls.env, name.replace(" ", "_"), groups, name=name,
            company_id=companies[0].id, company_ids=[Command.set(companies.ids)],
        )

    def _give_group(self):
        self.in_b.user_id.group_ids += self.env.ref(PARTNER_MANAGER)
        self.spare.group_ids += self.env.ref(PARTNER_MANAGER)

    def _allowed(self, act, among=None):
        """Return the names of the callers who are not refused."""
        names = set()
        for name in among or self.callers:
            self.env.flush_all()
            try:
                with self.env.cr.savepoint():
                    act(self.callers[name])
                    raise RuntimeError
            except RuntimeError:
                names.add(name)
            except UserError:  # an AccessError is one; a company that is not seen is not found
                pass
            self.env.invalidate_all()
        return names

    # The doors ---------------------------------------------------------------------------------

    def _create(self, caller, **values):
        return self.env["auth.integration"].with_user(caller).create(
            {"name": "New", "code": "new", **values}
        )

    def _provision(self, caller, **values):
        return self.env["auth.integration"].with_user(caller).provision([values])

    def _import(self, caller, *row):
        answer = self.env["auth.integration"].with_user(caller).load(
            ["code", "name", "company_id/.id", "user_id/.id"], [["new", "New", *row]]
        )
        if answer["messages"]:
            raise AccessError(answer["messages"][0]["message"])

    def _write(self, caller, **values):
        self.in_b.with_user(caller).write(values)

    def _become_owner(self, caller):
        self.in_b.sudo().owner_ids = self.leaving
        self._write(caller, owner_ids=[Command.link(caller.id)])

    def _hand_over(self, caller):
        """Do what the dialog does; to archive the former owner needs Access Rights besides."""
        self.in_b.sudo().owner_ids = self.leaving
        dialog = self.env["auth.integration.handover"].with_user(caller).create(
            {"user_ids": self.leaving.ids, "owner_id": caller.id}
        )
        with patch.object(type(self.leaving), "action_archive"):
            dialog.action_hand_over()

    def _convert_own(self, caller):
        """Convert a key of the caller's own; the new user acts in their companies."""
        soon = fields.Datetime.now() + timedelta(days=1)
        self.env["res.users.apikeys"].with_user(caller).sudo()._generate("rpc", "own", soon)
        keys = self.env["auth.integration.key"].sudo()
        keys._import_missing()
        own = keys.search([("user_id", "=", caller.id)]).with_user(caller)
        action = own.action_convert()
        dialog = self.env[action["res_model"]].with_user(caller).browse(action["res_id"])
        dialog.line_ids.method = "replace"
        dialog.action_convert()

    def _claim(self, caller):
        if not self.key.open_rotation_id:
            self.key.sudo().action_rotate_now()
        rotation = self.env["auth.integration.rotation"].sudo().search(
            [("old_key_id", "=", self.key.id)]
        )
        rotation.with_user(caller)._claim()

    @property
    def _giving(self):
        """Return what gives an integration, or the rights of one, to somebody."""
        b, spare = self.b.id, self.spare.id
        return {
            "creation": lambda user: self._create(user, company_id=b),
            "takeover at creation": lambda user: self._create(user, user_id=spare),
            "takeover": lambda user: self._write(user, user_id=spare),
            "provisioning": lambda user: self._provision(user, code="p", company="Company B"),
            "provisioning of a known one": lambda user: self._provision(
                user, code="in_b", owners=["sam"]
            ),
            "import": lambda user: self._import(user, str(b), ""),
            "import with a user": lambda user: self._import(user, "", str(spare)),
            "another owner": lambda user: self._write(
                user, owner_ids=[Command.link(self.stranger.id)]
            ),
            "the caller as owner": self._become_owner,
            "hand-over": self._hand_over,
        }

    @property
    def _operating(self):
        """Return what an owner may do as well."""
        return {
            "issuing": lambda user: self.in_b.with_user(user).issue_key(),
            "claiming": self._claim,
            "rotating": lambda user: self.key.with_user(user).action_rotate_now(),
            "more access": lambda user: self.key.with_user(user).set_access("full", reason="x"),
            "second factor": lambda user: self.in_b.with_user(user)._check_may_operate(),
        }

    @property
    def _widening(self):
        return {
            "more networks": lambda user: self._write(user, allowed_networks="10.0.0.0/8"),
            "a longer life": lambda user: self.strict.with_user(user).write({"max_age_days": 90}),
            "another policy": lambda user: self._write(
                user, policy_id=self.integration.policy_id.id
            ),
            "restoring": lambda user: self._write(user, active=True),
        }

    # The callers -------------------------------------------------------------------------------

    def test_a_manager_gives_what_is_theirs(self):
        """Of another company nothing, whichever way."""
        may = {"of B", "of both", "with the group", "access rights", "settings"}
        for name, act in self._giving.items():
            with self.subTest(name):
                self.assertEqual(self._allowed(act), may)

    def test_a_group_that_managers_do_not_have(self):
        self._give_group()
        may = {"with the group", "access rights", "settings"}
        for name, act in self._giving.items():
            if name not in ("creation", "provisioning", "import"):  # of a user without groups
                with self.subTest(name):
                    self.assertEqual(self._allowed(act), may)

    def test_a_conversion(self):
        """Whoever converts their own key gives no more than they have."""
        managers = set(self.callers) - {"owner"}
        self.assertEqual(self._allowed(self._convert_own), managers)

    def test_owners_operate_what_was_given_to_them(self):
        """Also if they could not grant it; another manager may not."""
        self._give_group()
        may = {"with the group", "access rights", "settings", "owner", "owner who manages"}
        for name, act in self._operating.items():
            with self.subTest(name):
                self.assertEqual(self._allowed(act), may)
        for name, act in self._widening.items():
            if name == "more networks":
                self.in_b.allowed_networks = "10.1.0.0/16"
            if name == "restoring":
                self.in_b.active = False
            with self.subTest(name):
                self.assertEqual(self._allowed(act), may - {"owner"})

    def test_administration_rights_are_settings_business(self):
        self.in_b.user_id.group_ids += self.env.ref("base.group_erp_manager")
        self.spare.group_ids += self.env.ref("base.group_erp_manager")
        self.key.sudo()._write_access(self.key._current_access()._replace(access="read_only"))
        for name, act in {**self._operating, **self._widening}.items():
            if name == "restoring":
                self.in_b.active = False
            with self.subTest(name):
                self.assertLessEqual(self._allowed(act), {"settings"})
        self.in_b.active = True
        for name in ("takeover", "takeover at creation", "import with a user", "another owner"):
            with self.subTest(name):
                self.assertEqual(self._allowed(self._giving[name]), {"settings"})

    def test_everybody_ends_keys_as_before(self):
        self._give_group()
        for act in (
            lambda user: self.key.with_user(user).revoke("lost"),
            lambda user: self.in_b.with_user(user).revoke_all_keys("lost"),
            lambda user: self.key.with_user(user).revoke("lost", compromised=True),
        ):
            self.assertEqual(self._allowed(act), set(self.callers))

    def test_asking_reaches_those_who_could(self):
        """A request for help goes to no manager who would be refused."""
        self._give_group()
        requests = self.env["auth.integration.admin.request"].with_user(self.callers["owner"])
        asked = requests._recipients(self.in_b)
        self.assertIn(self.callers["with the group"], asked)
        self.assertFalse(asked & (self.callers["of A"] | self.callers["of both"] | self.manager))


@tagged("post_install", "-at_install")
class TestIdentityByEffect(IntegrationCommon):
    """A change needs an identity check if keys may do more, or are given to somebody else."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.policy = cls.env["auth.integration.policy"].create(
            {"name": "Mine", "max_age_days": 60, "notice_days": "30", "overlap_days": 5,
             "max_extension_days": 10, "default_access": "read_only"}
        )
        cls.wide = cls.policy.copy({"name": "Wide", "max_age_days": 61})
        cls.narrow = cls.policy.copy({"name": "Narrow", "max_age_days": 59})
        cls.integration.write(
            {
                "policy_id": cls.policy.id, "allowed_networks": "10.0.0.0/8",
                "allowed_channels": "json2,xmlrpc", "webhook_url": "https://hooks.example/a",
                "owner_ids": [Command.link(cls.stranger.id)],
            }
        )
        cls.env["auth.integration"].search([("id", "!=", cls.integration.id)]).policy_id = (
            cls.narrow.copy({"name": "Others"})
        )

    def _is_asked(self, record, values):
        self.env.flush_all()
        # As in a session: code that runs as superuser is not asked.
        with patch.object(fresh_identity, "has_fresh_identity", side_effect=lambda env: env.su):
            try:
                with self.env.cr.savepoint():
                    record.with_user(self.system).write(values)
                    raise RuntimeError
            except RuntimeError:
                return False
            except fresh_identity.IdentityCheckRequired:
                return True
            finally:
                self.env.invalidate_all()

    def test_integration(self):
        for values, is_asked in (
            ({"allowed_networks": "10.1.0.0/16\n10.2.0.0/16"}, False),
            ({"allowed_networks": "10.0.0.0/9\n10.128.0.0/9"}, False),
            ({"allowed_networks": "10.0.0.0/8\n192.0.2.1"}, True),
            ({"allowed_networks": False}, True),
            ({"allowed_channels": "json2"}, False),
            ({"allowed_channel_xmlrpc": False}, False),
            ({"allowed_channel_http": True}, True),
            ({"allowed_channels": False}, True),
            ({"owner_ids": [Command.unlink(self.stranger.id)]}, False),
            ({"owner_ids": [Command.link(self.manager.id)]}, True),
            ({"webhook_url": False}, False),
            ({"webhook_url": "https://hooks.example/b"}, True),
            ({"alert_url": "https://hooks.example/a"}, False),
            ({"policy_id": self.narrow.id}, False),
            ({"policy_id": self.wide.id}, True),
            ({"company_id": self.env.company.id}, True),
            ({"active": False}, False),
            ({"environment": "test", "name": "Renamed", "code": "renamed"}, False),
        ):
            with self.subTest(values=values):
                self.assertEqual(self._is_asked(self.integration, values), is_asked)

    def test_restoring(self):
        self.integration.active = False
        self.assertTrue(self._is_asked(self.integration, {"active": True}))
        self.assertTrue(self._is_asked(self.integration.user_id, {"active": True}))

    def test_policy(self):
        for values, is_asked in (
            ({"max_age_days": 59}, False),
            ({"max_age_days": 61}, True),
            ({"overlap_days": 6}, True),
            ({"max_extension_days": 11}, True),
            ({"on_deadline": "enforce"}, False),
            ({"default_access": "full"}, True),
            ({"delivery": "webhook"}, True),
            ({"name": "Other", "dormant_days": 99, "window_start": 3}, False),
        ):
            with self.subTest(values=values):
                self.assertEqual(self._is_asked(self.policy, values), is_asked)

    def test_a_policy_that_nothing_uses(self):
        """It widens no key. An integration that gets it is compared then."""
        self.assertFalse(self._is_asked(self.wide, {"max_age_days": 300}))
