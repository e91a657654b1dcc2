import logging
import time
from datetime import timedelta
from typing import NamedTuple

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.rotation import rotation_states
from ...tools.row_locks import lock_free_ones, wait_and_lock
from ..delivery.auth_integration_delivery import DeliveryRefused, DeliveryUncertain
from ..key.auth_integration_key import STATEMENT_NOW

_logger = logging.getLogger(__name__)

# Seconds after which no further key of a batch is sent.
SENDING_TIME = 10
# How long to wait before checking again whether a blocked key can be sent.
BLOCKED_PERIOD = timedelta(hours=1)
RESULTS = {"_note_arrival": "delivered", "_reject": "rejected", "_note_failure": "uncertain"}


class PendingDelivery(NamedTuple):
    """A key that was created and committed, and is about to be sent."""

    rotation: models.BaseModel
    secret: str
    new_key: models.BaseModel
    row: models.BaseModel


class DeliveryResult(NamedTuple):
    """The result of a delivery, without any secret.

    :ivar str note: the method of the rotation that records it
    :ivar reason: why it failed, as text
    :ivar row: the row of ``auth.integration.key.delivery``
    :ivar status: the status of the response
    :ivar latency: milliseconds until the response
    """

    rotation: models.BaseModel
    new_key: models.BaseModel
    row: models.BaseModel
    note: str
    reason: str | None = None
    status: int | None = None
    latency: int = 0


