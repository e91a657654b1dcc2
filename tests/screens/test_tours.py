import time
from datetime import timedelta

from odoo import fields
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger

from ...tools.access.operation_counts import Counts


@tagged("post_install", "-at_install")
class TestTours(HttpCase):
    """What an administrator and an owner do in the browser: see the tours."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.owner = new_test_user(cls.env, "tour_owner", password="tour_owner")

    def _integration(self):
        return self.env["auth.integration"].create(
            {"name": "Tour Shop", "code": "tour_shop", "owner_ids": self.owner.ids}
        )

    def _key_in_use(self, integration):
        """Make a key that an external system has used."""
        _secret, key = self.env["auth.integration.key"]._issue(integration, "Tour key")
        key.sudo().first_used_at = key.issued_at
        return key

    def _call_at_second_look(self):
        """Make the first call at the second poll of the form that waits for it."""
        looks = []
        integrations = self.env.registry["auth.integration"]
        read = integrations.read

        def look(records, names=None, *args, **kwargs):
            if names and "is_never_called" in names and len(names) < 5:
                looks.append(names)
                if len(looks) == 2:
                    records.sudo().key_ids.first_used_at = fields.Datetime.now()
            return read(records, names, *args, **kwargs)

        look._readonly = False  # in reality, the call is another request, which writes
        self.patch(integrations, "read", look)
        return looks

    def test_administrator_sets_integration_up(self):
        """The user, the key, and the first call, which turns the form green by itself."""
        looks = self._call_at_second_look()
        self.start_tour("/odoo/api-integrations", "auth_integration_issue", login="admin")
        integration = self.env["auth.integration"].search([("code", "=", "tour_shop")])
        self.assertEqual(integration.user_id.login, "tour_shop")
        self.assertEqual(integration.owner_ids, self.env.ref("base.user_admin"))
        self.assertEqual(integration.key_ids.mapped("state"), ["active"])
        self.assertGreaterEqual(len(looks), 2)
        self.assertEqual(integration.key_ids.issued_by, self.env.ref("base.user_admin"))

    def test_owner_sees_what_fails(self):
        """On the width of a phone and of a desktop."""
        working, failing = (
            self.env["auth.integration"].create(
                {"name": f"Tour {name}", "code": name.lower(), "owner_ids": self.owner.ids}
            )
            for name in ("Working", "Failing")
        )
        for integration in (working, failing):
            self._key_in_use(integration)
        failing.user_id.active = False
        self.env.flush_all()
        for outcome, count in (("success", 8), ("failure", 3)):
            self.env.cr.execute(
                "INSERT INTO auth_attempt (bucket, outcome, cause, channel, integration_id, count,"
                " first_seen, last_seen) VALUES (%s, %s, NULL, 'json2', %s, %s,"
                " now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')",
                (outcome, outcome, working.id, count),
            )
        for size in ("1280,800", "400,800"):
            self.browser_size = size
            self.start_tour(
                "/odoo/api-integrations", "auth_integration_overview", login="tour_owner"
            )

    def test_the_empty_overview_has_one_button(self):
        self.env["auth.integration"].with_context(active_test=False).search([]).unlink()
        self.start_tour("/odoo/api-integrations", "auth_integration_overview_empty", login="admin")

    def test_owner_claims_rotated_key(self):
        integration = self._integration()
        old_key = self._key_in_use(integration)
        old_key.action_rotate_now()
        self.start_tour("/odoo/api-key-rotations", "auth_integration_claim", login="tour_owner")
        new_key = integration.key_ids - old_key
        self.assertEqual(new_key.replaces_id, old_key)
        self.assertEqual(new_key.state, "pending")
        self.assertEqual(old_key.state, "active", "The old key works until the new one is used")
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", old_key.id)])
        self.assertEqual(rotation.claimed_by, self.owner)

    def test_owner_limits_a_key_to_what_it_does(self):
        key = self._key_in_use(self._integration())
        self.env.flush_all()
        now = time.time()
        self.env["auth.integration.key"]._record_operations(
            key.id, {("res.partner", "search_read"): Counts(3, 0, 0, now, now)}
        )
        self.start_tour(
            f"/odoo/api-keys/{key.id}", "auth_integration_change_access", login="tour_owner"
        )
        self.assertEqual(
            key._current_access().operations, {("res.partner", "create")}
        )

    def test_diagnosis_shows_its_progress(self):
        """The page needs no reload. web.base.url leads nowhere: the server handles one request."""
        integration = self._integration()
        parameters = self.env["ir.config_parameter"]
        parameters.set_param("web.base.url", "http://127.0.0.1:9")
        with mute_logger("odoo.addons.base.models.ir_cron"):
            self.start_tour(
                f"/odoo/api-integrations/{integration.id}", "auth_integration_diagnose",
                login="admin",
            )
        [diagnosis] = self.env["auth.integration.diagnosis"].search(
            [("integration_id", "=", integration.id)]
        )
        self.assertEqual(diagnosis.state, "done")
        self.assertIn("connection_refused", diagnosis.line_ids.mapped("cause"))

    def test_owner_asks_an_administrator(self):
        integration = self._integration()
        self._key_in_use(integration)
        integration.user_id.active = False
        diagnosis = self.env["auth.integration.diagnosis"].create(
            {"integration_id": integration.id, "requested_by": self.owner.id,
             "requested_at": fields.Datetime.now(), "state": "done"}
        )
        diagnosis._check_user()
        self.start_tour(
            f"/odoo/api-diagnose/{diagnosis.id}", "auth_integration_ask", login="tour_owner"
        )
        kind = self.env.ref("auth_integration.mail_activity_type_request")
        activities = integration.activity_ids.filtered(lambda a: a.activity_type_id == kind)
        self.assertIn(self.env.ref("base.user_admin"), activities.user_id)

    def test_owner_follows_an_attempt_to_others(self):
        integration = self._integration()
        now = fields.Datetime.now()
        for cause in ("key_unknown", "secret_missing"):
            self.env["auth.attempt"]._upsert(
                {"outcome": "failure", "cause": cause, "channel": "json2",
                 "integration_id": integration.id, "remote_addr": "198.51.100.7",
                 "reference": "tour-tour", "database": self.env.cr.dbname}, 1, now, now
            )
        self.start_tour("/odoo/api-attempts", "auth_integration_related", login="tour_owner")

    def test_a_reference_is_found_whenever_the_call_was_made(self):
        self.env.flush_all()
        self.env.cr.execute("DELETE FROM auth_attempt")
        when = fields.Datetime.now() - timedelta(days=4)
        self.env["auth.attempt"]._upsert(
            {"outcome": "failure", "cause": "key_unknown", "channel": "json2",
             "integration_id": self._integration().id, "reference": "W8NE9-5Y3GB",
             "database": self.env.cr.dbname}, 1, when, when
        )
        self.start_tour("/odoo/api-attempts", "auth_integration_reference", login="tour_owner")

    def test_administrator_restores_archived_user(self):
        integration = self._integration()
        self._key_in_use(integration)
        integration.user_id.active = False
        self.start_tour("/odoo/integration-findings", "auth_integration_restore", login="admin")
        self.assertTrue(integration.user_id.active)

    def test_wider_rules_ask_who_sits_there(self):
        """The web client shows Odoo's identity check, and then saves the changes."""
        integration = self._integration()
        integration.allowed_networks = "10.0.0.0/8"
        address = f"/odoo/api-integrations/{integration.id}"
        self.start_tour(address, "auth_integration_widen_refused", login="admin")
        self.assertEqual(integration.allowed_networks, "10.0.0.0/8")
        self.start_tour(address, "auth_integration_widen", login="admin")
        self.assertEqual(integration.allowed_networks, "0.0.0.0/0, 2001:db8::/32")

    def test_archiving_an_owner_asks_who_follows(self):
        integration = self._integration()
        self.start_tour(
            f"/odoo/users/{self.owner.id}", "auth_integration_handover", login="admin"
        )
        self.assertFalse(self.owner.active)
        admin = self.env.ref("base.user_admin")
        self.assertEqual(integration.owner_ids.filtered("active"), admin)

    def test_archiving_says_who_breaks(self):
        integration = self._integration()
        self._key_in_use(integration)
        self.start_tour("/odoo/api-integrations", "auth_integration_archive", login="admin")
        self.assertTrue(integration.active, "The administrator thought better of it")
