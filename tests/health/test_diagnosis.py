"""The checks of Diagnose inside Odoo, each failing and fixed, and who may use its buttons.

Its checks from outside need a real server: ``tests/live/health/test_diagnosis.py``.
"""

import os
from datetime import timedelta
from unittest.mock import patch

from cryptography.fernet import Fernet
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE
from ...tools.health import probe
from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestDiagnosis(IntegrationCommon):
    def setUp(self):
        super().setUp()
        self.now = fields.Datetime.now()
        _secret, self.key = self._issue(self.integration)
        self.diagnosis = self.env["auth.integration.diagnosis"].create(
            {"integration_id": self.integration.id, "requested_by": self.manager.id}
        )

    def test_only_the_button_queues_it(self):
        """It runs with the rights of whoever requested it, so nobody says who that is."""
        diagnoses = self.env["auth.integration.diagnosis"].with_user(self.manager)
        values = {"state": "waiting", "requested_by": self.system.id}
        made = diagnoses.with_context(default_state="waiting").create(
            {"integration_id": self.integration.id, **values}
        )
        self.assertEqual((made.state, made.requested_by), ("draft", self.env["res.users"]))
        with self.assertRaises(AccessError):
            made.write(values)
        made.action_run()
        self.assertEqual((made.state, made.requested_by), ("waiting", self.manager))
        self.integration.user_id.group_ids += self.env.ref("base.group_erp_manager")
        with self.assertRaises(AccessError):
            made.action_run()
        with self.assertRaises(AccessError):
            diagnoses.create({"integration_id": self.integration.id})

    def _lines(self):
        """Run all inside checks; return their lines by name. Each ✗ or ! must name what it read."""
        self.env.flush_all()
        self.env.invalidate_all()
        self.diagnosis.line_ids.unlink()
        for check in ("user", "keys", "rules", "attempts"):
            getattr(self.diagnosis, f"_check_{check}")()
        found = ("failed", "warning")
        for line in self.diagnosis.line_ids.filtered(lambda line: line.result in found):
            self.assertTrue(line.seen and line.meaning and line.remedy, line.check_name)
            self.assertTrue(self.env[line.res_model].browse(line.res_id).exists())
        return {line.check_name: line for line in self.diagnosis.line_ids}

    def _assert_found(self, check, result, record, cause=False, fix="open"):
        line = self._lines()[check]
        found = (line.result, line.cause, line.fix, line.res_model, line.res_id)
        self.assertEqual(found, (result, cause, fix, record._name, record.id))
        return line

    def _refused(self, **values):
        """Add a rejected attempt of the integration, a minute ago."""
        columns = dict.fromkeys(
            ("auth_type", "login", "user_id", "integration_id", "attribution", "key_id",
             "remote_addr", "user_agent", "reference")
        )
        columns |= {
            "outcome": "failure", "channel": "json2", "database": self.env.cr.dbname,
            "integration_id": self.integration.id,
        }
        moment = self.now - timedelta(minutes=1)
        self.env["auth.attempt"]._upsert(columns | values, 3, moment, moment)
        self.env.cr.execute("SELECT max(id) FROM auth_attempt")
        return self.env["auth.attempt"].browse(self.env.cr.fetchone()[0])

    def _history(self):
        return " ".join(self.integration.message_ids.mapped("body"))

    # Checks

    def test_its_name_says_when(self):
        """The breadcrumb has the integration's name already; the time distinguishes diagnoses."""
        self.diagnosis.requested_at = "2026-03-04 05:06:07"
        reader = self.diagnosis.with_context(tz="Asia/Tokyo", lang="en_US")
        self.assertRegex(reader.display_name, r"^Diagnosis on Mar 4, 2026, 2:06\sPM$")
        self.assertEqual(self.env["auth.integration.diagnosis"].new().display_name, "New Diagnosis")
        found = self.env["auth.integration.diagnosis"].name_search(self.integration.name)
        self.assertIn(self.diagnosis.id, [id_ for id_, _name in found])

    def test_a_healthy_integration(self):
        lines = self._lines()
        self.assertEqual(set(lines), {
            "User", "Rights", "Password", "Second factor", "Key", "Networks", "Protocols",
            "Policy", "Attempts",
        })
        self.assertEqual(set(self.diagnosis.line_ids.mapped("result")), {"ok"})
        self.assertFalse(self.diagnosis.failed_count)

    def test_what_is_wrong_comes_first(self):
        self.integration.user_id.password = "a password"
        self.key.revoke("gone")
        self._lines()
        results = self.diagnosis.line_ids.sorted().mapped("result")
        self.assertEqual(results[:3], ["failed", "warning", "ok"])

    def test_user_archived(self):
        user = self.integration.user_id
        user.action_archive()
        self._assert_found("User", "failed", user, "user_archived", "restore_user")

    def test_administration_rights(self):
        user = self.integration.user_id
        user.group_ids += self.env.ref("base.group_erp_manager")
        self.assertIn("Access Rights", self._assert_found("Rights", "warning", user).seen)

    def test_password(self):
        self.integration.user_id.password = "a password"
        self._assert_found("Password", "warning", self.integration.user_id)

    def test_seed_of_another_server(self):
        """The second factor was set up with an encryption key that no longer exists."""
        self.integration.totp_seed = "gAAAAA"
        self._assert_found("Second factor", "failed", self.integration, "seed_unreadable")

    def test_no_key(self):
        self.key.revoke("gone")
        line = self._assert_found("Keys", "failed", self.key, "no_valid_key", "issue_key")
        self.assertIn(self.key.prefix, line.seen)
        self.key.unlink()
        line = self._assert_found("Keys", "failed", self.integration, "no_valid_key", "issue_key")
        self.assertIn("no key has been created", line.seen)

    def test_the_probe_is_no_key(self):
        self.env.cr.execute(
            "UPDATE auth_integration_key SET scope = %s WHERE id = %s", (probe.SCOPE, self.key.id)
        )
        self.assertIn("no key has been created", self._lines()["Keys"].seen)

    def test_key_about_to_end(self):
        self._move(self.key, replace_by=self.now + timedelta(days=5), first_used_at=self.now)
        self._assert_found("Key", "warning", self.key, "key_expiring", "rotate")

    def test_a_key_of_an_archived_user_is_not_active(self):
        self.integration.user_id.action_archive()
        line = self._lines()["Key"]
        self.assertEqual((line.result, line.folded), ("skipped", True))
        self.assertIn("Blocked", line.seen)

    def test_a_key_that_is_being_replaced_needs_nothing(self):
        """Whatever its dates: once its end is set, the new key is in use."""
        self._move(self.key, replace_by=self.now + timedelta(days=5), first_used_at=self.now)
        self.key.action_rotate_now()
        rotation = self.env["auth.integration.rotation"]._open_of(self.key)
        line = self._assert_found("Key", "warning", rotation, "key_expiring")
        self.assertIn("see the next step", line.remedy)
        self._move(self.key, retire_at=self.now + timedelta(days=2))
        self.assertEqual(self.key.state, "retiring")
        line = self._lines()["Key"]
        self.assertEqual((line.result, line.cause, line.remedy), ("ok", False, False))

    def test_what_passed_or_was_solved_is_folded(self):
        host = {"remote_addr": "198.51.100.7"}
        self._refused(cause="key_revoked", key_id=self.key.id, **host)
        line = self._lines()["Attempts"]
        self.assertEqual((line.is_solved, line.folded), (False, False))
        self.assertEqual(self.diagnosis.open_line_ids, line)
        success = {"outcome": "success", "cause": None}
        for other in ({"remote_addr": "192.0.2.9"}, host):
            self.assertFalse(self._lines()["Attempts"].is_solved, "no call of this host")
            self._refused(**success, **other)
            self.env.cr.execute("UPDATE auth_attempt SET last_seen = %s WHERE outcome = 'success'",
                                (self.now,))
        line = self._lines()["Attempts"]
        self.assertEqual((line.is_solved, line.folded), (True, True))
        self.assertFalse(self.diagnosis.open_line_ids)
        self.assertEqual(self.diagnosis.folded_count, len(self.diagnosis.line_ids))
        self.assertEqual((self.diagnosis.failed_count, self.diagnosis.warning_count), (0, 0))

    def test_one_clock_with_its_zone(self):
        """Times are in the zone of the user who asked, whoever reads them; it is named once."""
        self.manager.tz = "Asia/Tokyo"
        self.diagnosis.requested_at = "2026-03-04 05:06:07"
        self.assertRegex(self.diagnosis.with_user(self.owner).request_summary,
                         r"Mar 4, 2026, 2:06\sPM \(Asia/Tokyo\)")
        self._refused(cause="key_revoked", key_id=self.key.id)
        self.diagnosis = self.diagnosis.with_context(tz="Asia/Tokyo")
        lines = self._lines()
        for name in ("Key", "Attempts"):
            self.assertRegex(lines[name].seen, r"\d:\d\d\s[AP]M(?! \()")

    def test_test_calls_are_called_so(self):
        labels = {
            check: self.diagnosis._outside_check_label(check) for check in ("json2", "key")
        }
        self.assertEqual(labels, {"json2": "Test call through JSON-2", "key": "Test key"})
        sides = dict(self.diagnosis.line_ids._fields["side"]._description_selection(self.env))
        self.assertEqual(sides["outside"], "Test call by Odoo")

    def test_networks_that_refuse_who_calls_today(self):
        self.env["auth.integration.key.address"].create(
            {"key_id": self.key.id, "address": "192.0.2.9", "first_seen": self.now,
             "last_seen": self.now}
        )
        self.assertEqual(self._lines()["Networks"].seen, "any address")
        self.integration.allowed_networks = "10.0.0.0/8"
        line = self._assert_found("Networks", "warning", self.integration)
        self.assertIn("192.0.2.9", line.meaning)

    def test_protocols_and_policy_are_named(self):
        self.integration.allowed_channels = "json2"
        lines = self._lines()
        self.assertEqual(lines["Protocols"].seen, "json2")
        self.assertIn(self.integration.policy_id.name, lines["Policy"].seen)

    def test_delivery_that_is_not_set_up(self):
        """It is reported before a new key is due, but only if the schedule would send one."""
        self.assertNotIn("Delivery of new keys", self._lines())
        policy = self.integration.policy_id.copy({"delivery": "webhook", "auto_rotate": True})
        self.integration.policy_id = policy
        line = self._assert_found("Delivery of new keys", "warning", self.integration)
        self.assertIn("no endpoint", line.meaning)
        self.integration.webhook_url = "https://shop.example.com/keys"
        self.assertIn("no signing secret", self._lines()["Delivery of new keys"].meaning)
        with patch.dict(os.environ, {ENVIRONMENT_VARIABLE: Fernet.generate_key().decode()}):
            self.integration._set_webhook_secret("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            self.assertEqual(self._lines()["Delivery of new keys"].result, "ok")
        policy.auto_rotate = False
        self.assertNotIn("Delivery of new keys", self._lines())

    def test_refused_attempts(self):
        """A cause that was solved is a warning, and so are attempts attributed only by address.

        Deliberate requests, by Diagnose or at verify, are ignored.
        """
        host = {"remote_addr": "198.51.100.7"}
        self._move(self.key, ended_at=self.now, end_kind="revoked")
        attempt = self._refused(cause="key_revoked", key_id=self.key.id, **host)
        line = self._assert_found("Attempts", "failed", attempt, "key_revoked", "issue_key")
        self.assertIn("3 × Revoked key", line.seen)
        self._refused(outcome="success", cause=None, **host)
        self.env.cr.execute("UPDATE auth_attempt SET last_seen = %s WHERE outcome = 'success'",
                            (self.now,))
        self._assert_found("Attempts", "warning", attempt, "key_revoked")
        self._move(self.key, ended_at=None, end_kind=None)
        self.env.cr.execute("DELETE FROM auth_attempt")
        self.env["auth.integration.key.address"].create(
            {"key_id": self.key.id, "address": "192.0.2.9", "first_seen": self.now,
             "last_seen": self.now}
        )
        near = {"integration_id": None, "remote_addr": "192.0.2.9"}
        agent = f"{probe.AGENT}1.0"
        self._refused(cause="header_missing", user_agent=agent, **near)
        self._refused(cause="password_wrong", channel="web", **near)
        self._refused(cause="key_expired", key_id=self.key.id, auth_type=probe.VERIFY)
        self.assertEqual(self._lines()["Attempts"].result, "ok")
        attempt = self._refused(cause="header_missing", **near)
        self.diagnosis.requested_by = self.system
        line = self._assert_found("Attempts", "warning", attempt, "header_missing")
        self.assertIn("These calls do not name Shop", line.seen)

    def test_an_owner_hears_of_no_attempt_that_he_may_not_see(self):
        self.env["auth.integration.key.address"].create(
            {"key_id": self.key.id, "address": "192.0.2.9", "first_seen": self.now,
             "last_seen": self.now}
        )
        self._refused(cause="header_missing", integration_id=None, remote_addr="192.0.2.9")
        for reader, result in ((self.system, "warning"), (self.owner, "ok")):
            self.diagnosis.requested_by = reader
            self.assertEqual(self._lines()["Attempts"].result, result, reader.login)

    # Buttons

    def _line_to_fix(self, check):
        line = self._lines()[check]
        with self.assertRaises(AccessError):
            line.with_user(self.stranger).action_fix()
        return line.with_user(self.owner)

    def test_restore_user(self):
        self.integration.user_id.action_archive()
        line = self._line_to_fix("User")
        with self.assertRaises(AccessError):
            line.action_fix()
        line.with_user(self.system).action_fix()
        self.assertTrue(self.integration.user_id.active)
        self.assertIn("Sys Administrator restored the integration user", self._history())

    def test_issue_key(self):
        self.key.revoke("gone")
        action = self._line_to_fix("Keys").action_fix()
        self.assertEqual(action["context"]["default_integration_id"], self.integration.id)
        self.integration.with_user(self.owner).issue_key()
        self.assertIn("Olivia Owner created the API key", self._history())

    def test_rotate(self):
        self._move(self.key, replace_by=self.now + timedelta(days=5), first_used_at=self.now)
        action = self._line_to_fix("Key").action_fix()
        rotation = self.env["auth.integration.rotation"].browse(action["res_id"])
        self.assertEqual(rotation.old_key_id, self.key)
        told = f"Olivia Owner started the rotation of the API key {self.key.prefix}"
        self.assertEqual(self._history().count(told), 1)
        self._line_to_fix("Key").action_fix()
        self.assertEqual(self._history().count(told), 1, "it is open already")

    def test_allow_address(self):
        self.integration.allowed_networks = "10.0.0.0/8"
        self._refused(
            cause="address_not_allowed", key_id=self.key.id, remote_addr="198.51.100.7"
        )
        line = self._line_to_fix("Attempts")
        self.assertEqual(line.fix, "add_network")
        with self.assertRaises(UserError):
            line.action_fix()
        line.with_user(self.manager).action_fix()
        self.assertIn("198.51.100.7", self.integration.allowed_networks)
        self.assertIn("Mona Manager allowed calls from 198.51.100.7", self._history())

    def test_a_privileged_users_buttons_are_for_settings_administrators(self):
        self.integration.user_id.group_ids += self.env.ref("base.group_system")
        self.key.revoke("gone")
        self.integration.user_id.action_archive()
        lines = self._lines()
        for name in ("Keys", "User"):
            for reader in (self.owner, self.manager):
                with self.assertRaises(AccessError, msg=(name, reader.login)):
                    lines[name].with_user(reader).action_fix()
            self.assertTrue(lines[name].with_user(self.system).action_fix(), name)

    def test_open(self):
        action = self._line_to_fix("Policy").action_fix()
        self.assertEqual(
            (action["res_model"], action["res_id"]),
            ("auth.integration.policy", self.integration.policy_id.id),
        )
