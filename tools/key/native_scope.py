"""The scope in the native row of an API key, which makes its rules fail closed.

Stock Odoo does not know networks, channels or the access of a key.  So the native row of a key with
such rules has a scope of our own, which stock Odoo rejects everywhere; our verification reads the
key's own scope from its record instead.  Where stock Odoo decides alone, the key is rejected and no
rule is bypassed.
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
    """A valid key whose rules cannot be read: answered with 503 instead of AccessDenied.

    The external system does not need another key: it only has to try again.
    """

    http_status = ServiceUnavailable.code

    def __init__(self):
        message = "The rules of this API key cannot be read at the moment. Try again later."
        super().__init__(message)
        self.args = (message,)  # werkzeug sets none, and Odoo's response contains the first
        self.__cause__ = None  # the caller must not learn which part of ours failed
