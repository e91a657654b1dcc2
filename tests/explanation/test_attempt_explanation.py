"""What the form of a rejected attempt explains, and which fixes it offers to whom."""

from datetime import timedelta
from types import SimpleNamespace

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools.safe_eval import safe_eval

from ...tools.attempt import causes
from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.attempt.redaction import describe_unknown_database
from ...tools.health import probe
from ..common import IntegrationCommon


class ExplanationCase(IntegrationCommon):
    """Rejected attempts as the log contains them."""

    def setUp(self):
        super().setUp()
        self.secret, self.key = self._issue(self.integration)

    def _attempt(self, cause, integration=None, reader=None, **values):
        """Add a rejected attempt to the log, read by a manager unless a reader is given."""
        now = fields.Datetime.now()
        integration = self.integration if integration is None else integration
        row = {
            "outcome": "failure",
            "cause": cause,
            "channel": "json2",
            "auth_type": None,
            "login": integration.login or None,
            "user_id": integration.user_id.id or None,
            "integration_id": integration.id or None,
            "attribution": None,
            "key_id": None,
            "remote_addr": "198.51.100.7",
            "user_agent": None,
            "database": self.env.cr.dbname,
            "reference": f"ref-{cause}",
        } | values
        attempts = self.env["auth.attempt"]
        self.env.flush_all()
        attempts._upsert(row, 1, now, now)
        self.env.cr.execute("SELECT max(id) FROM auth_attempt")
        return attempts.browse(self.env.cr.fetchone()[0]).with_user(reader or self.manager)

    def _fixes(self, attempt):
        return {name[4:] for name in attempt._fields if name.startswith("fix_") and attempt[name]}

    def _history(self, integration=None):
        return " ".join((integration or self.integration).message_ids.mapped("body"))


