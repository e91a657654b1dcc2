"""Record rejections that show only in the HTTP response.

No service was reached and no credential was checked: wrong paths under the API roots, requests for
a database that this server does not have, bodies that cannot be read, unknown webhooks. They are
detected when the response headers are written, the only place that all of them pass, with or
without a database.
"""

from __future__ import annotations

import re

from odoo.http import request

from . import caller, request_state, rpc_failures

_API_CHANNELS = ("xmlrpc", "jsonrpc", "json2", "webhook")
_RPC_SERVICES = ("common", "object", "db")
_XMLRPC_SERVICE = re.compile(r"/xmlrpc/(?:2/)?([^/]+)\Z")


def report(status: str, headers) -> None:
    """Record the rejection that a response stands for, if no model has decided about the call.

    :param status: the status line, such as ``404 NOT FOUND``
    :param headers: the response headers as pairs
    """
    # Without ``db``, core rejected the request before it chose a database or a session.
    if not request or not hasattr(request, "db"):
        return
    found, dbname, facts = _refusal(int(status[:3]), headers)
    if found:
        rpc_failures.record(dbname, found, **facts)


def _refusal(status, headers):
    """Return causes, database and facts of the rejection; the causes are empty when it is none."""
    http, dbname = request.httprequest, request.db
    path, is_post = http.path, http.method == "POST"
    channel = caller.channel_of_path(path)
    facts = {"channel": channel}
    if status >= 500 and channel in _API_CHANNELS and rpc_failures.is_away():
        return {"internal_error"}, None, facts
    if channel in ("xmlrpc", "jsonrpc"):
        return _rpc_causes(channel, path, status, is_post), dbname, facts
    if channel == "json2" and status == 404:
        return ({"endpoint_unknown"} if dbname else {"database_unknown"}), _named(dbname), facts
    if channel == "webhook" and status == 404:
        return ({"webhook_unknown"} if dbname else {"database_unknown"}), _named(dbname), facts
    if path == "/web/session/authenticate" and is_post:
        return _session_refusal(facts)
    if path.startswith("/auth_oauth/signin"):
        location = dict(headers).get("Location", "")
        return ({"provider_error"} if "oauth_error=" in location else set()), dbname, facts
    if path == "/web/login/totp" and is_post and request.session.get("pre_uid"):
        # The form's text could not be read as a code, or the login limit rejected it.
        facts["uid"] = request.session["pre_uid"]
        return {*(request_state.current().unclaimed_codes or ["malformed_request"])}, dbname, facts
    if dbname is None and http.headers.get("X-Odoo-Database") and status == 404:
        return {"database_unknown"}, _named(dbname), facts
    return set(), dbname, facts


def _named(dbname):
    return dbname or request.httprequest.headers.get("X-Odoo-Database") or None


def _rpc_causes(channel, path, status, is_post):
    if status == 404:
        return {"endpoint_unknown"}
    if not is_post or request_state.current().is_service_reached:
        return set()
    service = _XMLRPC_SERVICE.match(path)
    if channel == "xmlrpc" and (not service or service[1] not in _RPC_SERVICES):
        return {"endpoint_unknown"}
    return {"malformed_request"}


def _session_refusal(facts):
    params = getattr(request, "params", None) or {}
    dbname, login = params.get("db"), params.get("login")
    facts["login"] = login
    if not isinstance(dbname, str) or not {"login", "password"} <= params.keys():
        return {"malformed_request"}, request.db, facts
    if rpc_failures.is_away():
        return {"internal_error"}, None, facts
    if dbname not in rpc_failures.databases_for_host():
        return {"database_unknown"}, dbname, facts
    return set(), dbname, facts
