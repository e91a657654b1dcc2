import json
from datetime import timedelta

from freezegun import freeze_time
from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from ...tools.attempt import request_state
from ...tools.attempt.request_state import Attempt
from ...tools.health import probe
from ..attempt.test_attempt_report import ReportCase
from .test_attempt_explanation import ExplanationCase

OF_WAY = {"cause": "header_missing", "user_agent": f"{probe.AGENT}1.0"}
OF_KEY = {"cause": "key_expired", "auth_type": probe.VERIFY}


@tagged("post_install", "-at_install")
class TestAttemptRelated(ExplanationCase):
    """The links from an attempt to others, and the attempt as an event."""

    def test_outcome_in_a_word(self):
        self.assertEqual(self._attempt("key_unknown").status, "rejected")
        self.assertEqual(self._attempt(None, outcome="success").status, "accepted")
        for values in (OF_WAY, OF_KEY):
            self.assertEqual(self._attempt(**values).status, "diagnostic")

    def test_filter_by_a_value(self):
        attempt = self._attempt("key_expired", key_id=self.key.id)
        others = {
            "remote_addr": self._attempt("key_unknown", remote_addr="198.51.100.77"),
            "key_id": self._attempt("key_expired", channel="xmlrpc"),
            "user_id": self._attempt("key_unknown", self.foreign),
            "integration_id": self._attempt("key_unknown", self.foreign),
            "login": self._attempt("key_unknown", login="other"),
            "cause": self._attempt("key_revoked"),
        }
        titles = {
            "remote_addr": attempt.remote_addr,
            "key_id": self.key.display_name,
            "user_id": attempt.user_id.name,
            "integration_id": self.integration.name,
            "login": attempt.login,
            "cause": "Expired key",
        }
        for name, other in others.items():
            with self.subTest(name):
                action = attempt.with_context(same=name).action_view_same()
                found = attempt.search(action["domain"])
                self.assertIn(attempt, found)
                shown = action.get("display_name") or action["name"]  # as the web client does
                self.assertTrue(shown.endswith(f" {titles[name]}"), shown)
                self.assertNotIn(other, found)
                self.assertNotIn("path", action)

    def test_a_deleted_key_still_filters(self):
        attempt = self._attempt("key_expired", key_id=2**30)
        action = attempt.with_context(same="key_id").action_view_same()
        self.assertEqual(attempt.search(action["domain"]), attempt)
        self.assertTrue(action["name"].endswith(f" {2**30}"))

    def test_no_other_column_filters(self):
        attempt = self._attempt("key_expired")
        for name in ("bucket", "id; DROP TABLE auth_attempt", None):
            action = attempt.with_context(same=name).action_view_same()
            self.assertEqual(action["domain"][0][0], "remote_addr")
        with self.assertRaises(AccessError):
            attempt.with_user(self.stranger).action_view_same()

    def test_also_had_this_reference(self):
        first = self._attempt("user_unknown", reference="same-same")
        second = self._attempt("secret_missing", reference="same-same")
        other = self._attempt("key_unknown", self.foreign, reference="same-same")
        self.assertEqual(first.same_reference_ids, second | other)
        seen = first.with_user(self.owner)
        seen.invalidate_recordset()
        self.assertEqual(seen.same_reference_ids, second.with_user(self.owner))
        self.assertFalse(self._attempt("key_unknown", reference=None).same_reference_ids)

    def test_another_call_that_only_administrators_see(self):
        """Owners learn that there is one, unless it is that of another integration."""
        mine = self._attempt("key_unknown", reference="same-same")
        self._attempt("key_unknown", self.foreign, reference="same-same")
        nobody = self.env["auth.integration"]

        def is_said(reader=self.owner):
            self.env.invalidate_all()
            return mine.with_user(reader).other_had_reference

        self.assertFalse(is_said())
        self._attempt("key_unknown", nobody, reference="same-othr")
        self._attempt("secret_missing", nobody, reference=None)
        self.assertFalse(is_said())
        self._attempt("secret_missing", nobody, reference="same-same")
        self.assertTrue(is_said())
        self.assertFalse(is_said(self.manager), "who sees it in the list below")

    def test_raw_event(self):
        """The same event as in the export, for users who may read the attempt."""
        attempt = self._attempt("key_expired", key_id=self.key.id, reader=self.owner)
        event = json.loads(attempt.event_json)
        self.assertEqual((event["class_uid"], event["status_detail"]), (3002, "key_expired"))
        self.assertEqual(event["unmapped"]["integration"], self.integration.code)
        exported = self.env["auth.attempt"].with_user(self.owner).export()["events"]
        self.assertIn(event, exported)
        with self.assertRaises(AccessError):
            attempt.with_user(self.stranger)._events()

    # Diagnostics

    def test_diagnostics_are_hidden_by_the_first_filter(self):
        for name in ("auth_attempt_action", "auth_attempt_hours_action"):
            action = self.env.ref(f"auth_integration.{name}")
            self.assertTrue(safe_eval(action.context)["search_default_no_diagnostics"])
        shown = [self._attempt("header_missing"), self._attempt(None, outcome="success")]
        shown.append(self._attempt("key_expired", user_agent=OF_WAY["user_agent"]))
        hidden = [self._attempt(**OF_WAY), self._attempt(**OF_KEY)]
        attempts = self.env["auth.attempt"]
        everything = {row.id for row in (*shown, *hidden)}
        of_ids = [("id", "in", list(everything))]
        found = attempts.search([*of_ids, ("question", "=", False)])
        self.assertEqual(set(found.ids), {row.id for row in shown})
        self.assertEqual(set(attempts.search([*of_ids, ("question", "!=", False)]).ids),
                         {row.id for row in hidden})
        for kind, row in zip(("way", "key"), hidden, strict=True):
            self.assertEqual(attempts.search([*of_ids, ("question", "=", kind)]).id, row.id)

    def test_the_condition_in_sql_is_the_same(self):
        for values in (OF_WAY, OF_KEY, {"cause": "key_expired"}, {"cause": "header_missing"},
                       {"cause": None, "outcome": "success", "auth_type": probe.VERIFY},
                       {"cause": "key_unknown", "user_agent": OF_WAY["user_agent"]}):
            attempt = self._attempt(**values)
            self.env.cr.execute(
                f"SELECT {probe.IS_DIAGNOSTIC} FROM auth_attempt WHERE id = %s", [attempt.id]
            )
            self.assertEqual(self.env.cr.fetchone()[0], bool(attempt.question), values)

    def test_diagnostics_do_not_count_for_the_integration(self):
        self._attempt("key_unknown")
        self.env.cr.execute("UPDATE auth_attempt SET last_seen = last_seen - interval '1 minute'")
        for values in (OF_WAY, OF_KEY):
            self._attempt(**values)
        self.integration.invalidate_recordset()
        self.assertEqual(self.integration.attempt_failure_count, 1)
        self.assertEqual(self.integration.last_cause, "key_unknown")

    # Mistyped keys

    def _presented(self, secret):
        """Make a call with a wrong secret; return what is logged and what the form says."""
        attempt = Attempt("json2", self.env.cr.dbname, outcome="failure")
        with request_state.opened(attempt):
            self.assertIsNone(self._check(secret))
        values = self.env["auth.attempt"]._failure_values(attempt)
        seen = {"integration_id": self.integration.id, "reader": self.owner}
        text = self._attempt(**{**values, **seen}).case_explanation
        return values["cause"], values["similar_key_id"], text

    def test_probably_mistyped(self):
        end = "0" if self.secret[-1] != "0" else "1"
        cause, similar, text = self._presented(self.secret[:-1] + end)
        self.assertEqual((cause, similar), ("key_unknown", self.key.id))
        self.assertIn("Probably mistyped", text)
        self.assertIn(self.key.prefix, text)

    def test_another_unknown_key(self):
        start = "00000000" if self.key.prefix != "00000000" else "11111111"
        cause, similar, text = self._presented(start + self.secret[8:])
        self.assertEqual((cause, similar), ("key_unknown", None))
        self.assertNotIn("mistyped", text)

    def test_a_mistyped_key_belongs_to_its_integration(self):
        """Even if several integrations call from that address, or none has called yet."""
        mistyped = self.secret[:-1] + ("0" if self.secret[-1] != "0" else "1")

        def attributed(secret=mistyped, **values):
            attempt = Attempt("json2", self.env.cr.dbname, outcome="failure", **values)
            with request_state.opened(attempt):
                self._check(secret)
            self.env["auth.attempt"]._enrich(attempt, fields.Datetime.now())
            return attempt.integration_id, attempt.attribution

        self.assertEqual(attributed(), (self.integration.id, "key"))
        self.assertEqual(attributed(self.secret[:7] + "x" * 33), (None, None))
        self.assertEqual(attributed(user_id=self.stranger.id), (None, None))

    def test_a_similar_key_of_others_is_not_named(self):
        secret, foreign = self._issue(self.foreign)
        attempt = self._attempt("key_unknown", similar_key_id=foreign.id, reader=self.owner)
        self.assertIn("Probably mistyped", attempt.case_explanation)
        self.assertNotIn(foreign.prefix, attempt.case_explanation)
        self.assertNotIn(secret[:8], attempt.case_explanation)

    # Unlock

    def test_unlock(self):
        user = self.integration.user_id
        throttle = type(self.env["auth.throttle"])
        self.patch(throttle, "_full_logins", lambda self, logins: set(logins))
        unlocked = []
        self.patch(
            throttle, "_unlock", lambda self, login, addresses=(): unlocked.append(login)
        )
        attempt = self._attempt("throttled")
        self.assertNotIn("unlock", self._fixes(attempt.with_user(self.owner)))
        attempt = attempt.with_user(self.system)
        self.assertIn("unlock", self._fixes(attempt))
        self.assertFalse(attempt.is_solved)
        action = attempt.action_fix_unlock()
        text = f"{user.login} can sign in again."
        self.assertEqual(action["params"]["message"], text)
        self.assertEqual(unlocked, [user.login])
        self.patch(throttle, "_full_logins", lambda self, logins: set())
        self.env.invalidate_all()
        self.assertNotIn("unlock", self._fixes(attempt))
        self.assertEqual(attempt.resolution, text)

    def test_unlock_from_one_address(self):
        """Only the address is paused, not the login: that is also unlocked, or ends in time."""
        attempt = self._attempt("throttled").with_user(self.system)
        self.assertIn("unlock", self._fixes(attempt))
        with freeze_time(fields.Datetime.now() + timedelta(minutes=16)):
            self.env.invalidate_all()
            self.assertTrue(attempt.is_solved)


@tagged("post_install", "-at_install")
class TestDiagnosticsInTotals(ReportCase):
    """The report counts what external systems were answered, but no diagnostic requests."""

    def test_never_counted(self):
        for days_old in (0, 0.3, 3):
            self.add(days_old, 2)
            for values in (OF_WAY, OF_KEY):
                self.add(days_old, 5, **values)
            self.add(days_old, 1, cause="header_missing")
        for _turn in ("from the log", "rolled up"):
            totals = self.of_the_report("UTC", ["cause"])
            counts = {cause: count for (cause,), (count, _rows) in totals.items()}
            self.assertEqual(counts, {"password_wrong": 6, "header_missing": 3})
            self.rollup()
        self.assertEqual(self.stored()[1] > 0, True)

    def test_rows_that_are_rolled_up_do_not_differ(self):
        self.add(3, 2)
        self.add(3, 5, **OF_WAY)
        self.rollup()
        for hour in range(24):
            with self.subTest(hour=hour):
                self.assertFalse(self._differing_at(hour))

    def _differing_at(self, hour):
        with freeze_time(f"2026-11-10 {hour:02}:20:00"):
            return self.report._differing_days()
