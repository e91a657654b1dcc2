import time
from datetime import timedelta

from odoo import fields, models
from odoo.exceptions import UserError

from .auth_integration_delivery import DeliveryFailed, DeliveryRefused
from .auth_integration_delivery_webhook import TEST

# Tests are limited, because each one blocks a worker while it waits for the endpoint.
MAX_TESTS = 3
TEST_PERIOD = timedelta(minutes=1)


class AuthIntegration(models.Model):
    """Send a test to see whether the endpoint for new keys works, before a key is due."""

    _inherit = "auth.integration"

    key_delivery_ids = fields.One2many(
        "auth.integration.key.delivery", "integration_id", "Recent Deliveries", readonly=True
    )

    def action_send_test_delivery(self):
        """Send a signed message without a key to the endpoint for new keys, now.

        :raise AccessError: the current user is neither owner nor manager
        :raise UserError: the endpoint is not set up, too many tests, or the database is a copy
        """
        self.ensure_one()
        self._check_may_operate()
        self.env["auth.integration.database"].sudo()._check_original()
        integration = self.sudo()
        integration._check_may_test()
        row = integration._send_test_delivery()
        ok = row.result == "delivered"
        text = self.env._(
            "The endpoint answered %(status)s in %(latency)s ms.",
            status=row.status, latency=row.latency,
        )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if ok else "danger",
                "title": self.env._("Test delivered") if ok else self.env._("Test failed"),
                "message": text if ok else row.error,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _check_may_test(self):
        method = self.env["auth.integration.delivery.webhook"]
        if reason := method._blocking_reason(self):
            raise UserError(reason)
        recent = self.env["auth.integration.key.delivery"].search_count(
            [
                ("integration_id", "=", self.id),
                ("rotation_id", "=", False),
                ("sent_at", ">", fields.Datetime.now() - TEST_PERIOD),
            ]
        )
        if recent >= MAX_TESTS:
            raise UserError(self.env._("Wait a minute before you send another test."))

    def _send_test_delivery(self):
        """Send the test and return its row, as superuser."""
        method = self.env["auth.integration.delivery.webhook"]
        now, started = fields.Datetime.now(), time.monotonic()
        values = {"result": "delivered", "error": False}
        try:
            values["status"] = method._post(
                self, f"test-{self.id}-{time.time_ns()}", TEST, {"integration": self.code}
            )
        except DeliveryFailed as error:
            refused = isinstance(error, DeliveryRefused)
            values = {
                "result": "rejected" if refused else "uncertain",
                "status": error.status,
                "error": str(error),
            }
        return self.env["auth.integration.key.delivery"].create(
            {
                "integration_id": self.id,
                "sent_at": now,
                "sent_by": self.env.uid,
                "latency": round((time.monotonic() - started) * 1000),
                **values,
            }
        )
