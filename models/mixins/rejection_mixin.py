from odoo import api, fields, models

from ...tools.attempt import causes
from ...tools.incident import conditions
from ...tools.integration import networks
from ...tools.key.key_policy import END_CODES


class RejectionMixin(models.AbstractModel):
    """Decide whether the reason for rejected calls was fixed and only the next call is awaited.

    Attempts, incidents and, through these, integrations all use this one implementation. Models
    that inherit it have the fields ``cause``, ``integration_id``, ``user_id``, ``key_id``,
    ``remote_addr`` and ``channel``.
    """

    _name = "auth.integration.rejection.mixin"
    _description = "Rejected Calls"

    is_solved = fields.Boolean(
        "Fixed",
        compute="_compute_resolution",
        help="What the calls were rejected for has been fixed since.",
    )
    resolution = fields.Text(compute="_compute_resolution")
    open_cause = fields.Char(
        compute="_compute_resolution",
        help="Why the next call will be rejected, as far as known. Empty once it is fixed.",
    )

    @api.depends_context("uid", "lang")
    def _compute_resolution(self):
        for row in self:
            text, obstacles = row._resolution() or False, row._obstacles()
            row.resolution = not obstacles and text
            row.is_solved = bool(row.resolution)
            row.open_cause = row.cause
            if text:
                row.open_cause = obstacles[0][0] if obstacles else False

    def _rejected_at(self):
        """Return the moment after which a new key counts as issued because of this rejection."""
        raise NotImplementedError

    def _last_rejected_at(self):
        """Return the moment of the last rejected call."""
        return self._rejected_at()

    def _rejected_integration(self):
        """Return the rejected integration, if the current user may know it."""
        return self.sudo().integration_id

    def _known_key(self):
        return self.sudo().key_id

    def _known_user(self):
        return self.sudo().user_id

    def _has_succeeded(self):
        """Return whether the rejected caller has made a successful call since."""
        return False

    def _is_operation_allowed(self):
        """Return whether the key may now do what it was rejected for."""
        return False

    def _resolution(self):
        """Return what was fixed since, or False if the next call would be rejected for it again."""
        self.ensure_one()
        if not self.cause or self.cause not in causes.CAUSES:
            return False
        if self.cause == "throttled":
            return self._resolution_by_unlock()
        integration = self._rejected_integration()
        if self.cause != "user_archived" and (not integration or not integration.active):
            return False
        return self._with_installation(
            self._resolution_by_fix(integration)
            or self._resolution_by_later_call()
            or self._resolution_by_new_key()
        )

    def _resolution_by_fix(self, integration):
        if self.cause == "user_archived":
            return self._resolution_by_user(integration)
        if self.cause == "key_revoked":
            return self._resolution_by_undo()
        if self.cause in ("address_not_allowed", "channel_not_allowed", "operation_not_allowed"):
            return self._resolution_by_rules(integration)
        return False

    def _is_about_key(self):
        """Return whether the call was rejected for its key, not for a rule or its user."""
        return "issue_key" in causes.get(self.cause).fixes

    def _resolution_by_unlock(self):
        """Return a text once the user was unlocked or the pause is over."""
        user = self._known_user()
        if not user or user.is_sign_in_paused:
            return False
        over = fields.Datetime.now() - self.env["auth.throttle"]._window()
        is_over = self._last_rejected_at() <= max(over, user.sign_in_unlocked_at or over)
        return is_over and user._may_sign_in_text()

    def _resolution_by_user(self, integration):
        user = self._known_user()
        if not user.active or integration and not integration.active:
            return False
        return self.env._("The user %(login)s has been restored.", login=user.login)

    def _resolution_by_rules(self, integration):
        """Return a text if the rules now allow the rejected call."""
        key = self._known_key()
        if self.cause == "operation_not_allowed":
            allowed = self._is_operation_allowed()
            return allowed and self.env._("The operation is now allowed.")
        if self.cause == "channel_not_allowed":
            allowed = self._is_channel_allowed(integration)
            return allowed and self.env._("The protocol is now allowed.")
        allowed = networks.normalize(self.remote_addr) and self._is_address_allowed(
            integration.allowed_networks, key.is_live and key.allowed_networks
        )
        return allowed and self.env._(
            "The address %(address)s is now allowed.", address=self.remote_addr
        )

    def _resolution_by_undo(self):
        """Return a text if the revocation of the key was undone."""
        key = self._known_key()
        if not key.is_live or key._blocked_reason():
            return False
        return self.env._(
            "The key %(key)s of %(login)s now works again.", key=key.display_name, login=key.login
        )

    def _resolution_by_new_key(self):
        """Return a text if a new key waits to be installed."""
        if not (waiting := self._key_to_install()):
            return False
        text = self._install_text(
            waiting,
            self.env._("The key %(key)s has been created. Install it in the external system."),
            self.env._(
                "The key %(key)s has been created. Install it in the external system at"
                " %(address)s."
            ),
        )
        if self._last_rejected_at() > waiting.issued_at and self.cause in END_CODES:
            text = " ".join([text, self.env._("The last call still had the old key.")])
        return text

    def _key_to_install(self):
        """Return the unused key that was created to replace the rejected one, if any."""
        integration = self._rejected_integration()
        if not integration or not self._is_about_key():
            return integration.key_ids.browse()
        keys = self._later_keys(integration)
        return keys.filtered(lambda key: key.state == "pending")[:1]

    def _later_keys(self, integration):
        """Return the usable keys created after the rejected key or after the rejection."""
        return self._newer_keys(integration) & integration._usable_keys()

    def _newer_keys(self, integration):
        """Return the keys created after the rejected key or after the rejection, newest first."""
        keys, rejected = integration.sudo().key_ids.sorted("id", reverse=True), self._known_key()
        if self.cause in END_CODES and rejected:
            return keys.filtered(lambda key: key.id > rejected.id)
        # The log has no fractions of a second.
        return keys.filtered(
            lambda key: key.issued_at.replace(microsecond=0) > self._rejected_at()
        )

    @api.model
    def _outdated_action(self):
        """Return the error for a button that is no longer offered, for example in another tab."""
        return self.env._(
            "This action is no longer available. Reload the page to see the current status."
        )

    def _calling_host(self):
        """Return the address that must call successfully if no other host counts, or False.

        Hosts are told apart as in :data:`conditions.SERIES`.
        """
        by_host = self.cause in conditions.BY_HOST
        if not by_host and (self._known_key() or self.cause == "user_archived"):
            return False
        return networks.normalize(self.remote_addr)

    def _needs_new_key(self):
        """Return whether only a new key helps, and none is waiting to be installed."""
        integration, key = self._rejected_integration(), self._known_key()
        if self.cause == "key_user_mismatch" and key:
            return False  # the key is good but was sent with the wrong login
        if self.cause in END_CODES and self._later_keys(integration):
            return False
        return "pending" not in (integration._usable_keys() - key).mapped("state")

    def _case_remedy(self):
        """Return a remedy that is more specific than that of the cause, or False."""
        if self.cause in END_CODES and (integration := self._rejected_integration()):
            if key := self._later_keys(integration)[:1]:
                return self._install_text(
                    key,
                    self.env._("Install the key %(key)s wherever the rejected key is still used."),
                    self.env._("Install the key %(key)s in the external system at %(address)s."),
                )
        return False

    def _install_text(self, key, anywhere, at_host):
        """Fill in one of two texts: the second one if a certain host must call successfully."""
        address = self._calling_host()
        text = at_host if address else anywhere
        return text % {"key": key.display_name, "address": address}