@tagged("post_install", "-at_install")
class TestAttemptExplanation(ExplanationCase):
    # The case

    def test_every_cause_can_be_explained(self):
        """Whatever the log contains, even deleted users and keys, the form opens."""
        gone = {"user_id": 2**30, "key_id": 2**30, "integration_id": 2**30, "login": None}
        for cause in causes.CAUSES:
            for values in ({}, {"key_id": self.key.id}, gone):
                with self.subTest(cause=cause, values=values):
                    attempt = self._attempt(cause, **values)
                    attempt.case_explanation  # noqa: B018
                    self._fixes(attempt)

    def test_a_mistyped_database_is_compared_with_this_one(self):
        name = self.env.cr.dbname
        mistyped = "Probably mistyped"
        requests = {f"{name}x": mistyped, name.upper(): mistyped, "x": "is not similar"}
        for requested, told in requests.items():
            text = self._attempt(
                "database_unknown", database=describe_unknown_database(requested, name)
            ).case_explanation
            self.assertIn(told, text)
            self.assertIn(name, text)

    def test_key_revoked_says_by_whom_and_why(self):
        self.key.with_user(self.owner).revoke("laptop stolen")
        text = self._attempt("key_revoked", key_id=self.key.id).case_explanation
        for part in (self.key.prefix, "shop", "Olivia Owner", "laptop stolen", "no working key"):
            self.assertIn(part, text)

    def test_key_superseded_says_by_which(self):
        secret, new = self._issue(self.integration)
        self._move(new, first_used_at="2026-03-04 05:06:07", last_used_address="192.0.2.1")
        self.key._retire(fields.Datetime.now() - timedelta(hours=1), new)
        self.assertEqual(self.key.state, "superseded")
        text = self._attempt("key_superseded", key_id=self.key.id).case_explanation
        for part in (self.key.prefix, new.prefix, "192.0.2.1", "2026"):
            self.assertIn(part, text)
        self.assertNotIn(secret, text)

    def test_key_expired_says_when_and_what_works(self):
        _secret, other = self._issue(self.integration)
        self._move(self.key, expires_at="2026-01-02 03:04:05")
        text = self._attempt("key_expired", key_id=self.key.id).case_explanation
        self.assertIn(f"{self.key.prefix}", text)
        self.assertIn("Jan 2, 2026, 3:04", text)
        self.assertIn(other.prefix, text)

    def test_a_key_works_again(self):
        """An end that was undone must not be reported as one."""
        text = self._attempt("key_expired", key_id=self.key.id).case_explanation
        self.assertIn("works again", text)

    def test_another_users_key_is_named_to_those_who_may_see_it(self):
        _secret, foreign_key = self._issue(self.foreign)
        told = {
            reader.login: self._attempt(
                "key_user_mismatch", key_id=foreign_key.id, reader=reader
            ).case_explanation
            for reader in (self.manager, self.owner)
        }
        self.assertIn("warehouse", told["mona"])
        self.assertNotIn("warehouse", told["olivia"].lower())
        self.assertNotIn(foreign_key.prefix, told["olivia"])

    def test_scope_that_nobody_knows_is_no_name(self):
        """The add-on's scope that its uninstallation left behind means nothing to users."""
        self.env.cr.execute(
            "UPDATE auth_integration_key SET scope = 'auth_integration' WHERE id = %s",
            [self.key.id],
        )
        self.key.invalidate_recordset()
        text = self._attempt("key_wrong_scope", key_id=self.key.id).case_explanation
        self.assertIn("Create a new key", text)
        self.assertNotIn("“auth_integration”", text)

    def test_wrong_scope_is_named(self):
        self.env.cr.execute(
            "UPDATE auth_integration_key SET scope = 'odoo.plugin' WHERE id = %s", [self.key.id]
        )
        self.key.invalidate_recordset()
        text = self._attempt("key_wrong_scope", key_id=self.key.id).case_explanation
        self.assertIn("odoo.plugin", text)

    def test_password_change_is_dated(self):
        user = new_test_user(self.env, "paula")
        attempt = self._attempt(
            "password_wrong", integration=self.env["auth.integration"], user_id=user.id,
            login="paula",
        )
        self.env.cr.execute("DELETE FROM auth_integration_password_change")
        attempt.invalidate_recordset()
        self.assertIn("has not changed", attempt.case_explanation)
        user.password = "another password"
        self.env.cr.execute(
            "UPDATE auth_integration_password_change SET changed_at = '2026-02-03 04:05:06'"
            " WHERE user_id = %s RETURNING user_id",
            [user.id],
        )
        self.assertTrue(self.env.cr.fetchone(), "the change was written down")
        attempt.invalidate_recordset()
        self.assertIn("paula was last changed on Feb 3, 2026", attempt.case_explanation)

    def test_nearest_login_is_named_with_its_integration(self):
        nobody = self.env["auth.integration"]
        described = nobody.env["auth.attempt"]._describe_login(
            SimpleNamespace(user_id=None, login="warehuose", codes=set())
        )
        attempt = self._attempt("user_unknown", integration=nobody, login=described)
        self.assertIn("“warehouse”", attempt.case_explanation)
        self.assertIn("integration user of Warehouse", attempt.case_explanation)
        self.assertEqual(self._fixes(attempt), {"open"})
        self.assertEqual(attempt.action_fix_open()["res_id"], self.foreign.id)

    def test_archived_user_is_named_with_the_last_change(self):
        self.integration.user_id.with_user(self.system).action_archive()
        text = self._attempt("user_archived").case_explanation
        self.assertIn("shop is archived", text)
        self.assertIn("Sys Administrator", text)

    def test_network_rules_are_named(self):
        self.integration.allowed_networks = "10.0.0.0/8\n192.0.2.7"
        attempt = self._attempt("address_not_allowed", key_id=self.key.id)
        for part in ("198.51.100.7", "10.0.0.0/8", " 192.0.2.7."):
            self.assertIn(part, attempt.case_explanation)

    def test_proxy_is_suspected_when_proxy_mode_is_off(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        self.env["ir.config_parameter"].set_param(
            "auth_integration.server.proxy_mode", "off_behind_proxy"
        )
        self.assertIn("proxy_mode", self._attempt("address_not_allowed").case_explanation)

    def test_protocol_is_named_with_those_allowed(self):
        self.integration.allowed_channels = "xmlrpc"
        text = self._attempt("channel_not_allowed").case_explanation
        self.assertIn("used JSON-2", text)
        self.assertIn("XML-RPC", text)

    def test_skipped_authentication_leads_to_the_refusal_before(self):
        nobody = self.env["auth.integration"]
        self._attempt("user_archived", remote_addr="203.0.113.9")
        self._attempt("password_wrong", remote_addr="203.0.113.10")
        text = self._attempt(
            "authenticate_skipped", integration=nobody, remote_addr="203.0.113.9"
        ).case_explanation
        self.assertIn("Archived user", text)
        self.assertIn("shop", text)

    def test_a_folded_row_leads_to_no_other(self):
        """In a flood, many addresses become one value, so equal values mean nothing."""
        nobody = self.env["auth.integration"]
        self._attempt("user_archived", remote_addr=COLLAPSED)
        text = self._attempt(
            "authenticate_skipped", integration=nobody, remote_addr=COLLAPSED
        ).case_explanation
        self.assertFalse(text)

    def test_attribution_by_address_is_said(self):
        text = self._attempt("key_unknown", attribution="address").case_explanation
        self.assertIn("Only Shop recently made successful calls", text)

    def test_last_acceptance_is_told(self):
        self._move(
            self.key, last_used_at="2026-05-06 07:08:09", last_used_address="192.0.2.44"
        )
        text = self._attempt("key_unknown").case_explanation
        self.assertIn("successful call of Shop was on May 6, 2026", text)
        self.assertIn("192.0.2.44", text)

    def test_questions_of_the_doctor_are_no_failures(self):
        """A request of doctor.py without credentials is explained as diagnostic; others are not."""
        values = {"integration": self.env["auth.integration"], "user_agent": f"{probe.AGENT}1.0"}
        text = self._attempt("header_missing", **values).case_explanation
        self.assertIn("diagnostic request", text)
        self.assertFalse(self._attempt("password_wrong", **values).case_explanation)
        values["user_agent"] = "shop"
        self.assertFalse(self._attempt("header_missing", **values).case_explanation)

    def test_questions_offer_no_fix_of_a_failure(self):
        """A request for a key's status offers no new key, but may offer to allow its address."""
        asked = {"auth_type": probe.VERIFY, "key_id": self.key.id}
        self.key.with_user(self.owner).revoke("laptop stolen")
        attempt = self._attempt("key_revoked", **asked)
        self.assertEqual((attempt.question, self._fixes(attempt)), ("key", {"open"}))
        for part in ("the status of a key", "laptop stolen", "someone else has the key"):
            self.assertIn(part, attempt.case_explanation)
        with self.assertRaises(UserError):
            attempt.action_fix_issue_key()
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt = self._attempt("address_not_allowed", **asked)
        self.assertEqual(self._fixes(attempt), {"open", "add_network"})
        attempt = self._attempt("key_unknown", auth_type=probe.VERIFY)
        self.assertIn("No key of this database", attempt.case_explanation)
        attempt = self._attempt("header_missing", user_agent=f"{probe.AGENT}1.0")
        self.assertEqual((attempt.question, self._fixes(attempt)), ("way", {"open"}))
        for cause, values in (
            ("key_revoked", {"auth_type": "bearer", "key_id": self.key.id}),
            (None, {"auth_type": probe.VERIFY, "outcome": "success"}),
        ):
            self.assertFalse(self._attempt(cause, **values).question)

    def test_the_form_of_a_question_raises_no_alarm(self):
        """Neither the box for a rejected program nor its remedy is shown."""
        arch = self.env["auth.attempt"].get_view(view_type="form")["arch"]
        alarm = etree.fromstring(arch).xpath("//div[hasclass('alert-warning')]")
        for values, shown in (({"auth_type": probe.VERIFY}, False), ({}, True)):
            attempt = self._attempt("key_expired", **values)
            seen = {name: attempt[name] for name in ("outcome", "question", "is_solved")}
            self.assertEqual([not safe_eval(box.get("invisible"), seen) for box in alarm], [shown])
        [remedy] = etree.fromstring(arch).xpath("//field[@name='cause_remedy']")
        self.assertIn(alarm[0].get("class"), [e.get("class") for e in remedy.iterancestors()])

    def test_a_success_needs_no_explanation(self):
        attempt = self._attempt(None, outcome="success", reference=None)
        self.assertFalse(attempt.case_explanation)
        self.assertEqual(self._fixes(attempt), {"open"})

    # Fixes

    def test_restore_user(self):
        self.integration.user_id.action_archive()
        for reader in (self.owner, self.manager):  # they may not restore users
            attempt = self._attempt("user_archived", reader=reader)
            self.assertEqual(self._fixes(attempt), {"open"})
            with self.assertRaises(UserError):
                attempt.action_fix_restore_user()
        attempt = self._attempt("user_archived", reader=self.system)
        self.assertEqual(self._fixes(attempt), {"restore_user", "open"})
        attempt.action_fix_restore_user()
        self.assertTrue(self.integration.user_id.active)
        self.assertIn("Sys Administrator restored shop", self._history())
        self.assertIn("ref-user_archived", self._history())
        with self.assertRaises(UserError, msg="done already"):
            attempt.action_fix_restore_user()

    def test_restore_a_person_is_an_administrators_business(self):
        user = new_test_user(self.env, "paula")
        user.action_archive()
        values = {"integration": self.env["auth.integration"], "user_id": user.id}
        attempt = self._attempt("user_archived", **values)
        self.assertNotIn("restore_user", self._fixes(attempt))
        with self.assertRaises(UserError):
            attempt.action_fix_restore_user()
        self._attempt("user_archived", reader=self.system, **values).action_fix_restore_user()
        self.assertTrue(user.active)

    def test_issue_key(self):
        attempt = self._attempt("key_unknown", reader=self.owner)
        self.assertEqual(self._fixes(attempt), {"issue_key", "open"})
        action = attempt.action_fix_issue_key()
        self.assertEqual(action["context"]["default_integration_id"], self.integration.id)

    def test_a_privileged_users_key_is_for_settings_administrators(self):
        self.integration.user_id.group_ids += self.env.ref("base.group_system")
        for reader, allowed in ((self.owner, False), (self.manager, False), (self.system, True)):
            attempt = self._attempt("key_unknown", reader=reader)
            self.assertEqual("issue_key" in self._fixes(attempt), allowed, reader.login)
        with self.assertRaises(AccessError):
            self._attempt("key_unknown", reader=self.owner).action_fix_issue_key()

    def test_allow_the_address(self):
        self.integration.allowed_networks = "10.0.0.0/8  # data centre"
        attempt = self._attempt("address_not_allowed", key_id=self.key.id)
        self.assertEqual(self._fixes(attempt), {"add_network", "revoke", "open"})
        attempt.action_fix_add_network()
        self.assertEqual(
            self.integration.allowed_networks, "10.0.0.0/8  # data centre\n198.51.100.7"
        )
        self.assertIn("Mona Manager allowed calls from 198.51.100.7", self._history())
        attempt.invalidate_recordset()
        self.assertIn("is now allowed", attempt.resolution)
        self.assertNotIn("add_network", self._fixes(attempt))

    def test_owners_cannot_allow_an_address(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt = self._attempt("address_not_allowed", key_id=self.key.id, reader=self.owner)
        self.assertEqual(self._fixes(attempt), {"revoke", "open"})
        with self.assertRaises(UserError):
            attempt.action_fix_add_network()
        self.assertEqual(self.integration.allowed_networks, "10.0.0.0/8")

    def test_the_dialog_names_the_address(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        attempt = self._attempt("address_not_allowed", key_id=self.key.id)
        action = attempt.action_ask_add_network()
        dialog = self.env[action["res_model"]].with_user(self.manager).with_context(
            action["context"]).create({})
        self.assertEqual((dialog.address, dialog.integration_name), ("198.51.100.7", "Shop"))
        self.assertEqual(self.integration.allowed_networks, "10.0.0.0/8")
        dialog.action_allow()
        self.assertEqual(self.integration.allowed_networks, "10.0.0.0/8\n198.51.100.7")
        attempt = self._attempt("address_not_allowed", key_id=self.key.id, reader=self.owner)
        with self.assertRaises(UserError):
            attempt.action_ask_add_network()

    def test_owners_read_what_owners_can_do(self):
        for cause in ("address_not_allowed", "user_archived", "channel_not_allowed"):
            remedy = self._attempt(cause, reader=self.owner).cause_remedy
            self.assertIn("ask an administrator", remedy)
            remedy = self._attempt(cause, reader=self.manager).cause_remedy
            self.assertNotIn("ask an administrator", remedy)

    def test_revoke_the_key_that_somebody_else_has(self):
        attempt = self._attempt("operation_not_allowed", key_id=self.key.id, reader=self.owner)
        self.key._set_access("read_only", reason="x")
        self.assertTrue(attempt.fix_revoke)
        action = attempt.action_fix_revoke()
        self.assertEqual(action["context"], {"default_key_ids": self.key.ids})

    def test_superseded_leads_to_its_rotation(self):
        self.key.with_user(self.owner).action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", self.key.id)])
        attempt = self._attempt("key_superseded", key_id=self.key.id, reader=self.owner)
        self.assertIn("view_rotation", self._fixes(attempt))
        self.assertEqual(attempt.action_fix_view_rotation()["res_id"], rotation.id)

    def test_a_stranger_can_neither_read_nor_fix(self):
        attempt = self._attempt("key_unknown", reader=self.stranger)
        for action in ("issue_key", "restore_user", "revoke", "add_network", "open"):
            with self.assertRaises(AccessError, msg=action):
                getattr(attempt, f"action_fix_{action}")()
        with self.assertRaises(AccessError):
            attempt.read(["case_explanation"])
