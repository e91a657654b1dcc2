"""The HTTP request behind the current code, even where Odoo hides it, and its caller.

``odoo.http.dispatch_rpc`` runs XML-RPC and /jsonrpc services with the request popped from the
stack (``borrow_request``), so core's login cooldown never applies to RPC.  This module only reads
the request: ``core_patches`` keeps the popped one, and it is never pushed back.
"""

import re
from typing import NamedTuple

from odoo.http import request

from .. import call_of_import
from ..integration import networks
from . import request_state
from .request_state import Attempt

_CHANNEL_OF_PATH = tuple(
    (re.compile(rf"/{path}(?:/|\Z)"), channel)
    for path, channel in (
        ("xmlrpc", "xmlrpc"),
        ("jsonrpc", "jsonrpc"),
        ("json/2", "json2"),
        ("web/login/totp", "totp"),
        ("web/login", "web"),
        ("web/signup", "web"),
        ("web/reset_password", "web"),
        ("web/session", "session"),
        ("web/dataset", "session"),
        ("web/hook", "webhook"),
        ("auth_oauth", "oauth"),
    )
)


class Caller(NamedTuple):
    """What the HTTP request tells about the caller.

    :ivar channel: a channel of ``auth.attempt``, or None outside of HTTP
    :ivar remote_addr: the address as Odoo sees it after proxy_mode's ProxyFix, in its canonical
        form; None when a proxy passed on something that is not an address
    :ivar address_trusted: whether this is the caller's own address: False when the request has
        headers of a proxy but Odoo was not configured to trust it
    :ivar user_agent: the header as sent
    :ivar is_http: whether there is a request at all (a cron job or a shell has none)
    """

    channel: str | None = None
    remote_addr: str | None = None
    address_trusted: bool = False
    user_agent: str | None = None
    is_http: bool = False


def current_request():
    """Return the HTTP request being served, even if it is hidden, or None."""
    if request:
        return request._get_current_object()
    state = request_state.current()
    if state.hidden_request is None and not state.is_wrapped:
        return call_of_import.request()
    return state.hidden_request


def current() -> Caller:
    """Return the caller of the running code; all fields are empty when there is no HTTP request."""
    served = current_request()
    if served is None:
        return Caller()
    state = request_state.current()
    if state.caller is None or state.caller[0] is not served:
        state.caller = served, _caller_of(served.httprequest)
    return state.caller[1]


def _caller_of(http):
    return Caller(
        channel=channel_of_path(http.path),
        remote_addr=_address(http.remote_addr),
        address_trusted=_is_own_address(http.environ),
        user_agent=http.headers.get("User-Agent"),
        is_http=True,
    )


def new_attempt(database: str, **facts) -> Attempt:
    """Create an attempt for the current caller, with what the HTTP request tells about it.

    :param facts: further fields of :class:`Attempt`
    """
    who = current()
    facts.setdefault("channel", who.channel or "http")
    return Attempt(
        database=database,
        remote_addr=who.remote_addr,
        address_trusted=who.address_trusted,
        user_agent=who.user_agent,
        **facts,
    )


def _address(text):
    # Text longer than any address is not an address, and must not fill the cache.
    return (networks.normalize_cached(text) or None) if text and len(text) <= 64 else None


def _is_own_address(environ):
    """Whether ``REMOTE_ADDR`` is the caller's own: no forwarding header, or ProxyFix has run."""
    if "werkzeug.proxy_fix.orig" in environ:
        return True
    return not environ.keys() & {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"}


def channel_of_path(path: str) -> str:
    """Return the channel that a path belongs to; ``http`` for every other route."""
    for pattern, channel in _CHANNEL_OF_PATH:
        if pattern.match(path):
            return channel
    return "http"


def bearer_token(header):
    """Return the token in a header, exactly as core reads it; an empty string if there is none.

    Mirrors ``ir.http._auth_method_bearer``: the scheme in any case, whitespace, then all the rest.

    :param header: the value of ``Authorization``, or None
    """
    found = re.match(r"^bearer\s+(.+)$", header or "", re.IGNORECASE)
    return found[1] if found else ""
