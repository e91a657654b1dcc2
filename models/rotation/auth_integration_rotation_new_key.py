from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.rotation import rotation_states
from ...tools.row_locks import wait_and_lock
from ..key.auth_integration_key import UTC_NOW
from ..key.auth_integration_key_issuance import KeyRequest

# Live new keys that nobody has used: beyond, somebody should look.
MAX_UNUSED = 5


class AuthIntegrationRotation(models.Model):
    """The new key of a rotation, until its first use: made when it is claimed, fetched or sent."""

    _inherit = "auth.integration.rotation"

    def _lock_for_delivery(self):
        """Keep others from handing over, cancelling or confirming until this transaction ends.

        :return: the state found, one of ``due``, ``delivering`` and ``delivered``
        :raise UserError: there is nothing to hand over, or the database is a copy
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
        """Make one more key that replaces the old one.

        :return: the secret, kept by nobody but the caller, and its record
        """
        self.ensure_one()
        [(secret, new_key)] = self._make_new_keys()
        return secret, new_key

    def _make_new_keys(self):
        """Do as :meth:`_make_new_key` for several rotations.

        :return: for each of them, in their order, the secret and its record
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
        """Keep a rotation from giving new keys without end.

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
        """Write down that a new key is in use; called in the transaction of its first use.

        Locks the rotation: whoever is just handing over another key waits, and then finds it
        confirmed.  Nothing is sent from here, and no mail can make a first use fail.
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
