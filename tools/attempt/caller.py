"""Who is calling: the HTTP request behind the current code, also where Odoo hides it.

``odoo.http.dispatch_rpc`` runs XML-RPC and /jsonrpc services with the request popped from the
stack (``borrow_request``), so that core's login cooldown never applies to RPC.  We only read it:
``core_patches`` keeps the popped request here and nothing is ever pushed back.
"""

import re
import sys
from contextvars import ContextVar
from dataclasses import dataclass

from ..integration import networks

_borrowed: ContextVar[object | None] = ContextVar("auth_integration_borrowed_request")

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


@dataclass(frozen=True, slots=True)
class Caller:
    """What the HTTP request tells of the caller.

    :ivar channel: a channel of ``auth.attempt``, or None outside of HTTP
    :ivar remote_addr: the address as Odoo sees it, that is, after proxy_mode's ProxyFix, in its one
        canonical form; None when a proxy passed on something that is no address
    :ivar address_trusted: whether that is the caller's own address: False when the request says
        that it came through a proxy and Odoo was not told to believe it
    :ivar user_agent: the header as sent
    :ivar is_http: whether there is a request at all (a cron or a shell has none)
    """

    channel: str | None = None
    remote_addr: str | None = None
    address_trusted: bool = False
    user_agent: str | None = None
    is_http: bool = False


def borrow(request: object | None) -> object:
    """Remember the request that Odoo hides during RPC; :func:`give_back` takes the token."""
    return _borrowed.set(request)


def give_back(token) -> None:
    _borrowed.reset(token)


def forget() -> None:
    _borrowed.set(None)


def current_request():
    """The HTTP request being served, hidden or not, or None.

    The very first call into a database that this process has not loaded yet imports the add-on
    while the request is already borrowed; then it is found up the call stack.
    """
    from odoo.http import request

    if request:
        return request._get_current_object()
    borrowed = _borrowed.get(None)
    return borrowed if borrowed is not None else _request_up_the_stack()


def _request_up_the_stack():
    from odoo.http import Request

    if in_wrapped_call():
        return None
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("_serve_nodb", "_serve_db"):
            candidate = frame.f_locals.get("self")
            if isinstance(candidate, Request):
                return candidate
        frame = frame.f_back
    return None


_wrapped_call: ContextVar[bool] = ContextVar("auth_integration_wrapped_call")


def enter_call() -> None:
    """Note that this HTTP request passes through our wrapper: no need to search the stack."""
    _wrapped_call.set(True)
    forget()


def leave_call() -> None:
    _wrapped_call.set(False)
    forget()


def in_wrapped_call() -> bool:
    """Whether this code runs for an HTTP request that passes through our wrapper.

    Without one there is no request at all, or it is the one during which the add-on was imported.
    """
    return _wrapped_call.get(False)


def current() -> Caller:
    """The caller of the code being run; all None when there is no HTTP request."""
    request = current_request()
    if request is None:
        return Caller()
    http = request.httprequest
    return Caller(
        channel=channel_of_path(http.path),
        remote_addr=networks.normalize(http.remote_addr) or None,
        address_trusted=_is_own_address(http.environ),
        user_agent=http.headers.get("User-Agent"),
        is_http=True,
    )


def _is_own_address(environ):
    """Whether ``REMOTE_ADDR`` is the caller's: nobody claims to forward, or ProxyFix has run."""
    if "werkzeug.proxy_fix.orig" in environ:
        return True
    return not environ.keys() & {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"}


def channel_of_path(path: str) -> str:
    """The channel that a path belongs to; ``http`` for every other route."""
    for pattern, channel in _CHANNEL_OF_PATH:
        if pattern.match(path):
            return channel
    return "http"
