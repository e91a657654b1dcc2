from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools.key import authenticated_key
from ..key.auth_integration_key_obtained import KNOWN_AFTER


class AuthIntegrationDeliverySelfService(models.AbstractModel):
    """The integration fetches its new key by a call with its present key.

    The holder of a stolen key could do the same. Therefore the key must be due, in use and not yet
    replaced, and the call needs something that a thief of the key does not have: the second factor,
    or an address from which the integration has called before.
    """

    _name = "auth.integration.delivery.self_service"
    _inherit = "auth.integration.delivery"
    _description = "Fetched by the integration"

    @api.model
    def _label(self):
        return self.env._("External system fetches the new key")

    @api.model
    def _rotate(self, key, totp):
        """Replace the calling key; see :meth:`auth.integration.key.rotate`.

        :param key: the calling key, as superuser
        """
        rotations = self.env["auth.integration.rotation"].sudo()
        self._check_key(key)
        self._check_caller(key, totp)
        rotation = rotations._open(key)
        found = rotation._lock_for_delivery()
        rotation._check_unused_siblings()
        secret, new_key = rotation._make_new_key()
        rotation.delivered_at = fields.Datetime.now()
        self._notify(rotation, new_key, again=found == "delivered")
        return secret, new_key

    def _check_key(self, key):
        """Check that this key may be replaced by a call with it.

        :raise UserError: the reason why not; only the holder of the key learns it
        """
        integration = key.integration_id
        if not integration:
            raise UserError(
                self.env._(
                    "This is a personal key. Personal keys are not rotated."
                )
            )
        if integration.policy_id.delivery != "self_service":
            raise UserError(
                self.env._(
                    "The policy of this integration does not allow it to fetch new keys. An owner"
                    " must claim the new key in Odoo."
                )
            )
        if key.state != "active":
            raise UserError(
                self.env._(
                    "This key has the status “%(state)s”. Only an active key can fetch its"
                    " replacement.",
                    state=key._state_label(),
                )
            )
        due_at = self.env["auth.integration.rotation"].sudo()._due_at(key)
        if not due_at:
            raise UserError(self.env._("This key is not rotated: it has no rotation date."))
        if due_at > fields.Datetime.now():
            raise UserError(
                self.env._(
                    "It is too early to rotate this key. Rotation starts on %(date)s UTC.",
                    date=fields.Datetime.to_string(due_at),
                )
            )

    def _check_caller(self, key, totp):
        """Check for something that the thief of a key does not have: a code or a known address.

        :raise UserError: the code is wrong or was used before, or there is no code and the address
            is not known
        """
        integration = key.integration_id
        if totp:
            if not integration.totp_seed:
                raise UserError(
                    self.env._("This integration has no second factor. Call rotate without a code.")
                )
            if not integration._redeem_totp(str(totp).strip()):
                raise UserError(self.env._("The second-factor code is wrong."))
        elif not authenticated_key.current().address_trusted:
            raise UserError(
                self.env._(
                    "This call came through a proxy that Odoo does not trust, so the address"
                    " cannot be verified. Send a second-factor code: rotate(totp)."
                )
            )
        elif not key._is_address_known(
            [authenticated_key.current().remote_addr], fields.Datetime.now()
        ):
            raise UserError(
                self.env._(
                    "This address is not known for this integration. Call from an address it has"
                    " used for %(days)s days, or send a second-factor code: rotate(totp).",
                    days=KNOWN_AFTER.days,
                )
            )

    def _notify(self, rotation, new_key, again):
        """Notify the owners of each use."""
        values = {
            "old": rotation.old_key_id.prefix,
            "new": new_key.prefix,
            "address": authenticated_key.current().remote_addr or "?",
        }
        if again:
            text = self.env._(
                "The old key %(old)s… fetched another new key, %(new)s…, from %(address)s."
                " An earlier new key has not been used. Its response may have been lost."
                " Otherwise, two systems have this key: revoke it and check its addresses.",
                **values,
            )
        else:
            text = self.env._(
                "With the old key %(old)s…, the external system fetched the new key %(new)s…"
                " from %(address)s.",
                **values,
            )
        rotation._notify(text, rotation.integration_id.owner_ids)
