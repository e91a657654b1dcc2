"""The ``Authorization: Bearer`` header."""

import re


def bearer_token(header):
    """Return the token that a header carries, exactly as core reads it; empty without one.

    Mirrors ``ir.http._auth_method_bearer``: the scheme in any case, white space, and all the rest.

    :param header: the value of ``Authorization``, or None
    """
    found = re.match(r"^bearer\s+(.+)$", header or "", re.IGNORECASE)
    return found[1] if found else ""
