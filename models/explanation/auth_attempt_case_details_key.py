from odoo import models

from ...tools.key import native_scope


class AuthAttempt(models.Model):
    """Explain a rejected API key, and tell which keys would work instead."""

    _inherit = "auth.attempt"

    def _explain_key_expired(self):
        return [*self._explain_key_end(), *self._explain_present_key()]

    def _explain_key_revoked(self):
        return [*self._explain_key_end(), *self._explain_present_key()]

    def _explain_key_superseded(self):
        return [*self._explain_key_end(), *self._explain_present_key()]

    def _explain_key_copied(self):
        return [*self._explain_key_end(), *self._explain_present_key()]

    def _explain_present_key(self):
        """Tell which keys would work instead of the one that was sent."""
        integration = self._known_integration()
        if not integration:
            return []
        usable = integration._usable_keys()
        if not usable:
            return [
                self.env._("%(name)s currently has no working key.", name=integration.name)
            ]
        return [
            self.env._(
                "Working keys: %(keys)s.",
                keys=", ".join(usable[:5].mapped("display_name")),
            )
        ]

    def _explain_key_unknown(self):
        return [*self._explain_similar_key(), *self._explain_present_key()]

    def _explain_similar_key(self):
        """Tell which known key starts like the unknown one, of which only the start is known."""
        if not self.sudo().similar_key_id:
            return []
        key = self.sudo().similar_key_id.exists()
        if not key or not self._may_see(key):
            return [self.env._("Probably mistyped: it starts like a key of this database.")]
        return [
            self.env._(
                "Probably mistyped: it starts like the key %(key)s of %(login)s, but the rest is"
                " different.",
                key=key.display_name,
                login=key.login,
            )
        ]

    def _explain_key_wrong_scope(self):
        key = self._known_key()
        if not key or not self._may_see(key):
            return self._explain_present_key()
        if key.scope == native_scope.RESTRICTED:
            return [
                self.env._(
                    "The key %(key)s was limited to certain networks or protocols when this app"
                    " was uninstalled. Its original scope is unknown. Create a new key.",
                    key=key.display_name,
                )
            ]
        return [
            self.env._(
                "The key %(key)s is valid for “%(scope)s” only.",
                key=key.display_name,
                scope=key.scope or "rpc",
            ),
            *self._explain_present_key(),
        ]

    def _explain_key_user_mismatch(self):
        key = self._known_key()
        if not key or not self._may_see(key):
            lines = [self.env._("The key belongs to a user you do not have access to.")]
        else:
            lines = [
                self.env._(
                    "The key %(key)s belongs to %(owner)s, but the call used %(login)s.",
                    key=key.display_name,
                    owner=key.login,
                    login=self.login or self.env._("another user"),
                )
            ]
        return [*lines, *self._explain_present_key()]
