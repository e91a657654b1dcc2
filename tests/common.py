"""Shared by the tests: functions that make users, integrations and keys."""

from odoo.fields import Command
from odoo.tests import TransactionCase, new_test_user

from ..tools.attempt import request_state

OWNER = "base.group_user"
MANAGER = "base.group_user,auth_integration.auth_integration_group_manager"
SYSTEM = "base.group_user,base.group_system"


class IntegrationCommon(TransactionCase):
    """An owner, another owner and a manager, each with the minimum access rights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.owner = new_test_user(cls.env, "olivia", OWNER, name="Olivia Owner")
        cls.stranger = new_test_user(cls.env, "sam", OWNER, name="Sam Stranger")
        cls.manager = new_test_user(cls.env, "mona", MANAGER, name="Mona Manager")
        cls.system = new_test_user(cls.env, "sys", SYSTEM, name="Sys Administrator")
        cls.integration = cls._create_integration("shop", cls.owner)
        cls.foreign = cls._create_integration("warehouse", cls.stranger)

    def setUp(self):
        super().setUp()
        # A key that was verified in one test is not that of a call in the next one.
        self.addCleanup(setattr, request_state.current(), "authenticated_key", None)

    @classmethod
    def _create_integration(cls, code, owners, **values):
        return cls.env["auth.integration"].create(
            {
                "name": code.capitalize(),
                "code": code,
                "owner_ids": [Command.set(owners.ids)],
                **values,
            }
        )

    @classmethod
    def _issue(cls, integration, **arguments):
        """Issue a key and return its secret and its record."""
        issued = integration.issue_key(**arguments)
        key = cls.env["auth.integration.key"].search([("prefix", "=", issued["prefix"])])
        return issued["key"], key

    def _check(self, secret, scope="rpc"):
        """Verify an API key; return a user ID or None."""
        self.env.flush_all()  # a real call has its own transaction
        return self.env["res.users.apikeys"]._check_credentials(scope=scope, key=secret)

    def _move(self, key, **dates):
        """Change dates of a key in the database, as if days had passed."""
        for column, date in dates.items():
            self.env.cr.execute(
                f"UPDATE auth_integration_key SET {column} = %s WHERE id = %s", (date, key.id)
            )
        key.invalidate_recordset()

    def _native(self, key):
        self.env.cr.execute(
            "SELECT expiration_date FROM res_users_apikeys WHERE id = %s", (key.apikey_id.id,)
        )
        return self.env.cr.fetchone()
