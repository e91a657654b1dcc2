from odoo import fields, models
from odoo.exceptions import UserError

from ...tools.row_locks import wait_and_lock
from ..mixins.fresh_identity import fresh_identity
from .auth_integration_rotation import CLAIM_ACTIVITY


class AuthIntegrationRotation(models.Model):
    """Cancel rotations: unused new keys end, and the old key stays."""

    _inherit = "auth.integration.rotation"

    @fresh_identity
    def action_cancel(self):
        """Cancel rotations, and end new keys that were delivered but never used.

        The old key works until its own end, and its next notice opens another rotation. Because
        this revokes keys, it requires the same identity check as a revocation.
        """
        for rotation in self:
            rotation.integration_id._check_may_operate()
            rotation = rotation.sudo()
            # Lock in the same order as a first use: the new keys, then the rotation.
            wait_and_lock(rotation._unused_new_keys())
            wait_and_lock(rotation)
            rotation._check_not_over()
            for key in rotation._unused_new_keys():
                key._end("revoked", self.env._("The rotation was canceled"), self.env.user)
            rotation.write(
                {"cancelled_at": fields.Datetime.now(), "cancelled_by": self.env.uid}
            )
            rotation._close_activities(self.env._("Canceled by %s", self.env.user.name))
            rotation._note_by(
                self.env.user,
                self.env._(
                    "%(user)s canceled the rotation of %(old)s…",
                    user=self.env.user.name,
                    old=rotation.old_key_id.prefix,
                )
            )
            rotation.invalidate_recordset()
        return True

    def _check_not_over(self):
        if self.state in ("overlap", "done", "cancelled"):
            raise UserError(
                self.env._("This is no longer possible. The new key is in use, or there is no key"
                           " left to replace. You can revoke a key instead.")
            )

    def _close_activities(self, feedback):
        self.integration_id._close_activities_once([CLAIM_ACTIVITY], feedback)
