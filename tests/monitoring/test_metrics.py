"""Metrics: names, labels that callers cannot choose, and who may have the token."""

import json
import sys
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import HttpCase, tagged
from odoo.tools import file_open

from ...models.monitoring.auth_integration_metrics import TOKEN
from ...tools.attempt import causes
from ..common import IntegrationCommon

LABELS = {
    "auth_integration_attempts": ("outcome", "cause", "channel"),
    "auth_integration_keys": ("state",),
    "auth_integration_days_to_expiry": (),
    "auth_integration_incidents_open": (),
    "auth_integration_findings": ("severity",),
    "auth_integration_rotations_open": ("state",),
    "auth_integration_log_rows": (),
    "auth_integration_log_oldest_timestamp_seconds": (),
}


@tagged("post_install", "-at_install")
class TestMetrics(IntegrationCommon):
    def samples(self, name):
        self.env.flush_all()
        found = self.env["auth.integration.metrics"]._metrics()
        metrics = {metric.name: metric for metric in found}
        return metrics[f"auth_integration_{name}"].samples

    def test_names_and_labels(self):
        metrics = self.env["auth.integration.metrics"]._metrics()
        self.assertEqual({metric.name: metric.labels for metric in metrics}, LABELS)

    def test_labels_come_from_our_registries_only(self):
        """Whatever is in the log: a row of another version, or one inserted by SQL."""
        hostile = 'x"} 1\nfake{a="'
        self.env.cr.execute(
            "INSERT INTO auth_attempt (bucket, outcome, cause, channel, login, remote_addr,"
            " first_seen, last_seen) VALUES ('x', 'failure', %s, %s, %s, %s, now(), now())",
            [hostile] * 4,
        )
        samples = self.samples("attempts")
        self.assertGreaterEqual(samples["failure", "other", "other"], 1)
        known = {"", "other", *causes.CAUSES}
        self.assertLessEqual({cause for _outcome, cause, _channel in samples}, known)

    def test_keys_by_state_and_days_to_the_next_end(self):
        before = self.samples("keys")
        _secret, key = self._issue(self.integration)
        self._issue(self.foreign)
        self.env.flush_all()
        self.assertEqual(self.samples("keys")["pending",], before["pending",] + 2)
        self._move(key, expires_at=fields.Datetime.now() + timedelta(days=3))
        self.assertAlmostEqual(self.samples("days_to_expiry")[()], 3, 2)
        # The end of a key that is being replaced is planned.
        self._move(key, retire_at=fields.Datetime.now() + timedelta(days=1))
        self.assertGreater(self.samples("days_to_expiry")[()], 3)

    def test_every_state_and_severity_has_a_sample(self):
        self.assertEqual(set(self.samples("rotations_open")),
                         {("due",), ("delivering",), ("delivered",), ("overlap",)})
        self.assertEqual(set(self.samples("findings")), {("critical",), ("warning",), ("info",)})

    def test_findings_are_those_on_screen(self):
        shown = self.env["auth.integration.finding"].search_count(
            [("accepted", "=", False), ("folded", "=", False), ("severity", "=", "critical")])
        self.assertEqual(self.samples("findings")["critical",], shown)

    def test_findings_are_counted_by_the_job(self):
        """A scrape should not compute the findings, but it does if the job does not run."""
        metrics = self.env["auth.integration.metrics"]
        live = metrics._count_findings()
        metrics._store_finding_counts()
        with patch.object(type(metrics), "_count_findings", side_effect=AssertionError):
            self.assertEqual(self.samples("findings")["critical",], live.get("critical", 0))
        self.env.cr.execute(
            "UPDATE auth_integration_finding_count"
            " SET counted_at = counted_at - interval '1 hour', counts = '{\"critical\": 7}'"
        )
        self.assertEqual(self.samples("findings")["critical",], live.get("critical", 0))

    def test_the_token_is_for_settings_administrators(self):
        for user in (self.owner, self.manager):
            with self.assertRaises(AccessError):
                self.env["ir.config_parameter"].with_user(user).get_param(TOKEN)
            settings = self.env["res.config.settings"].with_user(user)
            with self.assertRaises(AccessError):
                settings._check_may_see_metrics_token()
        self.env["res.config.settings"].with_user(self.system)._check_may_see_metrics_token()


@tagged("post_install", "-at_install")
class TestMetricsToken(HttpCase):
    def button(self, method):
        model = self.settings
        params = {
            "model": model._name, "method": method, "args": [model.ids], "kwargs": {}
        }
        return self.url_open(
            f"/web/dataset/call_button/res.config.settings/{method}",
            data=json.dumps({"params": params}), headers={"Content-Type": "application/json"},
        ).json()["result"]

    def setUp(self):
        super().setUp()
        self.settings = self.env["res.config.settings"].with_user(
            self.env.ref("base.user_admin")).create({})
        self.authenticate("admin", "admin")

    def test_showing_and_renewing_it_ask_who_you_are(self):
        before = self.env["auth.integration.metrics"]._token()
        for method in ("action_show_metrics_token", "action_new_metrics_token"):
            action = self.button(method)
            self.assertEqual(action["res_model"], "res.users.identitycheck", method)
            self.assertNotIn(before, json.dumps(action))
        self.assertEqual(self.env["auth.integration.metrics"]._token(), before)

    def test_without_the_library_it_says_what_to_install(self):
        headers = {"Authorization": f"Bearer {self.env['auth.integration.metrics']._token()}"}
        with patch.dict(sys.modules, {"prometheus_client": None}):
            answer = self.url_open("/auth_integration/metrics", headers=headers)
            self.assertEqual(answer.status_code, 503)
            self.assertIn("pip install prometheus-client", answer.text)
            self.assertEqual(self.url_open("/auth_integration/metrics").status_code, 401)
            self.assertFalse(self.settings.auth_integration_has_metrics_library)

    def test_a_new_one_replaces_it(self):
        metrics = self.env["auth.integration.metrics"]
        before = metrics._token()
        renewed = metrics._renew_token()
        self.assertTrue(metrics._is_token(renewed))
        self.assertFalse(metrics._is_token(before))
        self.env.cr.execute("DELETE FROM ir_config_parameter WHERE key = %s", [TOKEN])
        for presented in ("", renewed, "x"):
            self.assertFalse(metrics._is_token(presented))

    def test_a_neutralized_copy_has_none(self):
        metrics = self.env["auth.integration.metrics"]
        before = metrics._token()
        with file_open("auth_integration/data/neutralize.sql") as script:
            self.env.cr.execute(script.read())
        self.assertFalse(metrics._token() or metrics._is_token(before) or metrics._is_token(""))
        metrics.init()
        self.assertNotIn(metrics._token(), ("", before))
