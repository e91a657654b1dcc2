from odoo import models
from odoo.exceptions import AccessError

from ...tools.access.access_rules import ANY_METHOD, LISTED
from ...tools.access.operation_text import split_operation
from ..mixins.fresh_identity import fresh_identity


class AuthAttempt(models.Model):
    """Explain a call that the access of its key does not cover, and offer to allow it."""

    _inherit = "auth.attempt"

    # Explanation -----------------------------------------------------------------------------

    def _explain_operation_not_allowed(self):
        key = self._known_key()
        if not key or not self._may_see(key):
            return [self.env._("You do not have access to this key.")]
        lines = [
            self.env._(
                "The key %(key)s called %(operation)s. Its access: %(access)s.",
                key=key.display_name,
                operation=self.operation or self.env._("an unknown operation"),
                access=key.access_summary,
            )
        ]
        return lines

    def _is_listed(self, key):
        """Return whether the called operation is on the list of its key."""
        allowed = key._current_access().operations
        called = self._operation()
        return bool(
            key.access == LISTED and called
            and (called in allowed or (called[0], ANY_METHOD) in allowed)
        )

    def _operation(self):
        """Return the model and method that were called, or None."""
        return split_operation(self.operation)

    def _has_called_operation(self):
        """Return whether the key has called the rejected operation successfully since."""
        called = self._operation()
        return bool(called) and bool(
            self.env["auth.integration.key.operation"].sudo().search_count(
                [
                    ("key_id", "=", self.sudo().key_id.id),
                    ("model", "=", called[0]),
                    ("method", "=", called[1]),
                    ("last_used_at", ">", self.last_seen),
                ],
                limit=1,
            )
        )

    # Fixes -----------------------------------------------------------------------------------

    def _can_allow_operation(self):
        """Return whether adding the operation to the key's list would allow the call."""
        key = self._known_key()
        return bool(
            key and key.is_live and key.access == LISTED and self._operation()
            and not self._is_listed(key)
            and self._may_change_access(key)
        )

    def _can_change_access(self):
        key = self._known_key()
        return bool(key and key.is_live and self._may_change_access(key))

    def _may_change_access(self, key):
        """Return whether the current user may widen the access of a key."""
        key = key.sudo(self.env.su)
        try:
            key._check_may_end()
            if integration := key.sudo().integration_id:
                integration.with_env(key.env)._check_may_operate()
        except AccessError:
            return False
        return True

    @fresh_identity
    def action_fix_allow_operation(self):
        """Add the refused operation to the list of its key."""
        self._check_fix("allow_operation")
        key = self._known_key().sudo(self.env.su)
        allowed = key.sudo()._current_access().operations | {self._operation()}
        key._set_access(
            operations=sorted(allowed),
            reason=self.env._(
                "Allowed from the rejected attempt %(reference)s",
                reference=self.reference or self.id,
            ),
        )
        return True

    def action_fix_change_access(self):
        """Open the dialog that changes what the key may do."""
        self._check_fix("change_access")
        return self._known_key().sudo(self.env.su).action_change_access()
