from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import Form, tagged

from ...wizard.key import auth_integration_issue
from ..common import IntegrationCommon

OPERATIONS = "res.partner.search_read\n res.country.* \n"


@tagged("post_install", "-at_install")
class TestIssueAccess(IntegrationCommon):
    """The access of a key is chosen where it is created, and shown where a system is connected."""

    def _form(self):
        dialogs = self.env["auth.integration.issue"].with_user(self.owner)
        return Form(dialogs.with_context(default_integration_id=self.integration.id))

    def _issue_by(self, form):
        """Do what the button does after the identity check, which needs a browser."""
        issue = auth_integration_issue.AuthIntegrationIssue.action_issue.__wrapped__
        with patch.object(auth_integration_issue, "show_key_action"):
            issue(form.save())
        return self.integration.key_ids.sorted("id")[-1]

    def test_the_policy_has_the_default(self):
        self.assertEqual(self._issue_by(self._form()).access, "full")
        self.integration.policy_id.default_access = "read_only"
        form = self._form()
        self.assertEqual(form.access, "read_only")
        self.assertEqual(self._issue_by(form).access_summary, "Read only")

    def test_operations_are_listed(self):
        form = self._form()
        form.access, form.operations = "listed", OPERATIONS
        key = self._issue_by(form)
        self.assertEqual(
            key._current_access().operations,
            {("res.partner", "search_read"), ("res.country", "*")},
        )
        self.assertEqual(key.access_summary, "2 operations")
        self.assertEqual(
            self._form().operations, "res.country.*\nres.partner.search_read",
            "the next one begins with the list of the newest",
        )

    def test_a_list_that_is_none(self):
        for text in ("partners", "", "no.such.model.read"):
            form = self._form()
            form.access, form.operations = "listed", text
            with self.assertRaises(UserError):
                self._issue_by(form)
        self.assertFalse(self.integration.key_ids)

    def test_operations_count_for_a_list_only(self):
        form = self._form()
        form.access, form.operations = "listed", OPERATIONS
        form.access = "read_only"
        self.assertFalse(self._issue_by(form)._current_access().operations)

    def test_the_connection_sheet_tells(self):
        self.integration.issue_key(access="read_only")
        self.integration.issue_key(access="listed", operations=[["res.partner", "read"]])
        _secret, ended = self._issue(self.integration)
        ended.revoke("x")
        sheet = self.integration.with_user(self.owner)._connection_sheet_values()
        self.assertEqual(
            sheet["access"], [("Read only", []), ("1 operation", ["res.partner.read"])]
        )
        page = self.env["ir.qweb"]._render("auth_integration.connection_sheet", sheet)
        self.assertIn("Read only", page)
        self.assertIn("res.partner.read", page)
