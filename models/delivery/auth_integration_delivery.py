from odoo import api, models

PREFIX = "auth.integration.delivery."


class DeliveryFailed(Exception):
    """The key is not known to have arrived; the error text is shown on the rotation.

    :ivar status: HTTP status of the answer; None if there was no answer
    """

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class DeliveryRefused(DeliveryFailed):
    """The external system certainly does not have the key."""


class DeliveryUncertain(DeliveryFailed):
    """It is unknown whether the external system has the key."""


class AuthIntegrationDelivery(models.AbstractModel):
    """A method to deliver a new key to the external system.

    Another add-on can add one with a single class, which can then be chosen in every policy::

        class ToMyVault(models.AbstractModel):
            _name = "auth.integration.delivery.my_vault"
            _inherit = "auth.integration.delivery"
            _description = "Written to My Vault"
            _sends = True

            def _send(self, rotation, secret, new_key):
                answer = my_vault.write(rotation.integration_id.code, secret)
                if not answer.ok:
                    raise DeliveryRefused(self.env._("My Vault refused: %s", answer.reason))

    The secret must never be stored, logged, or included in the text of an error.
    """

    _name = "auth.integration.delivery"
    _description = "Delivery of a New API Key"

    # Whether the cron job creates the key and calls ``_send``; otherwise somebody fetches it.
    _sends = False
    # Whether an activity asks the owners to fetch the key.
    _asks_owners = False

    @api.model
    def _label(self):
        """Return the name of this method on the form of the policy."""
        return self._description

    @api.model
    def _blocking_reason(self, integration):
        """Return a text why nothing can be sent to this integration; False if it can.

        Called before a key is created.
        """
        return False

    @api.model
    def _send(self, rotation, secret, new_key):
        """Deliver the key.  The key is committed already: it exists even if the process dies.

        This method may read anything. What it writes is committed together with the writes of the
        other deliveries of the batch, and is lost if one of them raises an unexpected exception.

        :return: the HTTP status of the answer, or None if there is none
        :raise DeliveryRefused: certainly not delivered: the new key is ended
        :raise DeliveryUncertain: maybe delivered: the new key stays, another one is sent later
        """
        raise NotImplementedError

    @api.model
    def _all(self):
        """Return all delivery methods, by code.

        :rtype: dict[str, AuthIntegrationDelivery]
        """
        return {
            name.removeprefix(PREFIX): self.env[name]
            for name in self.env.registry
            if name.startswith(PREFIX)
        }

    @api.model
    def _codes(self, attribute):
        """Return the codes of the methods on which an attribute is set, such as ``_sends``."""
        return tuple(code for code, method in self._all().items() if getattr(method, attribute))
