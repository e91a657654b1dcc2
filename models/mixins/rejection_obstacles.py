from odoo import models

from ...tools.attempt import causes
from ...tools.integration import networks
from ...tools.key.key_policy import CODE_OF_STATE, KEY_CHANNELS


class RejectionMixin(models.AbstractModel):
    """Name what else will reject the next call of this system, once the reason was fixed."""

    _inherit = "auth.integration.rejection.mixin"

    def _obstacles(self):
        """Return what else will reject the next call, in the order in which it will be noticed.

        :return: pairs of a cause and a text
        :rtype: list[tuple[str, str]]
        """
        integration = self._rejected_integration()
        if self.cause not in causes.CAUSES or not integration.active or self._has_succeeded():
            return []
        found = [
            ("user_archived", self._archived_user_text(integration)),
            (self._inactive_key_cause(), self._inactive_key_text(integration)),
        ]
        if self.channel in KEY_CHANNELS:
            found += [
                ("address_not_allowed", self._address_text(integration)),
                ("channel_not_allowed", self._protocol_text(integration)),
            ]
        return [(cause, text) for cause, text in found if text and cause != self.cause]

    def _with_obstacles(self, remedy):
        """Return what to do now, for a remedy of the cause for which the call was rejected."""
        texts = [text for _cause, text in self._obstacles()]
        if texts and (fixed := self._resolution()):
            return " ".join([fixed, *texts])
        if texts:
            return self.env._("%(remedy)s Also: %(more)s", remedy=remedy, more=" ".join(texts))
        return remedy

    def _inactive_key_cause(self):
        return CODE_OF_STATE.get(self._known_key().state, "key_revoked")

    def _archived_user_text(self, integration):
        user = integration.user_id
        return not user.active and self.env._(
            "The user %(login)s still has to be restored.", login=user.login
        )

    def _inactive_key_text(self, integration):
        """Return a text if the key of the call has ended since and no other was created."""
        if not self._has_lost_its_key() or self._newer_key(integration):
            return False
        return self.env._(
            "The key %(key)s no longer works: a new key is needed.",
            key=self._known_key().display_name,
        )

    def _with_installation(self, text):
        """Add to a resolution that the key of the call has ended since and was replaced."""
        integration = self._rejected_integration()
        if not text or not self._has_lost_its_key():
            return text
        if not (newer := self._newer_key(integration)):
            return text
        installation = self.env._(
            "The key %(key)s no longer works: %(newer)s has to be installed.",
            key=self._known_key().display_name,
            newer=newer.display_name,
        )
        return f"{text} {installation}"

    def _has_lost_its_key(self):
        """Return whether the key of the call worked but has ended since, as far as known."""
        key = self._known_key()
        is_replaced = self.has_sent_valid_key or self._has_succeeded()
        return key and not key.is_live and not self._is_about_key() and not is_replaced

    def _newer_key(self, integration):
        key = self._known_key()
        return integration._usable_keys().filtered(lambda other: other.id > key.id)[:1]

    def _address_text(self, integration):
        key = self._known_key()
        rules = [integration.allowed_networks, key.is_live and key.allowed_networks]
        return not self._is_address_allowed(*rules) and self.env._(
            "The address %(address)s still has to be allowed.", address=self.remote_addr
        )

    def _protocol_text(self, integration):
        return not self._is_channel_allowed(integration) and self.env._(
            "The protocol %(protocol)s still has to be allowed.",
            protocol=dict(self.env["auth.attempt"]._selection_channel()).get(self.channel),
        )

    def _is_address_allowed(self, *rules):
        """Return whether all of these lists of networks allow the address, if it is known."""
        return not networks.normalize(self.remote_addr) or all(
            networks.contains(networks.parse(text or ""), self.remote_addr) for text in rules
        )

    def _is_channel_allowed(self, integration):
        """Return whether the integration allows the protocol of the rejected call."""
        channels = integration._allowed_channel_set()
        return not channels or self.channel in channels
