import logging
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from ...models.mixins import fresh_identity
from ...tools.access.operation_counts import Counts
from ..common import IntegrationCommon

READ, CREATE = ("res.partner", "search_read"), ("res.partner", "create")
COUNTS_LOG = "odoo.addons.auth_integration.models.access.auth_integration_key_counts"
READ_COUNTRY = ("res.country", "search_read")


@tagged("post_install", "-at_install")
class TestChangeAccess(IntegrationCommon):
    """The dialog shows what an access would have rejected, and changes it."""

    def setUp(self):
        super().setUp()
        _secret, self.key = self._issue(self.integration)

    def _use(self, operation, uses=1, writes=0, refused=0, key=None, days=1):
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT EXTRACT(epoch FROM now() - make_interval(days => %s))", [days]
        )
        at = float(self.env.cr.fetchone()[0])
        counted = {operation: Counts(uses, writes, refused, at, at)}
        self.env["auth.integration.key"]._record_operations((key or self.key).id, counted)

    def _dialog(self, user=None, method="action_change_access"):
        action = getattr(self.key.with_user(user or self.owner), method)()
        self.assertEqual(action["res_model"], "auth.integration.access")
        self.assertEqual(action["name"], "Change Access")
        return self.env["auth.integration.access"].with_user(user or self.owner).browse(
            action["res_id"]
        )

    def test_reads_only_is_suggested_when_nothing_was_written(self):
        self._use(READ, 7)
        dialog = self._dialog(method="action_suggest_access")
        self.assertEqual(dialog.access, "read_only")
        self.assertEqual(
            dialog.effect, "Nothing that this key did in the last 90 days would have been rejected."
        )
        dialog.action_change()
        self.assertEqual(self.key.access, "read_only")
        self.assertEqual(self.key.access_summary, "Read only")
        self.assertIn("Suggested from its use", self.key.history)

    def test_a_list_is_suggested_when_something_was(self):
        self._use(READ, 7)
        self._use(CREATE, 2, 2)
        self._use(("res.partner", "unlink"), 2, 2, days=91)
        dialog = self._dialog()
        self.assertEqual(dialog.access, "full")
        dialog.action_suggest()
        self.assertEqual(dialog.access, "listed")
        allowed = dialog.line_ids.filtered("allowed")
        self.assertEqual({(one.model, one.method) for one in allowed}, {READ, CREATE})
        self.assertIn("Nothing that this key did", dialog.effect)
        allowed.filtered(lambda one: one.method == "create").allowed = False
        self.assertIn("res.partner.create: 2 calls", dialog.effect)

    def test_the_effect_follows_what_is_chosen(self):
        self._use(CREATE, 5, 3)
        with Form(self._dialog()) as form:
            form.access = "read_only"
            self.assertIn("res.partner.create: 5 calls", form.effect)
            form.access = "listed"
            self.assertIn("res.partner.create: 5 calls", form.effect)
            with form.line_ids.new() as line:
                line.model, line.method = "res.partner", "*"
            self.assertIn("Nothing that this key did", form.effect)
            form.reason = "It creates contacts"

    def test_a_route_is_named_by_its_path(self):
        self._use(("http", "/json/1/<path:subpath>"), 2, 2)
        dialog = self._dialog()
        dialog.access = "read_only"
        self.assertIn("• /json/1/<path:subpath>: 2 calls", dialog.effect)

    def test_the_use_of_the_replaced_key_counts(self):
        self._use(CREATE, 5, 3)
        _secret, newer = self._issue(self.integration)
        newer.sudo().replaces_id = self.key
        self.assertEqual(newer._suggested_access().access, "listed")
        self.assertIn("Nothing", newer._effect_text(newer._suggested_access()))

    def test_without_use_nothing_is_suggested(self):
        dialog = self._dialog()
        self.assertIn("cannot be predicted", dialog.effect)
        with self.assertRaises(UserError):
            dialog.action_suggest()

    def test_unused_rights_are_named(self):
        partner_manager = self.env.ref("base.group_partner_manager")
        self.integration.user_id.group_ids |= partner_manager
        self._use(READ, 3)
        self._use(CREATE, 1, 1)
        text = self._dialog().unused_rights
        self.assertIn("The user can delete Contact. The key has not done so.", text)
        self.assertNotIn("can create Contact", text)
        self.assertIn("other models", text)
        self._use(("res.partner", "unlink"), 1, 1)
        self.assertNotIn("can delete Contact", self._dialog().unused_rights)

    def test_report_mode_counts_and_is_enforced_with_one_click(self):
        self._dialog().write({"access": "listed", "access_mode": "report", "reason": "Try it"})
        dialog = self.env["auth.integration.access"].with_user(self.owner).search([], limit=1)
        dialog.action_change()
        self.assertEqual(self.key.access_summary, "0 operations (report only)")
        self.assertTrue(self.key.access_changed_at)
        with self.assertLogs(COUNTS_LOG, logging.INFO) as logs:
            self._use(READ, 7, refused=7)
        self.assertIn("res.partner.search_read (7)", logs.output[0])
        with self.assertNoLogs(COUNTS_LOG, logging.INFO):
            self._use(CREATE, 0)
        self.key.invalidate_recordset()
        self.assertEqual(self.key.reported_count, 7)
        self.key.with_user(self.owner).action_enforce_access()
        self.assertEqual(self.key.access_mode, "enforce")
        self.assertEqual(self.key.reported_count, 0, "counted from the change on")
        self.assertEqual(sum(self.key.operation_ids.mapped("use_count")), 7)

    def test_words(self):
        self.assertEqual(self.key.access_summary, "All rights of the user")
        self.key.set_access("listed", operations=[READ], reason="x")
        self.assertEqual(self.key.access_summary, "1 operation")
        self.key.set_access(operations=[READ, CREATE, READ_COUNTRY], mode="report", reason="x")
        self.assertEqual(self.key.access_summary, "3 operations (report only)")

    def test_widening_asks_who_sits_there(self):
        """Widening access asks for the user's identity in the web client; narrowing does not."""
        dialog = self._dialog()
        dialog.write({"access": "read_only", "reason": "Less"})
        with patch.object(fresh_identity, "has_fresh_identity", return_value=False), patch.object(
            type(dialog), "_widen", side_effect=AssertionError
        ):
            dialog.action_change()
        self.assertEqual(self.key.access, "read_only")
        dialog = self._dialog()
        dialog.write({"access": "full", "reason": "More"})
        with patch.object(fresh_identity, "_is_session_call", return_value=True), patch.object(
            fresh_identity, "has_fresh_identity", return_value=False
        ), self.assertRaises(UserError):  # Odoo's own check needs a browser
            dialog.action_change()
        self.assertEqual(self.key.access, "read_only")
        dialog.action_change()
        self.assertEqual(self.key.access, "full")

    def test_who_may(self):
        with self.assertRaises(AccessError):
            self.key.with_user(self.stranger).action_change_access()
        with self.assertRaises(AccessError):
            self.key.with_user(self.integration.user_id).action_change_access()
        for user in (self.owner, self.manager, self.system):
            dialog = self._dialog(user)
            dialog.write({"access": "read_only", "reason": "x"})
            dialog.action_change()
            self.assertEqual(self.key.access, "read_only")
            self.key.set_access("full", reason="x")

    def test_a_dialog_about_a_foreign_key_changes_and_tells_nothing(self):
        """It does not show or change anything for a user who can no longer read the key, either."""
        self._use(READ, 7)
        dialogs = self.env["auth.integration.access"].with_user(self.stranger)
        values = {"key_id": self.key.id, "access": "read_only", "reason": "x"}
        with self.assertRaises(AccessError):
            dialogs.create(values)
        dialog = dialogs.sudo().create(values).sudo(False)
        for field in ("effect", "unused_rights"):
            with self.assertRaises(AccessError):
                dialog[field]
        for action in ("action_change", "action_suggest", "_widen"):
            with self.assertRaises(AccessError):
                getattr(dialog, action)()
        self.assertEqual(self.key.access, "full")
