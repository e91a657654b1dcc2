"""The request of the one call during which the add-on is imported.

It is the first into a database that this process has not loaded, and an RPC call: by then Odoo has
taken the request from its stack, before anything of ours could see it.  Nothing in Odoo refers to
it any more but the functions that serve it, so it is found in these.  A server that lists the
add-on in ``--load`` has no such call.
"""

import sys

from odoo.http import Request


def request():
    """The request being served that does not pass through our wrapper, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("_serve_nodb", "_serve_db"):
            candidate = frame.f_locals.get("self")
            if isinstance(candidate, Request):
                return candidate
        frame = frame.f_back
    return None