class AuthIntegrationRotation(models.Model):
    """Create new keys and send them, as a step of the schedule."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _rotations_to_deliver(self):
        """Return the ids of rotations whose new key is to be sent now.

        Rotations that were not opened by a user only run in the window of their policy.
        """
        return self._ids_of(
            SQL(
                """
                SELECT r.id %(open)s AND r.delivery IN %(sending)s
                  AND (r.next_try_at IS NULL OR r.next_try_at <= %(now)s)
                  AND (r.postponed_until IS NULL OR r.postponed_until <= %(now)s)
                  AND EXISTS (
                      SELECT FROM auth_integration i WHERE i.id = r.integration_id AND i.active
                      AND (r.opened_by IS NOT NULL OR i.policy_id = ANY(%(policies)s)))
                ORDER BY r.next_try_at, r.id
                """,
                open=self._open_sql((rotation_states.DUE, rotation_states.DELIVERING)),
                sending=self.env["auth.integration.delivery"]._codes("_sends"),
                policies=self._policies_in_window().ids,
                now=STATEMENT_NOW,
            )
        )

    def _deliver(self, rotation_ids):
        """Create the new keys of some rotations, commit them all, and send them one by one.

        Whatever happens while a key is sent, it exists and may have arrived. The next try sends
        another key, and the first use of one of them ends the others.
        """
        rotations = lock_free_ones(self.browse(rotation_ids))
        rotations.invalidate_recordset()
        now = fields.Datetime.now()
        rotations = rotations.filtered(
            # Otherwise another run is processing it, or has just done so.
            lambda r: r.state in ("due", "delivering") and (r.next_try_at or now) <= now
        )
        deliveries = rotations._unblocked()._prepare_deliveries()
        self._commit()
        results = self._send_all(deliveries)
        # Start a new transaction, to see what the receiver has done by the time of its response.
        self._commit()
        self._process_batch(self._record_results, results)

    def _unblocked(self):
        """Return the rotations whose key can be sent; for the others, record why not."""
        free = self.browse()
        methods = self.env["auth.integration.delivery"]._all()
        for rotation in self:
            if reason := methods[rotation.delivery]._blocking_reason(rotation.integration_id):
                rotation._note_failure(reason, BLOCKED_PERIOD)
            else:
                free += rotation
        return free

    def _prepare_deliveries(self):
        """Create a new key for each rotation, and record that it is about to be sent.

        :rtype: list[PendingDelivery]
        """
        made = self._make_new_keys()
        self.write({"delivering_at": fields.Datetime.now(), "delivered_at": False})
        for rotation in self:
            rotation.next_try_at = rotation._time_of_next_try()
        rows = self.env["auth.integration.key.delivery"].create(
            [
                {
                    "integration_id": rotation.integration_id.id,
                    "rotation_id": rotation.id,
                    "key_id": new_key.id,
                }
                for rotation, (_secret, new_key) in zip(self, made, strict=True)
            ]
        )
        return [
            PendingDelivery(rotation, secret, new_key, row)
            for rotation, (secret, new_key), row in zip(self, made, rows, strict=True)
        ]

    @api.model
    def _send_all(self, deliveries):
        """Send the deliveries one by one, as long as time is left; the rest will be discarded.

        :rtype: list[DeliveryResult]
        """
        methods = self.env["auth.integration.delivery"]._all()
        deadline = time.monotonic() + SENDING_TIME
        results = []
        for delivery in deliveries:
            rotation = delivery.rotation
            if time.monotonic() > deadline:
                result = DeliveryResult(
                    rotation, delivery.new_key, delivery.row, "_discard_unsent"
                )
            else:
                result = self._send_by(methods[rotation.delivery], delivery)
            results.append(result)
        return results

    @api.model
    def _send_by(self, method, delivery):
        """Send one key and return the result."""
        rotation, secret, new_key, row = delivery
        started = time.monotonic()
        status, reason = None, None
        try:
            note, status = "_note_arrival", method._send(rotation, secret, new_key)
        except DeliveryRefused as error:
            note, status, reason = "_reject", error.status, str(error)
        except DeliveryUncertain as error:
            note, status, reason = "_note_failure", error.status, str(error)
        except Exception as error:
            self.env.cr.rollback()  # its open work must not block the other deliveries
            # Do not log its text, which may contain the key.
            _logger.error("Delivery of rotation %s: %s", rotation.id, type(error).__name__)
            reason = self.env._("Delivery failed in Odoo: %s", type(error).__name__)
            note = "_note_failure"
        latency = round((time.monotonic() - started) * 1000)
        return DeliveryResult(rotation, new_key, row, note, reason, status, latency)

    @api.model
    def _commit(self):
        self.env["ir.cron"]._commit_progress()

    # Results -----------------------------------------------------------------------------------

    @api.model
    def _record_results(self, results):
        """Record the results of deliveries, those that arrived all at once."""
        arrived = self.browse()
        for outcome in results:
            self._record_delivery(outcome)
            if outcome.note == "_note_arrival":
                arrived += outcome.rotation
            elif outcome.note == "_note_failure":
                outcome.rotation._note_failure(outcome.reason)
            elif outcome.note == "_reject":
                outcome.rotation._reject(outcome.new_key, outcome.reason)
            else:
                outcome.rotation._discard_unsent(outcome.new_key)
        arrived._note_arrival()

    @api.model
    def _record_delivery(self, outcome):
        """Complete the row of a delivery, or remove it if the delivery was never made."""
        row = outcome.row.exists()
        if outcome.note == "_discard_unsent":
            row.unlink()
            return
        row.write(
            {
                "result": RESULTS[outcome.note],
                "status": outcome.status,
                "latency": outcome.latency,
                "error": outcome.reason,
            }
        )

    def _note_arrival(self):
        """Record that keys arrived; only their first use is posted in the integration's chatter."""
        self.write({"delivered_at": fields.Datetime.now(), "last_error": False})

    def _discard_unsent(self, new_key):
        """End a key that was not sent for lack of time; the next run creates another one."""
        self._end_unsent(new_key)
        self.write({"tries": self.tries - 1, "next_try_at": False})

    def _reject(self, new_key, reason):
        """End a key that certainly did not arrive, and notify the owners the first time."""
        first = not self.last_error and self.tries <= 1
        self._end_unsent(new_key)
        self._note_failure(reason)
        if first:
            self._notify(
                self.env._(
                    "The new API key could not be delivered: %(reason)s Odoo will try again. The"
                    " old key %(old)s… keeps working.",
                    reason=reason,
                    old=self.old_key_id.prefix,
                ),
                self.integration_id.owner_ids,
            )

    def _end_unsent(self, new_key):
        wait_and_lock(new_key)
        if not new_key.first_used_at:
            new_key._end("revoked", self.env._("Not delivered"))

    def _note_failure(self, reason, wait=None):
        """Record why nothing arrived, and run the cron job at the time of the next try.

        :param wait: time until the next try; by default it grows with each try
        """
        next_try_at = fields.Datetime.now() + wait if wait else self._time_of_next_try()
        self.write({"last_error": reason, "next_try_at": next_try_at})
        self._trigger_next_try()

    def _time_of_next_try(self):
        """Return the time of the next try: 5 minutes after the first, then longer, up to a day."""
        minutes = 5 * 3 ** min(max(self.tries - 1, 0), 6)
        return fields.Datetime.now() + min(timedelta(minutes=minutes), timedelta(days=1))
