from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools.key.key_policy import END_CODES
from ..mixins.fresh_identity import fresh_identity

WAITING = ("due", "delivering")


class AuthIntegrationRotation(models.Model):
    """The next step of a rotation, by the current user or by the schedule."""

    _inherit = "auth.integration.rotation"

    delivery_ids = fields.One2many(
        "auth.integration.key.delivery", "rotation_id", "Deliveries", readonly=True
    )
    next_step = fields.Selection(
        [
            ("claim", "Claim New Key"),
            ("set_up", "Set Up Delivery"),
            ("retry", "Retry Now"),
            ("fetch", "Fetch New Key"),
            ("install", "Install New Key"),
            ("find_late_calls", "View Calls with Old Key"),
            ("rotate", "Rotate Key"),
        ],
        compute="_compute_next_step",
        help="The next thing that you can do about this rotation.",
    )
    old_key_text = fields.Char(
        compute="_compute_old_key_text", compute_sudo=True, help="Until when the old key works."
    )
    blocked_reason = fields.Char(
        compute="_compute_blocked_reason", compute_sudo=True,
        help="Why the new key cannot be sent.",
    )
    next_attempt_at = fields.Datetime(
        "Next Try", compute="_compute_next_attempt_at", compute_sudo=True,
        help="When the new key is sent next, within the rotation window of the policy.",
    )
    is_sending = fields.Boolean(compute="_compute_next_attempt_at", compute_sudo=True)

    def _compute_blocked_reason(self):
        methods = self.env["auth.integration.delivery"]._all()
        for rotation in self:
            rotation.blocked_reason = (
                rotation.state in WAITING
                and rotation.is_sent
                and methods[rotation.delivery]._blocking_reason(rotation.integration_id)
            )

    @api.depends("old_key_id")
    @api.depends_context("lang", "tz")
    def _compute_old_key_text(self):
        for rotation in self:
            old = rotation.old_key_id
            rotation.old_key_text = old.is_live and old._replacement_text(
                rotation.integration_id.policy_id
            )

    # Next step -------------------------------------------------------------------------------

    @api.depends_context("uid")
    def _compute_next_step(self):
        for rotation in self:
            may_operate = rotation.integration_id._may_operate()
            rotation.next_step = may_operate and rotation._next_step()

    def _next_step(self):
        if self.state in WAITING:
            if self.is_sent:
                return "set_up" if self.blocked_reason else "retry"
            return "fetch" if self.delivery == "self_service" else "claim"
        if self.state == "delivered":
            return "install" if self.claimed_by else False
        if self.state == "overlap":
            return "find_late_calls" if self.late_callers or self.old_key_used_since else False
        if self.state == "done":
            return "find_late_calls" if self._is_old_key_rejected() else False
        if self.state == "cancelled" and self.old_key_id.state in ("pending", "active"):
            return "rotate"
        return False

    def _is_old_key_rejected(self):
        """Return whether calls with the ended old key were rejected."""
        return bool(
            self.env["auth.attempt"]
            .sudo()
            .search_count(
                [
                    ("key_id", "=", self.old_key_id.id),
                    ("outcome", "=", "failure"),
                    ("cause", "in", list(END_CODES)),
                ],
                limit=1,
            )
        )

    def _is_to_claim(self):
        """Return whether nothing happens until an owner claims the new key."""
        return self._next_step() == "claim"

    @fresh_identity
    def action_retry_now(self):
        """Send a new key now, regardless of the time of the next try and of the rotation window.

        :raise AccessError: see ``_check_may_operate`` of the integration
        :raise UserError: nothing is to be sent, or the database is a copy
        """
        for rotation in self:
            rotation.integration_id._check_may_operate()
            state = rotation.sudo()._lock_for_delivery()
            if state not in WAITING or not rotation.is_sent:
                raise UserError(self.env._("The new key has already been delivered."))
            rotation.sudo()._check_unused_siblings()
            rotation.sudo()._start_now()
        return True

    def action_set_up_delivery(self):
        """Open the integration, where the delivery of new keys is set up."""
        self.ensure_one()
        return self.integration_id._get_records_action()

    def action_connection_sheet(self):
        """Open the sheet with everything needed to install the new key."""
        self.ensure_one()
        return self.integration_id.action_connection_sheet()

    def action_revoke_old_key(self):
        """Open the dialog that asks why the old key is revoked before its overlap is over."""
        self.ensure_one()
        action = self.old_key_id.action_revoke()
        reason = self.env._("Replaced by %(key)s", key=self.new_key_id.display_name)
        context = action["context"] | {"default_reason": reason}
        return action | {"name": self.env._("Revoke Old Key"), "context": context}

    def action_view_late_calls(self):
        """Show the calls with the old key."""
        self.ensure_one()
        return self.old_key_id.action_view_attempts()

    @fresh_identity
    def action_rotate_again(self):
        """Open another rotation of the old key after this one was canceled."""
        self.ensure_one()
        return self.old_key_id.action_rotate()

    # Next try --------------------------------------------------------------------------------

    def _compute_next_attempt_at(self):
        now = fields.Datetime.now()
        may_send = self._schedule_sends()
        for rotation in self:
            waits = may_send and rotation.is_sent and rotation.state in WAITING
            moment = waits and rotation.integration_id.active and rotation._time_of_attempt(now)
            rotation.next_attempt_at = moment
            rotation.is_sending = bool(moment) and moment <= now

    def _schedule_sends(self):
        """Return whether the cron job is active and this database is no copy."""
        cron = self.env.ref("auth_integration.ir_cron_rotation", raise_if_not_found=False)
        return bool(cron and cron.sudo().active) and not (
            self.env["auth.integration.database"].sudo()._is_copy()
        )

    def _time_of_attempt(self, now):
        """Return when the schedule sends the new key, not earlier than now."""
        moment = max(now, self.next_try_at or now, self.postponed_until or now)
        return moment if self.opened_by else self.integration_id.policy_id._next_in_window(moment)

    def _trigger_next_try(self):
        """Trigger the cron job for the time of the next delivery: its own interval is an hour."""
        now = fields.Datetime.now()
        times = {rotation._time_of_attempt(now) for rotation in self}
        self.env.ref("auth_integration.ir_cron_rotation").sudo()._trigger(sorted(times))
