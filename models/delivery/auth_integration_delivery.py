from odoo import api, models

PREFIX = "auth.integration.delivery."


class DeliveryFailed(Exception):
    """The key is not known to have arrived; the text is shown on the rotation.

    :ivar status: of the answer, as HTTP has it; None when there was none
    """

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class DeliveryRefused(DeliveryFailed):
    """The other side said that it does not take the key."""


class DeliveryUncertain(DeliveryFailed):
    """Nobody knows whether the other side has the key."""


class AuthIntegrationDelivery(models.AbstractModel):
    """A method for a new key to reach the external system.

    Another add-on adds one by a single class; it then can be chosen in every policy::

        class ToMyVault(models.AbstractModel):
            _name = "auth.integration.delivery.my_vault"
            _inherit = "auth.integration.delivery"
            _description = "Written to My Vault"
            _sends = True

            def _send(self, rotation, secret, new_key):
                answer = my_vault.write(rotation.integration_id.code, secret)
                if not answer.ok:
                    raise DeliveryRefused(self.env._("My Vault refused: %s", answer.reason))

    The secret is never to be stored, logged, or made part of an error's text.
    """

    _name = "auth.integration.delivery"
    _description = "Delivery of a New API Key"

    # Whether the schedule makes the key and calls ``_send``; else somebody fetches it.
    _sends = False
    # Whether owners are asked, by an activity, to fetch it.
    _asks_owners = False

    @api.model
    def _label(self):
        """What the policy's form calls it."""
        return self._description

    @api.model
    def _blocking_reason(self, integration):
        """Why nothing can be sent to this integration, in words; False when it can.

        Asked before a key is made.
        """
        return False

    @api.model
    def _send(self, rotation, secret, new_key):
        """Hand the key over.  It is committed: should the process die, it exists.

        It may read what it likes. What it writes is committed together with what others of the
        same batch write, and lost when one of them fails in a method that it did not foresee.

        :return: the HTTP status of the answer, or None where there is none
        :raise DeliveryRefused: surely not taken: the new key ends
        :raise DeliveryUncertain: perhaps taken: the new key stays, another one is sent later
        """
        raise NotImplementedError

    @api.model
    def _all(self):
        """The deliveries there are.

        :rtype: dict[str, AuthIntegrationDelivery]
        """
        return {
            name.removeprefix(PREFIX): self.env[name]
            for name in self.env.registry
            if name.startswith(PREFIX)
        }

    @api.model
    def _codes(self, attribute):
        """Codes of the deliveries that have an attribute set, such as ``_sends``."""
        return tuple(code for code, method in self._all().items() if getattr(method, attribute))
