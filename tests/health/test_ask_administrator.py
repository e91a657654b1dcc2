from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ...models.health import auth_integration_admin_request as admin_request
from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestAskAdministrator(IntegrationCommon):
    """Owners ask administrators for fixes they may not make: once per cause and day."""

    def setUp(self):
        super().setUp()
        self.secret, self.key = self._issue(self.integration)
        self.diagnosis = self.env["auth.integration.diagnosis"].create(
            {"integration_id": self.integration.id, "requested_by": self.owner.id}
        )

    def _line(self, name, user=None):
        self.env.flush_all()
        self.env.invalidate_all()
        self.diagnosis.line_ids.unlink()
        for check in ("user", "keys", "rules", "attempts"):
            getattr(self.diagnosis, f"_check_{check}")()
        [line] = self.diagnosis.line_ids.filtered(lambda line: line.check_name == name)
        return line.with_user(user or self.owner)

    def _requests(self):
        kind = self.env.ref(admin_request.ACTIVITY)
        return self.integration.activity_ids.filtered(lambda a: a.activity_type_id == kind)

    def _pass_days(self, days):
        self.env.flush_all()
        self.env.cr.execute("UPDATE auth_integration_admin_request SET day = day - %s", [days])
        self.env.invalidate_all()

    def _refused(self, **values):
        now = fields.Datetime.now() - timedelta(minutes=1)
        row = {
            "outcome": "failure", "channel": "json2", "database": self.env.cr.dbname,
            "integration_id": self.integration.id, "cause": "address_not_allowed",
            "key_id": self.key.id, "remote_addr": "198.51.100.7",
        } | values
        self.env.flush_all()
        self.env["auth.attempt"]._upsert(row, 1, now, now)
        self.env.cr.execute("SELECT max(id) FROM auth_attempt")
        return self.env["auth.attempt"].browse(self.env.cr.fetchone()[0])

    def test_an_owner_asks(self):
        self.integration.user_id.action_archive()
        line = self._line("User")
        self.assertEqual((line.may_fix, line.can_ask, line.was_asked), (False, True, False))
        self.assertIn("ask an administrator", line.remedy)
        line.action_ask_administrator()
        self.assertEqual((line.can_ask, line.was_asked), (False, True))
        requests = self._requests()
        self.assertIn(self.manager, requests.user_id)
        self.assertNotIn(self.owner, requests.user_id)
        mine = requests.filtered(lambda activity: activity.user_id == self.manager)
        self.assertIn("Olivia Owner", mine.summary)
        for words in ("shop", "is archived", "restore", "auth.integration.diagnosis"):
            self.assertIn(words, mine.note)

    def test_once_per_cause_and_day(self):
        self.integration.user_id.action_archive()
        self._line("User").action_ask_administrator()
        count = len(self._requests())
        with self.assertRaisesRegex(UserError, "already asked today"):
            self._line("User").action_ask_administrator()
        self.assertEqual(len(self._requests()), count)
        self.integration.allowed_networks = "10.0.0.0/8"
        self.env["auth.integration.key.address"].create(
            {"key_id": self.key.id, "address": "192.0.2.9",
             "first_seen": fields.Datetime.now(), "last_seen": fields.Datetime.now()}
        )
        self._line("Networks").action_ask_administrator()
        self.assertEqual(len(self._requests()), 2 * count)
        self._pass_days(1)
        self.assertTrue(self._line("User").can_ask)

    def test_again_once_it_was_fixed(self):
        """What happens again that day is another problem; the limit of a day still counts."""
        user = self.integration.user_id
        user.action_archive()
        self._line("User").action_ask_administrator()
        line = self._line("User")
        user.action_unarchive()
        self.assertFalse(self._requests(), "at once, not with the next run of the job")
        line.invalidate_recordset()
        self.assertFalse(line.can_ask or line.was_asked, "what it found is fixed")
        user.action_archive()
        line = self._line("User")
        self.assertEqual((line.can_ask, line.was_asked), (True, False))
        self.patch(admin_request, "MAX_REQUESTS", 1)
        with self.assertRaisesRegex(UserError, "too often"):
            line.action_ask_administrator()
        self.patch(admin_request, "MAX_REQUESTS", 2)
        line.action_ask_administrator()
        self.assertIn(self.manager, self._requests().user_id)

    def test_before_any_call_was_rejected_for_it(self):
        """The key is mistyped too, so no call has come far enough to meet the archived user."""
        user = self.integration.user_id
        user.action_archive()
        self._refused(cause="key_unknown", key_id=None)
        finding = self._found(self.owner)
        self.assertFalse(finding.attempt_id)
        self.assertEqual((finding.fix, finding.was_asked), ("ask_administrator", False))
        self.assertTrue(finding.is_next_step)
        finding.action_ask_administrator()
        self.assertNotEqual(finding.fix, "ask_administrator")
        self.assertTrue(finding.was_asked)
        self.assertIn("is archived", self._requests()[:1].note)
        with self.assertRaisesRegex(UserError, "already asked today"):
            finding.action_ask_administrator()
        user.action_unarchive()
        self.assertFalse(self._requests())

    def test_who_can_restore_the_user_does_not_ask(self):
        self.integration.user_id.action_archive()
        self.assertEqual(self._found(self.system).fix, "restore_user")
        self.assertFalse(self._found(self.system).can_ask)
        with self.assertRaises(AccessError):
            self._found(self.stranger).action_ask_administrator()
        self.assertFalse(self._requests())

    def _found(self, user):
        self.env.flush_all()
        self.env.invalidate_all()
        found = self.env["auth.integration.finding"].search(
            [("code", "=", "archived_user_live_key"),
             ("integration_id", "=", self.integration.id)]
        )
        return found.with_user(user)

    def test_not_too_often(self):
        self.patch(admin_request, "MAX_REQUESTS", 1)
        self.integration.user_id.action_archive()
        self._line("User").action_ask_administrator()
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt = self._refused()
        with self.assertRaisesRegex(UserError, "too often"):
            attempt.with_user(self.owner).action_ask_administrator()

    def test_only_for_their_own_integration(self):
        self.integration.user_id.action_archive()
        line = self._line("User")
        with self.assertRaises(AccessError):
            line.with_user(self.stranger).action_ask_administrator()
        attempt = self._refused(cause="user_archived", user_id=self.integration.user_id.id)
        with self.assertRaises(AccessError):
            attempt.with_user(self.stranger).action_ask_administrator()
        with self.assertRaises(AccessError):
            self.env["auth.integration.admin.request"].with_user(self.owner).create(
                {"integration_id": self.integration.id, "cause": "x", "day": "2026-01-01"}
            )
        requests = self.env["auth.integration.admin.request"].with_user(self.stranger)
        with self.assertRaises(AccessError):
            requests._make(self.integration.with_user(self.stranger), "x", [], self.diagnosis)
        self.assertFalse(self._requests())

    def test_nothing_to_ask_for(self):
        """Fixes that owners make themselves, passed checks, solved issues, and administrators."""
        self.key.revoke("gone")
        line = self._line("Keys")
        self.assertEqual((line.may_fix, line.can_ask), (True, False))
        self.assertFalse(self._line("Rights").can_ask)
        self.integration.user_id.action_archive()
        line = self._line("User", self.system)
        self.assertEqual((line.may_fix, line.can_ask), (True, False))
        line = self._line("User")
        line.sudo().is_solved = True
        self.assertFalse(line.can_ask)
        line.action_ask_administrator()
        self.assertFalse(self._requests())

    def test_a_manager_asks_settings(self):
        self.integration.user_id.action_archive()
        line = self._line("User", self.manager)
        self.assertTrue(line.can_ask)
        line.action_ask_administrator()
        self.assertIn(self.system, self._requests().user_id)
        self.assertNotIn(self.manager, self._requests().user_id)

    def test_a_privileged_user_is_settings_business(self):
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        self.key.revoke("gone")
        line = self._line("Keys")
        self.assertEqual((line.may_fix, line.can_ask), (False, True))
        line.action_ask_administrator()
        self.assertNotIn(self.manager, self._requests().user_id)

    def test_from_an_attempt(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt = self._refused(login='<img src="x">')
        self.assertFalse(attempt.with_user(self.manager).can_ask)
        attempt = attempt.with_user(self.owner)
        self.assertTrue(attempt.can_ask)
        attempt.action_ask_administrator()
        self.assertEqual((attempt.can_ask, attempt.was_asked), (False, True))
        note = self._requests().filtered(lambda a: a.user_id == self.manager).note
        self.assertIn("198.51.100.7", note)
        self.assertIn(f'data-oe-id="{attempt.id}"', note)

    def test_hostile_text_stays_text(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        self.integration.name = "<script>alert(1)</script>"
        self._refused().with_user(self.owner).action_ask_administrator()
        self.assertNotIn("<script", "".join(self._requests().mapped("note")))

    def test_a_copy_of_the_database_asks_no_one(self):
        self.integration.user_id.action_archive()
        line = self._line("User")
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        with self.assertRaisesRegex(UserError, "copy"):
            line.action_ask_administrator()
        self.assertFalse(self._requests())

    def test_requests_are_forgotten(self):
        self.integration.user_id.action_archive()
        self._line("User").action_ask_administrator()
        requests = self.env["auth.integration.admin.request"]
        requests._gc_requests()
        self.assertTrue(requests.search([]))
        self._pass_days(31)
        requests._gc_requests()
        self.assertFalse(requests.search([]))

    # After a fix

    def _close(self):
        self.env.flush_all()
        self.env.invalidate_all()
        self.env["auth.integration.admin.request"].sudo()._close_fixed()
        return self._requests()

    def test_a_request_is_done_once_the_address_is_allowed(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        self._refused().with_user(self.owner).action_ask_administrator()
        self.assertTrue(self._close())
        self.integration.allowed_networks = False
        self.assertFalse(self._requests(), "at once, not with the next run of the job")
        self.assertIn("The issue is gone.", " ".join(self.integration.message_ids.mapped("body")))

    def test_a_request_is_done_once_the_caller_succeeds(self):
        self._move(self.key, issued_at=fields.Datetime.now() - timedelta(days=1))
        attempt = self._refused(cause="key_unknown", key_id=None)
        self.env["auth.integration.admin.request"].with_user(self.owner)._make(
            self.integration.with_user(self.owner), "key_unknown", ["x"], attempt, attempt=attempt
        )
        self.assertTrue(self._close())
        self.env["auth.attempt"]._upsert(
            {"outcome": "success", "channel": "json2", "database": self.env.cr.dbname,
             "integration_id": self.integration.id, "remote_addr": "198.51.100.7"},
            1, fields.Datetime.now(), fields.Datetime.now(),
        )
        self.assertFalse(self._close())

    def test_a_request_is_done_once_the_user_is_back(self):
        """Of two requests, only that one is closed."""
        self.integration.user_id.action_archive()
        self._line("User").action_ask_administrator()
        count = len(self._requests())
        self.integration.with_user(self.owner).action_request_access_rights()
        self.assertEqual(len(self._close()), 2 * count)
        self.integration.user_id.action_unarchive()
        self.assertEqual(len(self._close()), count)
        self.integration.user_id.group_ids += self.env.ref("base.group_partner_manager")
        self.assertFalse(self._close())

    def test_the_job_for_incidents_looks(self):
        self.integration.with_user(self.owner).action_request_access_rights()
        self.integration.user_id.group_ids += self.env.ref("base.group_partner_manager")
        with self.enter_registry_test_mode():
            self.env.ref("auth_integration.ir_cron_incidents").method_direct_trigger()
        self.assertFalse(self._requests())
