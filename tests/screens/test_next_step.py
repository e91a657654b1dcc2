"""The screens before and after a fix agree on one next step, decided in one place."""

from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import tagged

from ...models.explanation.auth_attempt_fix import FIXES
from ...tools.attempt import causes
from ...tools.health import findings
from ...tools.moment import moment_text
from ..explanation.test_attempt_explanation import ExplanationCase

ADDRESS = "198.51.100.7"


@tagged("post_install", "-at_install")
class TestNextStep(ExplanationCase):
    def setUp(self):
        """The integration works, and one of its calls was rejected an hour ago."""
        super().setUp()
        self.now = fields.Datetime.now()
        day_ago = self.now - timedelta(days=1)
        self._move(self.key, first_used_at=day_ago, last_used_at=day_ago, issued_at=day_ago,
                   last_used_address=ADDRESS)

    def _rejected(self, cause, **values):
        """Make a rejected attempt an hour ago, its open incident and the box on the form."""
        attempt = self._attempt(cause, **({"key_id": self.key.id} | values))
        at = self._set_back(attempt, hours=1)
        incident = self.env["auth.integration.incident"].sudo().create(
            {
                "kind": "failing", "source": f"test {cause} {self.integration.id}", "cause": cause,
                "opened_at": at,
                "integration_id": self.integration.id, "user_id": self.integration.user_id.id,
                "key_id": attempt.key_id.id, "remote_addr": attempt.remote_addr,
                "channel": attempt.channel,
            }
        )
        self._refresh()
        return attempt, incident.with_user(self.manager)

    def _succeeded(self, **ago):
        self._set_back(self._attempt(None, outcome="success", reference=None), **ago)
        self._refresh()

    def _set_back(self, attempt, **ago):
        at = self.now - timedelta(**ago)
        self.env.cr.execute(
            "UPDATE auth_attempt SET first_seen = %s, last_seen = %s WHERE id = %s",
            (at, at, attempt.id),
        )
        return at

    def _refresh(self):
        self.env.flush_all()
        self.env.invalidate_all()

    def _box(self):
        self._refresh()
        return self.integration.with_user(self.manager).main_finding_ids

    def _assert_open(self, attempt, incident):
        self._refresh()
        self.assertFalse(attempt.is_solved or incident.is_solved)
        self.assertEqual(incident.status, "open")
        self._assert_status("failing")

    def _assert_status(self, status):
        """Check the status on the form, on its card and in the counts of the overview."""
        self._refresh()
        mine = [("id", "=", self.integration.id)]
        integrations = self.env["auth.integration"].with_user(self.manager)
        self.assertEqual(integrations.browse(self.integration.id).status, status)
        self.assertTrue(integrations.search([*mine, ("status", "=", status)]))
        self.assertEqual(integrations._read_group(mine, ["status"]), [(status,)])

    def _assert_solved(self, attempt, incident, text):
        """Check that attempt, incident and integration say so, and none offers the fix again."""
        self._refresh()
        self.assertIn(text, attempt.resolution)
        self.assertIn(text, incident.resolution)
        self.assertEqual(self._fixes(attempt), {"open"})
        self.assertFalse(attempt.primary_fix or incident.fix)
        box = self._box()
        self.assertEqual(box.message, "Fixed, waiting for the next call.")
        self.assertIn(text, box.remedy)
        self.assertEqual((box.severity, incident.status), ("info", "waiting"))
        mine = [("integration_id", "=", self.integration.id), ("id", "=", box.id)]
        self.assertFalse(box.search([*mine, ("severity", "=", "critical")]))
        self.assertEqual(box._read_group(mine, ["severity"]), [("info",)])
        severities = box.search([]).mapped("severity")
        self.assertEqual(severities, sorted(severities, key=findings.SEVERITIES.index))
        self.assertFalse(self.integration.next_step)
        self._assert_status("waiting")

    def test_a_key_was_created(self):
        self._move(self.key, expires_at=self.now - timedelta(hours=2))
        attempt, incident = self._rejected("key_expired")
        self._assert_open(attempt, incident)
        self.assertEqual((attempt.primary_fix, incident.fix), ("issue_key", "issue_key"))
        self.assertEqual(self.integration.with_user(self.owner).next_step, "issue_key")
        self.assertEqual(self.integration.with_user(self.owner).box_fix, "issue_key")
        _secret, new = self._issue(self.integration)
        self._assert_solved(attempt, incident, new.prefix)
        where = f"Install it in the external system at {ADDRESS}"
        self._assert_solved(attempt, incident, where)
        self.assertIn(f"when {ADDRESS} calls", incident.closing)
        self.assertFalse(self.integration.with_user(self.owner).box_fix)
        self._move(new, first_used_at=self.now, last_used_at=self.now)
        self._refresh()
        self.assertTrue(incident.is_solved, "others use it; that host has not called since")
        self._move(new, issued_at=self.now - timedelta(days=3))
        self._refresh()
        self.assertFalse(incident.is_solved, "it has called since, with the old one")
        self.assertFalse(attempt.is_solved)
        what = f"Install the key {new.display_name} in the external system at {ADDRESS}"
        self.assertIn(what, attempt.cause_remedy)
        self.assertIn(what, incident.remedy)
        self.assertFalse(attempt.primary_fix)
        self.assertNotEqual(incident.fix, "issue_key")

    def test_a_key_was_created_where_none_was_recognized(self):
        attempt, incident = self._rejected("key_unknown", key_id=None)
        self._assert_open(attempt, incident)
        _secret, new = self._issue(self.integration)
        self._assert_solved(attempt, incident, new.prefix)
        self._move(new, first_used_at=self.now, last_used_at=self.now)
        self._refresh()
        self.assertTrue(incident.is_solved, "others use it; that host has not called since")
        counted = {"last_failure_at": attempt.last_seen,
                   "source": f"address:{self.integration.id}:{ADDRESS}"}
        incident.sudo().write(counted)
        self._assert_status("waiting")
        self.assertEqual(self._box().severity, "info", "the issue says what the incident says")
        self._move(new, issued_at=self.now - timedelta(days=3))
        self._refresh()
        self.assertFalse(incident.is_solved, "it has called since")
        self._assert_status("failing")

    def test_no_alarm_about_what_was_fixed(self):
        """The card has a red triangle for the owners' activity, but not while it only waits."""
        self._rejected("key_unknown", key_id=None)
        kind = "auth_integration.mail_activity_type_incident"
        self.integration.activity_schedule(kind, user_id=self.owner.id)
        self._refresh()
        self.assertEqual(self.integration.activity_exception_decoration, "danger")
        self._issue(self.integration)
        self.assertFalse(self.integration.activity_ids, "what it asked for is done")
        self.integration.activity_schedule(kind, user_id=self.owner.id)
        self._refresh()
        self.assertFalse(self.integration.activity_exception_decoration)

    def test_incidents_are_looked_up_together(self):
        """The states of ten incidents take as many queries as those of one."""
        incidents = self.env["auth.integration.incident"].with_user(self.manager)
        for number in range(10):
            integration = self._create_integration(f"shop_{number}", self.owner)
            _secret, key = self._issue(integration)
            self.integration, self.key = integration, key
            incidents += self._rejected("key_unknown", key_id=key.id)[1]
            self._issue(integration)

        def queries(records):
            self._refresh()
            before = self.cr.sql_log_count
            self.assertEqual(set(records.mapped("status")), {"waiting"})
            return self.cr.sql_log_count - before

        queries(incidents)
        self.assertEqual(queries(incidents), queries(incidents[:1].with_prefetch()))

    def test_a_revocation_was_undone(self):
        attempt, incident = self._rejected("key_revoked")
        self.key.revoke("wrong line")
        self._assert_open(attempt, incident)
        self.assertIn("undo_revocation", self._fixes(attempt))
        self.assertNotIn("undo_revocation", self._fixes(attempt.with_user(self.owner)))
        self.assertFalse(attempt.with_user(self.owner).can_ask, "they can create a key")
        action = attempt.action_fix_undo_revocation()
        self.assertEqual(action["context"]["default_key_id"], self.key.id)
        self.key.with_user(self.manager)._undo_revocation("a mistake")
        self._assert_solved(attempt, incident, "works again")

    def test_the_user_was_restored(self):
        self.integration.user_id.action_archive()
        attempt, incident = self._rejected("user_archived")
        self._assert_open(attempt, incident)
        self.assertEqual(self.integration.with_user(self.system).next_step, "restore_user")
        self.integration.user_id.action_unarchive()
        self._assert_solved(attempt, incident, "restored")
        self.assertIn("next successful call", incident.closing, "of whatever host")

    def test_the_address_was_allowed(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt, incident = self._rejected("address_not_allowed")
        self._assert_open(attempt, incident)
        attempt.action_fix_add_network()
        self._assert_solved(attempt, incident, ADDRESS)
        self._move(self.key, allowed_networks="10.0.0.0/8")
        self._assert_open(attempt, incident)

    def test_the_protocol_was_allowed(self):
        self.integration.allowed_channels = "xmlrpc"
        attempt, incident = self._rejected("channel_not_allowed")
        self._assert_open(attempt, incident)
        self.assertEqual(self._box().fix, "allow_protocol")
        self.assertFalse(attempt.with_user(self.owner).fix_allow_protocol)
        self.assertTrue(attempt.with_user(self.owner).can_ask)
        with self.assertRaises(UserError):
            self._box().with_user(self.owner).action_fix_allow_protocol()
        self._box().action_fix_allow_protocol()
        self.assertEqual(self.integration.allowed_channels, "xmlrpc,json2")
        self._assert_solved(attempt, incident, "allowed")
        self.key.revoke("leaked")
        self._assert_status("failing")
        self.assertFalse(attempt.is_solved)
        self.assertIn("no longer works: a new key is needed.", attempt.cause_remedy)

    def test_the_operation_was_allowed(self):
        self.key._set_access("listed", operations=[["res.partner", "read"]], reason="x")
        attempt = self._attempt(
            "operation_not_allowed", key_id=self.key.id, operation="res.users.read"
        )
        self.assertFalse(attempt.is_solved)
        attempt.action_fix_allow_operation()
        attempt.invalidate_recordset()
        self.assertIn("allowed", attempt.resolution)
        self.assertEqual(self._fixes(attempt), {"open"})

    def test_solved_is_past_once_a_call_succeeded(self):
        self.integration.user_id.action_archive()
        attempt, _incident = self._rejected("user_archived")
        self.integration.user_id.action_unarchive()
        self._refresh()
        self.assertFalse(attempt.has_succeeded_since)
        self._attempt(None, outcome="success", reference=None, key_id=self.key.id)
        self._refresh()
        self.assertTrue(attempt.has_succeeded_since)
        self._assert_status("working")

    def test_a_fix_names_the_rule_that_rejects_the_next_call(self):
        self.integration.user_id.action_archive()
        attempt, incident = self._rejected("user_archived")
        self.integration.allowed_networks = "10.0.0.0/8"
        self.integration.user_id.action_unarchive()
        self._refresh()
        self.assertFalse(attempt.is_solved or incident.is_solved)
        self._assert_status("failing")
        box = self._box()
        for remedy in (attempt.cause_remedy, incident.remedy, box.remedy):
            self.assertIn("has been restored. The address 198.51.100.7 still has to be", remedy)
        titles = {self.integration.main_issue, incident.title}
        self.assertEqual(titles, {"Address not allowed"})
        self.assertEqual((attempt.primary_fix, box.fix), ("add_network", "add_network"))
        self.integration.allowed_networks = False
        self._assert_solved(attempt, incident, "has been restored.")

    def test_an_owner_asks_to_restore_the_user_on_the_integration(self):
        self.integration.user_id.action_archive()
        self._rejected("user_archived")
        box = self._box().with_user(self.owner)
        self.assertEqual(box.code, "archived_user_live_key")
        self.assertEqual((box.fix, box.was_asked), ("ask_administrator", False))
        self.assertIn("ask an administrator", box.remedy)
        box.action_ask_administrator()
        self.assertTrue(box.was_asked)
        self.assertEqual(self._box().fix, "restore_user")

    def test_the_issue_names_what_rejects_the_calls_after_the_fix(self):
        """The incident has the old cause until the job has seen the new rejection."""
        self.integration.user_id.action_archive()
        self._rejected("user_archived")
        self.integration.user_id.action_unarchive()
        later = self._attempt("database_unknown", key_id=None)
        box = self._box()
        self.assertFalse(box.is_solved)
        self.assertIn("Unknown database", box.message)
        self.assertNotIn("Archived", box.message)
        self.assertEqual(box.attempt_id, later)
        self.assertNotIn("restore", box.remedy)

    def _assert_fixed_only(self, attempt):
        self._refresh()
        self.assertTrue(attempt.is_solved)
        self.assertFalse(attempt.has_succeeded_since)

    def test_a_new_key_solves_nothing_before_its_first_use(self):
        attempt, _incident = self._rejected("key_unknown", key_id=None)
        _secret, new = self._issue(self.integration)
        self._succeeded(minutes=5)
        self._assert_fixed_only(attempt)
        self._move(new, first_used_at=self.now, last_used_at=self.now)
        self._refresh()
        self.assertTrue(attempt.is_solved and attempt.has_succeeded_since)

    def test_a_mistyped_key_is_solved_by_a_call_with_the_right_one(self):
        attempt = self._attempt("key_unknown", key_id=None, similar_key_id=self.key.id)
        self._set_back(attempt, minutes=10)
        self._refresh()
        self.assertFalse(attempt.is_solved)
        self._succeeded(minutes=5)
        self.assertTrue(attempt.is_solved and attempt.has_succeeded_since)

    def test_the_call_of_another_host_solves_nothing(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt, _incident = self._rejected("address_not_allowed")
        attempt.action_fix_add_network()
        self._attempt(None, outcome="success", reference=None, remote_addr="10.1.2.3")
        self._assert_fixed_only(attempt)
        self._succeeded(minutes=0)
        self.assertTrue(attempt.has_succeeded_since)

    def test_another_operation_solves_nothing(self):
        values = {"key_id": self.key.id, "operation": "res.partner.read"}
        attempt = self._attempt("operation_not_allowed", **values)
        self._set_back(attempt, hours=1)
        self._attempt(None, outcome="success", reference=None, key_id=self.key.id)
        self._assert_fixed_only(attempt)
        self.env["auth.integration.key.operation"].sudo().create(
            {"key_id": self.key.id, "model": "res.partner", "method": "read", "use_count": 1,
             "last_used_at": self.now}
        )
        self._refresh()
        self.assertTrue(attempt.has_succeeded_since)

    # Several callers

    def _findings(self):
        self._refresh()
        found = self.env["auth.integration.finding"].sudo().search(
            [("integration_id", "=", self.integration.id), ("folded", "=", False)]
        )
        return {finding.code: finding for finding in found}

    def _use_new_key(self):
        """Let the key expire while its host continues to call, and create a new key."""
        self._move(self.key, expires_at=self.now - timedelta(hours=2))
        self.integration.allowed_networks = ADDRESS
        rejected = self._attempt("key_expired", key_id=self.key.id)
        self._set_back(rejected, hours=1)
        return self._issue(self.integration)[1]

    def test_what_another_host_has_fixed_is_not_fixed_here(self):
        new = self._use_new_key()
        self._assert_status("waiting")
        rejected = self._attempt(
            "address_not_allowed", key_id=new.id, remote_addr="203.0.113.9"
        )
        self._set_back(rejected, minutes=5)
        self._assert_status("failing")
        box = self._box()
        severities = {code: finding.severity for code, finding in self._findings().items()}
        self.assertEqual(
            severities, {"failing_now": "critical", "key_expired_still_used": "info"},
            "each says itself whether it is fixed"
        )
        self.assertIn("Address not allowed", box.message, "not the one that is fixed")
        self.assertEqual(self.integration.main_issue, "Address not allowed", "card and form agree")
        rejected.action_fix_add_network()
        self._assert_status("waiting")
        found = self._findings()
        self.assertIn("203.0.113.9 is now allowed", found["failing_now"].remedy)
        self.assertIn(new.display_name, found["key_expired_still_used"].remedy)
        self.assertEqual({finding.severity for finding in found.values()}, {"info"})
        self._attempt(
            None, outcome="success", reference=None, key_id=new.id, remote_addr="203.0.113.9"
        )
        self._move(new, first_used_at=self.now, last_used_at=self.now)
        self._assert_status("working")
        found = self._findings()
        self.assertNotIn("failing_now", found)
        still_used = found["key_expired_still_used"]
        self.assertEqual((still_used.severity, still_used.is_solved), ("warning", False))
        self.assertIn(f"still uses the key {self.key.prefix}", still_used.message)
        self.assertIn("Install", still_used.remedy)

    def test_a_rejection_for_another_cause_fails_before_the_job_has_seen_it(self):
        new = self._use_new_key()
        _attempt, incident = self._rejected("key_expired")
        self._assert_status("waiting")
        self._attempt("address_not_allowed", key_id=new.id, remote_addr="203.0.113.9")
        self.assertTrue(incident.is_solved)
        self._assert_status("failing")
        self.assertFalse(self._box().is_solved)

    # Advice

    def test_a_mistyped_key_is_entered_again(self):
        attempt, _incident = self._rejected("key_unknown", key_id=None, similar_key_id=self.key.id)
        self.assertIn("mistyped. Enter it again", attempt.cause_remedy)
        self.assertNotIn("Copy the whole key", attempt.case_explanation)
        self.assertTrue(attempt.fix_issue_key)
        self.assertFalse(attempt.primary_fix, "a new key is the second best")

    def test_the_login_of_the_key_is_said(self):
        _secret, other = self._issue(self.foreign)
        values = {"key_id": other.id}
        attempt, incident = self._rejected("key_user_mismatch", **values)
        self.assertIn("Enter the login warehouse", attempt.cause_remedy)
        self.assertTrue(attempt.fix_issue_key)
        self.assertFalse(attempt.primary_fix)
        self.assertEqual(incident.fix, "view_attempts")
        owner = self._attempt("key_user_mismatch", reader=self.owner, **values)
        self.assertNotIn("warehouse", owner.cause_remedy.lower())
        self.assertNotIn("warehouse", incident.with_user(self.owner).remedy.lower())

    def test_a_key_that_someone_else_has_is_revoked(self):
        """A rotation would keep it alive for the overlap."""
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt, _incident = self._rejected("address_not_allowed")
        attempt = attempt.with_user(self.owner)
        self.assertEqual(self._fixes(attempt), {"revoke", "open"})
        action = attempt.action_fix_revoke()
        self.assertEqual(action["context"]["default_key_ids"], self.key.ids)
        dialog = self.env[action["res_model"]].with_user(self.owner)
        dialog.with_context(**action["context"]).create({"reason": "not ours"}).action_revoke()
        self.assertEqual(self.key.state, "revoked")

    def test_an_owner_acts_on_the_incident_too(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        _attempt, incident = self._rejected("address_not_allowed")
        self.assertFalse(incident.can_ask, "an administrator allows the address")
        incident = incident.with_user(self.owner)
        self.assertEqual((incident.can_ask, incident.was_asked), (True, False))
        self.assertTrue(incident.may_revoke)
        self.assertEqual(incident.action_revoke()["context"]["default_key_ids"], self.key.ids)
        incident.action_ask_administrator()
        self.assertEqual((incident.can_ask, incident.was_asked), (False, True))
        self.integration.allowed_networks = False
        self._refresh()
        self.assertFalse(incident.can_ask or incident.was_asked or incident.may_revoke)

    def test_the_box_has_what_the_attempt_offers(self):
        """Allow the address, or ask who may; once asked, it says so."""
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt, _incident = self._rejected("address_not_allowed")
        self.assertEqual((self._box().fix, self._box().is_next_step), ("add_network", True))
        self.assertEqual(self._box().remedy, attempt.cause_remedy)
        self.assertEqual(self._box().action_ask_add_network(), attempt.action_ask_add_network())
        box = self._box().with_user(self.owner)
        self.assertEqual((box.fix, box.was_asked), ("ask_administrator", False))
        self.assertIn("ask an administrator", box.remedy)
        with self.assertRaises(UserError):
            box.action_ask_add_network()
        with self.assertRaises(AccessError):
            box.with_user(self.stranger).action_ask_administrator()
        box.action_ask_administrator()
        self.assertEqual((box.fix, box.was_asked), ("view_attempts", True))
        attempt.action_fix_add_network()
        box = self._box().with_user(self.owner)
        self.assertEqual((box.fix, box.was_asked), ("view_attempts", False))

    def test_the_box_offers_a_new_key_beside_one_that_works(self):
        _attempt, incident = self._rejected("key_unknown", key_id=None)
        box = self._box().with_user(self.owner)
        self.assertEqual((box.fix, box.is_next_step), ("issue_key", True))
        self.assertTrue(box.has_incident)
        self.assertEqual(box.action_open_incident()["res_id"], incident.id)
        incident.action_dismiss()
        with self.assertRaisesRegex(UserError, "no longer available"):
            box.action_open_incident()
        incident.sudo().state = "open"
        self.assertFalse(self.integration.with_user(self.owner).next_step)
        self.assertEqual(box.action_issue_key()["res_model"], "auth.integration.issue")
        self._issue(self.integration)
        self.assertNotEqual(self._box().with_user(self.owner).fix, "issue_key")

    def test_what_is_fixed_and_what_helps_is_looked_up_together(self):
        """Severity and last attempt of many issues, in as many queries as of one."""
        for number in range(10):
            self.integration = self._create_integration(f"shop_{number}", self.owner)
            self.key = self._issue(self.integration)[1]
            self._move(self.key, issued_at=self.now - timedelta(days=1))
            self._rejected("key_unknown", key_id=None)
        found = self.env["auth.integration.finding"].with_user(self.manager).search(
            [("code", "=", "failing_now"), ("integration_id.code", "like", "shop_")]
        )
        self.assertEqual(len(found), 10)

        def queries(records):
            self._refresh()
            records.mapped("is_solved")
            before = self.cr.sql_log_count
            self.assertEqual(set(records.mapped("severity")), {"critical"})
            self.assertTrue(all(record.attempt_id for record in records))
            return self.cr.sql_log_count - before

        queries(found)
        self.assertEqual(queries(found), queries(found[:1].with_prefetch()))

    def test_only_who_may_open_a_user_gets_a_link_to_it(self):
        for model in ("auth.integration.incident", "auth.integration.finding"):
            for user, has_link in ((self.system, True), (self.owner, False)):
                with self.subTest(model=model, user=user.login):
                    arch = self.env[model].with_user(user).get_view(view_type="form")["arch"]
                    [node] = etree.fromstring(arch).xpath("//field[@name='user_id']")
                    self.assertEqual("no_open" not in node.get("options", ""), has_link)

    def test_an_issue_says_since_when_and_from_where(self):
        """By the reader's clock."""
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt, _incident = self._rejected("address_not_allowed")
        zone = {"tz": "Asia/Tokyo"}
        box = self._box().with_context(**zone)
        since = moment_text(box.env, attempt.last_seen)
        self.assertIn(f"from {self.integration.name} ({ADDRESS}) has been rejected since {since}",
                      box.message)
        self.key.revoke("gone")
        for values in ({"cause": "key_revoked"}, {"cause": "user_archived"}):
            attempt = self._attempt(key_id=self.key.id, **values)
        self._issue(self.integration)
        self.integration.user_id.action_archive()
        self._refresh()
        messages = {
            finding.code: finding.with_context(**zone).message
            for finding in self.env["auth.integration.finding"].with_user(self.manager).search(
                [("integration_id", "=", self.integration.id)]
            )
        }
        for code in ("archived_user_still_called", "key_expired_still_used"):
            self.assertIn(f"Last call: {moment_text(box.env, attempt.last_seen)} from {ADDRESS}",
                          messages[code])

    def test_no_advice_leads_away_from_the_button(self):
        form = self.env["auth.attempt"].get_view(view_type="form")["arch"]
        offered = set(etree.fromstring(form).xpath("//button/@name"))
        for cause in causes.CAUSES.values():
            if {f"action_fix_{fix}" for fix in cause.fixes} & offered:
                self.assertNotIn("▸ Overview", cause.remedy, cause.code)

    def test_diagnose_offers_every_fix(self):
        """Diagnose knows the first fix of every attempt, with a button."""
        lines = self.env["auth.integration.diagnosis.line"]
        known = dict(lines._fields["fix"].selection)
        view = self.env.ref("auth_integration.auth_integration_diagnosis_line_view_kanban").arch_db
        for fix in FIXES:
            with self.subTest(fix=fix):
                self.assertIn(fix, known)
                self.assertIn(f"fix != '{fix}' or not may_fix", view)

    def test_diagnose_says_what_the_attempt_says(self):
        _secret, other = self._issue(self.foreign)
        self._rejected("key_user_mismatch", key_id=other.id)
        self.key._set_access("listed", operations=[["res.partner", "read"]], reason="x")
        self._rejected("operation_not_allowed", operation="res.users.read")
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt, _incident = self._rejected("address_not_allowed")
        attempt.action_fix_add_network()
        self._refresh()
        diagnosis = self.env["auth.integration.diagnosis"].with_user(self.manager).create(
            {"integration_id": self.integration.id}
        )
        diagnosis.sudo()._check_attempts()
        found = {line.cause: line for line in diagnosis.sudo().line_ids}
        line = found["key_user_mismatch"]
        self.assertIn("Enter the login warehouse", line.remedy)
        self.assertEqual((line.result, line.fix), ("failed", "open"))
        self.assertEqual(found["operation_not_allowed"].fix, "allow_operation")
        line = found["address_not_allowed"]
        self.assertIn("Fixed, waiting for the next call. The address", line.remedy)
        self.assertEqual((line.result, line.fix), ("warning", "open"))

    # The key of an incident

    def _details(self, incident, reader):
        self._refresh()
        return incident.with_user(reader).case_explanation

    def test_an_incident_says_who_revoked_its_key(self):
        """As the attempt does, to those who may read the key."""
        self.key.with_user(self.manager).revoke("laptop stolen")
        attempt, incident = self._rejected("key_revoked")
        text = self._details(incident, self.owner)
        for part in (self.key.prefix, "revoked on", "by Mona Manager", "laptop stolen"):
            self.assertIn(part, text)
        self.assertIn(text, attempt.with_user(self.owner).case_explanation)
        incident.sudo().key_id = self._issue(self.foreign)[1]
        text = self._details(incident, self.owner)
        self.assertEqual(text, "You do not have access to this key.")

    def test_an_incident_about_a_working_key_says_nothing_of_its_end(self):
        _attempt, incident = self._rejected("address_not_allowed")
        self.assertFalse(self._details(incident, self.owner))

    # The form of the integration

    def test_a_rotation_goes_on_from_the_box(self):
        self._move(self.key, replace_by=self.now + timedelta(days=3))
        self.assertEqual(self._box().fix, "rotate")
        self.key.with_user(self.owner).action_rotate_now()
        self.assertEqual(self._box().fix, "claim")
        self.assertEqual(self.integration.with_user(self.owner).next_step, "claim")
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", self.key.id)])
        self.assertEqual(
            self._box().with_user(self.owner).action_claim()["context"]["default_rotation_id"],
            rotation.id,
        )
        _secret, new = rotation.with_user(self.owner)._claim()
        box = self._box()
        self.assertEqual(box.fix, "view_rotation")
        self.assertIn(f"The new key {new.display_name} is ready", box.remedy)
        self.assertEqual(box.action_view_rotation()["res_id"], rotation.id)
        self.assertFalse(self.integration.with_user(self.owner).next_step)

    def test_one_date_is_said_once(self):
        day = self.now + timedelta(days=3)
        self._move(self.key, replace_by=day, expires_at=day + timedelta(days=30))
        self.assertIn("should be replaced by", self._box().message)
        self._move(self.key, expires_at=day)
        message = self._box().message
        self.assertNotIn("should be replaced by", message)
        self.assertEqual(message.count(self._box()._format_day(day)), 1)

    def test_the_box_counts_the_others(self):
        self.integration.user_id.group_ids = [
            Command.link(self.env.ref("base.group_erp_manager").id)
        ]
        self._move(self.key, replace_by=self.now + timedelta(days=3))
        self._box()
        self.assertEqual(
            self.integration.more_finding_count, self.integration.finding_count - 1
        )
        self.assertGreater(self.integration.more_finding_count, 0)

    def test_the_news_of_the_first_call_hides_no_failure(self):
        self._move(self.key, first_used_at=self.now - timedelta(minutes=5))
        self._succeeded(hours=2)
        self.assertTrue(self.integration.is_setting_up)
        self.integration.allowed_networks = "10.0.0.0/8"
        self._rejected("address_not_allowed")
        self.assertTrue(self.integration.main_finding_ids)
        self.assertFalse(self.integration.is_setting_up)

    def test_the_news_of_the_first_call_hides_no_rejection(self):
        """One rejected call is no failure yet, but not a success, either."""
        self._move(self.key, first_used_at=self.now - timedelta(minutes=5))
        self._succeeded(minutes=5)
        self.assertTrue(self.integration.is_setting_up)
        self._set_back(self._attempt("key_unknown"), minutes=3)
        self._refresh()
        self.assertEqual(self.integration.main_finding_ids.code, "call_rejected")
        self.assertFalse(self.integration.is_setting_up)
        self._succeeded(minutes=1)
        self.assertFalse(self.integration.is_setting_up, "it is not the first call that works")

    def test_the_first_call_is_news_beside_a_warning(self):
        self._move(self.key, first_used_at=self.now - timedelta(minutes=5))
        self._succeeded(minutes=5)
        self.integration.owner_ids.email = False
        self._refresh()
        self.assertEqual(self.integration.main_finding_ids.code, "owner_unreachable")
        self.assertTrue(self.integration.is_setting_up)

    def test_blocked_keys_are_not_active(self):
        self.assertEqual(self.integration.usable_key_count, 1)
        self.integration.user_id.action_archive()
        self._refresh()
        self.assertEqual(self.integration.live_key_count, 1)
        self.assertEqual(self.integration.usable_key_count, 0)
        self.assertFalse(self.integration._usable_keys())
        self.integration.user_id.action_unarchive()
        self._refresh()
        self.env.cr.execute(
            "UPDATE auth_integration_key SET scope = 'auth_integration' WHERE id = %s",
            [self.key.id],
        )
        self._refresh()
        self.assertEqual(self.integration.usable_key_count, 0)
        self.assertFalse(self.integration._usable_keys())

    def test_networks_that_shut_out_the_caller_are_saved_with_a_warning(self):
        integration = self.integration.with_user(self.manager)
        self.assertFalse(integration.networks_warning)
        integration.allowed_networks = "10.0.0.0/8"
        self.assertIn(f"came from {ADDRESS}", integration.networks_warning)
        integration.allowed_networks = f"10.0.0.0/8\n{ADDRESS}"
        self.assertFalse(integration.networks_warning)
        draft = integration.new({"allowed_networks": "10.0.0.0/8"}, origin=integration)
        self.assertIn(ADDRESS, draft.networks_warning, "before it is saved")
        draft.allowed_networks = "no network"
        self.assertFalse(draft.networks_warning)
