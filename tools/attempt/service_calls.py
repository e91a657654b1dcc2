"""Refusals of the XML-RPC and /jsonrpc services that no model gets to see.

``odoo.service.model.dispatch`` and ``odoo.service.common.dispatch`` refuse an empty secret, a bad
uid, an unknown method or database before any ORM environment exists.
"""

from . import attempt, rpc_failures

_LOGIN_METHODS = ("login", "authenticate")
_CALL_METHODS = {"execute": (5, None), "execute_kw": (6, 7)}  # numbers of parameters
_UNAUTHENTICATED_METHODS = ("version", "about", "set_loglevel")


def early_causes(service: str, method: object, params: object) -> set[str]:
    """Causes, readable from the call itself, of a refusal that came before any model was asked.

    :param service: ``common`` or ``object``
    """
    params = tuple(params) if isinstance(params, (list, tuple)) else ()
    found = _login_causes(method, params) if service == "common" else _call_causes(method, params)
    if not params or not isinstance(params[0], str):
        found.add("malformed_request")
    elif not rpc_failures.exists(params[0]):
        found.add("database_unknown")
    return found


def _login_causes(method, params):
    if method not in _LOGIN_METHODS or not 3 <= len(params) <= 4:
        return {"malformed_request"}
    return set()


def _call_causes(method, params):
    least, most = _CALL_METHODS.get(method if isinstance(method, str) else None, (None, None))
    found = set()
    if least is None or len(params) < least or (most and len(params) > most):
        found.add("malformed_request")
    if len(params) < 3:
        return found
    uid, secret = params[1:3]
    if not uid:
        found.add("authenticate_skipped")
    else:
        try:
            int(uid)
        except (TypeError, ValueError, OverflowError):
            found.add("malformed_request")
    if not secret:
        found.add("secret_missing")
    return found


def report_refusal(service: str, method: object, params: object) -> None:
    """Record a service call that raised, unless a model has already decided about it."""
    if attempt.was_decided() or service not in ("common", "object"):
        return
    if service == "common" and method in _UNAUTHENTICATED_METHODS:
        return
    params = params if isinstance(params, (list, tuple)) else ()
    dbname = params[0] if params else None
    if rpc_failures.is_loaded(dbname) and not rpc_failures.is_ready(dbname):
        return
    found = early_causes(service, method, params) or {"internal_error"}
    if found != {"internal_error"}:
        attempt.mark_typed_text_raised()
    identity = params[1] if len(params) > 1 else None
    rpc_failures.record(
        dbname, found, **({"login": identity} if service == "common" else {"uid": identity})
    )
