from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

from ...tools.key import authenticated_key
from ...tools.row_locks import wait_and_lock
from .auth_integration_key import UTC_NOW

# An address is known once the integration has called from it for this long: the thief of a key must
# not be able to make an address known by a first call with it.
KNOWN_AFTER = timedelta(days=7)
KNOWN_WITHIN = timedelta(days=100)


class AuthIntegrationKey(models.Model):
    """Keys that were obtained with other keys: whoever had the one has the other.

    A call with a key can create another key of the same user, above all by :meth:`rotate`. If the
    first key is revoked, the second one may be in the same wrong hands.
    """

    _inherit = "auth.integration.key"

    obtained_with_id = fields.Many2one(
        "auth.integration.key",
        ondelete="set null",
        readonly=True,
        index="btree_not_null",
        help="The key that authenticated the call that created this key.",
    )

    @api.model
    def _hold_calling_key(self, user_ids):
        """Return the key of this call if its user is one of those who get a new key.

        It is updated, not only locked: of a revocation and a call that obtains another key, the
        later one is retried. It then finds the new key, or that its own key has ended.

        :return: the id of the key and of its user, or None and None
        :raise AccessError: the key has ended since the call began
        """
        caller = authenticated_key.current()
        mine = (self.env.cr.dbname, self.env.uid)
        if not caller or (caller.dbname, caller.uid) != mine or caller.uid not in user_ids:
            return None, None
        self.flush_model()
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration_key k SET write_date = %s WHERE k.id = %s RETURNING %s",
                UTC_NOW,
                caller.key_id,
                self._is_live_sql("k"),
            ),
            log_exceptions=False,  # a retry is no error
        )
        if self.env.cr.fetchone() != (True,):
            raise AccessError(
                self.env._("The key of this call no longer works, so it cannot create a key.")
            )
        return caller.key_id, caller.uid

    def _is_address_known(self, addresses, moment):
        """Return whether the caller of this key had called from one of some addresses by then."""
        self.ensure_one()
        holder = "integration_id" if self.integration_id else "user_id"
        return bool(
            self.env["auth.integration.key.address"]
            .sudo()
            .search_count(
                [
                    (f"key_id.{holder}", "=", self[holder].id),
                    ("address", "in", addresses),
                    ("first_seen", "<=", moment - KNOWN_AFTER),
                    ("last_seen", ">=", moment - KNOWN_WITHIN),
                ],
                limit=1,
            )
        )

    def _is_used_from_known_address(self):
        """Return whether this key is used from an address that was known before it was created."""
        return self._is_address_known(self.address_ids.mapped("address"), self.issued_at)

    def _obtained_keys(self):
        """Return the working keys that were obtained with these keys, directly or not."""
        every = self
        while more := self.search([("obtained_with_id", "in", every.ids)]) - every:
            every |= more
        return (every - self).filtered("is_live")

    def _keys_to_revoke(self, decided=None):
        """Return the keys that end when these are revoked: these, and what was obtained with them.

        A key that is used from an address that was known before is the integration's own. It is
        kept, and so are the keys that were obtained with it. The key of this call is kept too: its
        holder has replaced the one that is revoked.

        :param dict decided: whether a key is revoked, by id, where a person decided that
        """
        caller = authenticated_key.current()
        kept = {caller.key_id: False} if caller and caller.dbname == self.env.cr.dbname else {}
        decided = kept | (decided or {})
        ending = self | self._obtained_keys().filtered(lambda key: decided.get(key.id))
        found = ending
        while found:
            found = self.search([("obtained_with_id", "in", found.ids)]) - ending
            found = found.filtered(
                lambda key: decided.get(key.id, not key._is_used_from_known_address())
            )
            ending |= found
        return ending

    def _lock_keys_to_revoke(self, decided=None):
        """Lock the keys of :meth:`_keys_to_revoke` and return them."""
        left = ending = self._keys_to_revoke(decided)
        while left:
            newest = left - left.obtained_with_id - left.replaces_id
            wait_and_lock(newest or left)
            left -= newest or left
        return ending

    def _notify_of_obtained(self, others):
        """Tell the owners which other keys end together with these, and why."""
        for integration, keys in others.grouped("integration_id").items():
            self.env["auth.integration.rotation"]._notify_about(
                integration,
                self.env._(
                    "These API keys were revoked too, because they were obtained with"
                    " %(revoked)s: %(keys)s. If the external system uses one of them, create a"
                    " key and install it.",
                    revoked=", ".join(f"{key.prefix}…" for key in self),
                    keys=", ".join(f"{key.prefix}…" for key in keys),
                ),
                integration.owner_ids,
            )
