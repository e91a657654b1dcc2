from odoo import models

from ...tools.integration import networks


class RejectionMixin(models.AbstractModel):
    """Name what else will reject the next call, once the reason for the last one was fixed."""

    _inherit = "auth.integration.rejection.mixin"

    def _with_obstacles(self, text, integration):
        """Add to a resolution what else will reject the next call of this system.

        :param text: what was fixed, or False
        """
        if not text or not integration or self._has_succeeded():
            return text
        found = (
            self._archived_user_text(integration),
            self._inactive_key_text(integration),
            self._address_text(integration),
            self._protocol_text(integration),
        )
        if not (obstacles := [obstacle for obstacle in found if obstacle]):
            return text
        return " ".join(
            [text, *obstacles, self.env._("Until then, the next call will be rejected.")]
        )

    def _archived_user_text(self, integration):
        user = integration.user_id
        return not user.active and self.env._(
            "The user %(login)s still has to be restored.", login=user.login
        )

    def _inactive_key_text(self, integration):
        """Return a text if the call had a key that has ended since."""
        key = self._known_key()
        if not key or key.is_live or self._is_about_key():
            return False
        newer = integration._usable_keys().filtered(lambda other: other.id > key.id)[:1]
        if newer:
            return self.env._(
                "The key %(key)s no longer works: %(newer)s has to be installed.",
                key=key.display_name,
                newer=newer.display_name,
            )
        return self.env._(
            "The key %(key)s no longer works: a new key is needed.", key=key.display_name
        )

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
