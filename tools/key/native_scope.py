"""The scope in the native row of an API key, through which its rules fail closed.

Stock Odoo knows nothing of networks, channels and what a key may do.  So the native row of a key
that has such rules bears a scope of our own, which stock refuses everywhere; our verification reads
the key's own scope from its record instead.  Wherever stock decides alone, the key is refused and
no rule is lifted.
"""

from odoo.exceptions import UserError
from werkzeug.exceptions import ServiceUnavailable

RESTRICTED = "auth_integration"
"""The native scope of a key with rules; as the own scope of a key: nobody knows what it was."""

RPC = "rpc"
"""The scope of the keys that we issue: good for RPC, and for nothing that later Odoo adds."""

HAS_RULES_SQL = "(COALESCE({i}.allowed_networks, '') || COALESCE({i}.allowed_channels, '') <> '')"
"""Whether an integration, a row of ``auth_integration`` under the alias {i}, has rules."""

KEY_HAS_RULES_SQL = (
    "(COALESCE({k}.allowed_networks, '') <> ''"
    " OR ({k}.access <> 'full' AND {k}.access_mode <> 'report'))"
)
"""Whether a key, a row of ``auth_integration_key`` under the alias {k}, has rules of its own."""

RULE_FIELDS = frozenset({"allowed_networks", "allowed_channels"})
"""The fields of ``auth.integration`` that :data:`HAS_RULES_SQL` reads."""


class KeyRulesUnreadable(UserError, ServiceUnavailable):
    """A good key, but nobody can say whether its rules allow this call: 503, and no AccessDenied.

    An external system need not be given another key when all it has to do is to try again.
    """

    http_status = ServiceUnavailable.code

    def __init__(self):
        message = "The rules of this API key cannot be read at the moment. Try again later."
        super().__init__(message)
        self.args = (message,)  # werkzeug has none, and Odoo answers with the first
        self.__cause__ = None  # nor is the caller told what of ours has failed
