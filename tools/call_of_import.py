"""Find the request of the one call during which the add-on is imported.

It is the first call into a database that this process has not loaded, and an RPC call: Odoo has
removed the request from its stack before any code of ours could see it.  Only the functions that
serve the request still refer to it, so it is found in their frames.  On a server that lists the
add-on in ``--load`` there is no such call.
"""

import sys

from odoo.http import Request


def request():
    """Return the request being served that does not pass through our wrapper, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("_serve_nodb", "_serve_db"):
            candidate = frame.f_locals.get("self")
            if isinstance(candidate, Request):
                return candidate
        frame = frame.f_back
    return None
