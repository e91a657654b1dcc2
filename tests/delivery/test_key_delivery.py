import json
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import RecordCapturer, tagged

from ...models.rotation import auth_integration_rotation_delivery as rotation_send
from .test_delivery_webhook import WebhookCommon


@tagged("post_install", "-at_install")
class TestKeyDelivery(WebhookCommon):
    """The log of what was sent to an integration's endpoint, and of its answers."""

    def _deliveries(self):
        return self.env["auth.integration.key.delivery"].search(
            [("integration_id", "=", self.integration.id)], order="id"
        )

    def test_each_delivery_is_listed(self):
        statuses = [(404, "rejected"), (503, "uncertain"), (200, "delivered")]
        for number, (self.endpoint.status, result) in enumerate(statuses):
            self._again() if number else self._due()
            row = self._deliveries()[-1]
            self.assertEqual((row.result, row.status), (result, self.endpoint.status))
            self.assertGreaterEqual(row.latency, 0)
            self.assertEqual(bool(row.error), result != "delivered")
        rows = self._deliveries()
        self.assertEqual(rows.rotation_id, self._rotation())
        self.assertEqual(rows.key_id, self._new_keys())
        self.assertEqual(len(rows), 3)

    def test_no_answer(self):
        self.endpoint.act = lambda handler: handler.connection.close()
        self._due()
        row = self._deliveries()
        self.assertEqual((row.result, row.status), ("uncertain", 0))
        self.assertIn("No response", row.error)

    def test_a_delivery_whose_process_died(self):
        """The row is stored before the message is sent, with an uncertain result."""
        seen = []

        def look(method, rotation, secret, new_key):
            seen.extend(self._deliveries().mapped("result"))

        webhook = type(self.env["auth.integration.delivery.webhook"])
        with patch.object(webhook, "_send", look):
            self._due()
        self.assertEqual(seen, ["uncertain"])
        self.assertEqual(self._deliveries().result, "delivered")

    def test_what_was_never_sent_is_not_listed(self):
        with patch.object(rotation_send, "SENDING_TIME", -1):
            self._due()
        self.assertFalse(self._deliveries())

    def test_old_deliveries_are_forgotten(self):
        self._due()
        row = self._deliveries()
        row.sent_at -= timedelta(days=29)
        self.env["auth.integration.key.delivery"]._gc_deliveries()
        self.assertTrue(row.exists())
        row.sent_at -= timedelta(days=2)
        self.env["auth.integration.key.delivery"]._gc_deliveries()
        self.assertFalse(row.exists())

    def test_who_sees_deliveries(self):
        self._due()
        rows = self._deliveries()
        for user, count in ((self.owner, 1), (self.manager, 1), (self.stranger, 0)):
            self.assertEqual(rows.with_user(user).search_count([]), count, user.login)
            with self.assertRaises(AccessError):
                rows.with_user(user).write({"result": "rejected"})

    # Send Test

    def _test(self, user=None):
        return self.integration.with_user(user or self.owner).action_send_test_delivery()["params"]

    def test_send_test(self):
        """A signed message without a key is sent; no key is made."""
        from standardwebhooks import Webhook

        keys = self.integration.key_ids
        said = self._test()
        self.assertEqual(said["type"], "success")
        (headers, body), = self.endpoint.got
        message = Webhook(self.signing_secret).verify(body, headers)
        self.assertEqual(message["type"], "api_key.test")
        self.assertEqual(message["data"], {"integration": "shop"})
        self.integration.invalidate_recordset()
        self.assertEqual(self.integration.key_ids, keys)
        row = self._deliveries()
        self.assertEqual((row.result, row.status, row.sent_by), ("delivered", 200, self.owner))
        self.assertFalse(row.rotation_id or row.key_id)

    def test_failed_tests_say_why(self):
        for self.endpoint.status in (404, 503):
            said = self._test()
            self.assertEqual(said["type"], "danger")
            self.assertIn(str(self.endpoint.status), said["message"])
            self.assertNotIn("received the key", said["message"])
        self.assertEqual(self._deliveries().mapped("result"), ["rejected", "uncertain"])

    def test_tests_are_limited(self):
        for _number in range(3):
            self._test()
        with self.assertRaisesRegex(UserError, "minute"):
            self._test(self.manager)
        for row in self._deliveries():
            row.sent_at -= timedelta(minutes=2)
        self._test()
        self.assertEqual(len(self.endpoint.got), 4)

    def test_who_may_send_a_test(self):
        with self.assertRaises(AccessError):
            self._test(self.stranger)
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        for user in (self.owner, self.manager):
            with self.assertRaises(AccessError):
                self._test(user)
        self._test(self.system)
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        with self.assertRaisesRegex(UserError, "copy"):
            self._test(self.system)
        self.assertEqual(len(self.endpoint.got), 1)

    def test_a_test_without_an_endpoint(self):
        self.integration.webhook_url = False
        with self.assertRaisesRegex(UserError, "no endpoint"):
            self._test()

    # Retry Now and the next try

    def _triggers(self):
        return RecordCapturer(self.env["ir.cron.trigger"], [("cron_id", "=", self.cron.id)])

    def test_retry_now(self):
        self.endpoint.status = 404
        rotation = self._due()
        self.assertFalse(rotation.is_sending)
        with self.assertRaises(AccessError):
            rotation.with_user(self.stranger).action_retry_now()
        self.endpoint.status = 200
        with self._triggers() as triggers:
            rotation.with_user(self.owner).action_retry_now()
        self.assertLessEqual(triggers.records.call_at, fields.Datetime.now())
        rotation.invalidate_recordset()
        self.assertTrue(rotation.is_sending)
        self._run()
        self.env.invalidate_all()
        self.assertEqual((rotation.state, len(self.endpoint.got)), ("delivered", 2))
        with self.assertRaisesRegex(UserError, "already been delivered"):
            rotation.with_user(self.owner).action_retry_now()

    def test_retries_make_no_keys_without_end(self):
        self.endpoint.status = 503
        rotation = self._due()
        for _number in range(4):
            rotation.with_user(self.owner).action_retry_now()
            self._run()
            self.env.invalidate_all()
        with self.assertRaisesRegex(UserError, "5 new keys"):
            rotation.with_user(self.owner).action_retry_now()

    def test_the_job_runs_at_the_time_of_the_next_try(self):
        """The job's own interval is an hour, but the time that users see is kept."""
        self.endpoint.status = 503
        with self._triggers() as triggers:
            rotation = self._due()
        self.assertIn(rotation.next_try_at, triggers.records.mapped("call_at"))
        self.assertEqual(rotation.next_attempt_at, rotation.next_try_at)

    def test_the_next_try_is_in_the_window(self):
        self.endpoint.status = 503
        rotation = self._due()
        opens = fields.Datetime.now().replace(minute=0, second=0) + timedelta(hours=6)
        self.policy.write({"window_start": opens.hour, "window_end": (opens.hour + 2) % 24 or 24})
        rotation.invalidate_recordset()
        self.assertEqual(rotation.next_attempt_at, opens)
        rotation.with_user(self.owner).postpone(opens + timedelta(minutes=30), "release")
        self.assertEqual(rotation.next_attempt_at, opens + timedelta(minutes=30))

    def test_a_postponed_try_is_made_on_time(self):
        self.endpoint.status = 503
        rotation = self._due()
        until = fields.Datetime.now() + timedelta(days=2)
        with self._triggers() as triggers:
            rotation.with_user(self.owner).postpone(until, "release")
        self.assertEqual(triggers.records.call_at, rotation.next_attempt_at)
        self.assertEqual(rotation.next_attempt_at, until)

    def test_no_next_try_is_promised_where_none_follows(self):
        self.endpoint.status = 503
        rotation = self._due()
        self.assertTrue(rotation.next_attempt_at)
        self.cron.active = False
        rotation.invalidate_recordset()
        self.assertFalse(rotation.next_attempt_at)
        self.cron.active = True
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        rotation.invalidate_recordset()
        self.assertFalse(rotation.next_attempt_at)

    def test_messages_have_a_type(self):
        self._test()
        self._due()
        types = [json.loads(body)["type"] for _headers, body in self.endpoint.got]
        self.assertEqual(types, ["api_key.test", "api_key.rotated"])
