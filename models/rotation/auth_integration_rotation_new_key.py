from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.rotation import rotation_states
from ...tools.row_locks import wait_and_lock
from ..key.auth_integration_key import UTC_NOW
from ..key.auth_integration_key_issuance import KeyRequest

# Maximum number of live unused new keys: with so many, somebody should investigate.
MAX_UNUSED = 5


class AuthIntegrationRotation(models.Model):
    """The new key of a rotation until its first use: created when claimed, fetched or sent."""

    _inherit = "auth.integration.rotation"

    def _lock_for_delivery(self):
        """Prevent others from delivering, cancelling or confirming until this transaction ends.

        :return: the current state, one of ``due``, ``delivering`` and ``delivered``
        :raise UserError: there is nothing to deliver, or the database is a copy
        """
        self.env["auth.integration.database"]._check_original()
        wait_and_lock(self)
        if self.state not in (
            rotation_states.DUE,
            rotation_states.DELIVERING,
            rotation_states.DELIVERED,
        ):
            raise UserError(self.env._("This rotation is finished. There is no key to deliver."))
        return self.state

    def _make_new_key(self):
        """Create one more key that replaces the old one.

        :return: the secret, which is stored nowhere else, and the record of the key
        """
        self.ensure_one()
        [(secret, new_key)] = self._make_new_keys()
        return secret, new_key

    def _make_new_keys(self):
        """Create a key as :meth:`_make_new_key` does, for several rotations.

        :return: for each of them, in the same order, the secret and the record of the key
        """
        made = self.env["auth.integration.key"]._issue_all(
            [
                KeyRequest(
                    rotation.integration_id,
                    rotation.old_key_id.name or rotation.integration_id.name,
                    replaces_id=rotation.old_key_id.id,
                )
                for rotation in self
            ]
        )
        for rotation, (_secret, new_key) in zip(self, made, strict=True):
            rotation.new_key_id = new_key
        for tries, rotations in self.grouped("tries").items():
            rotations.tries = tries + 1
        self.write({"postponed_until": False, "last_error": False})
        return made

    def _check_unused_siblings(self):
        """Prevent a rotation from creating an unlimited number of new keys.

        :raise UserError: several were delivered, and none was used
        """
        if (count := len(self._unused_new_keys())) >= MAX_UNUSED:
            raise UserError(
                self.env._(
                    "%(count)s new keys have been created, and none has been used. Use one of"
                    " them, or revoke them first.",
                    count=count,
                )
            )

    def _unused_new_keys(self):
        return self.env["auth.integration.key"].search(
            [("replaces_id", "in", self.old_key_id.ids), ("state", "=", "pending")]
        )

    @api.model
    def _confirm(self, new_key):
        """Record that a new key is in use; called in the transaction of its first use.

        The update locks the rotation, so that a concurrent delivery of another key waits and then
        finds the rotation confirmed. Nothing is sent here, so that no mail can make a first use
        fail.
        """
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration_rotation SET new_key_id = %s, write_date = %s"
                " WHERE old_key_id = %s AND cancelled_at IS NULL",
                new_key.id,
                UTC_NOW,
                new_key.replaces_id.id,
            )
        )
        self.invalidate_model()
