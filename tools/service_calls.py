"""Refusals of the XML-RPC and /jsonrpc services that no model gets to see.

``odoo.service.model.dispatch`` and ``odoo.service.common.dispatch`` refuse an empty secret, a bad
uid, an unknown method or database before any ORM environment exists.
"""

import logging

import psycopg2
from odoo.exceptions import AccessDenied
from odoo.modules.registry import Registry

from . import attempt, caller
from .redaction import escape

_logger = logging.getLogger(__name__)

_LOGIN_METHODS = ("login", "authenticate")
_CALL_METHODS = ("execute", "execute_kw")
_UNAUTHENTICATED_METHODS = ("version", "about", "set_loglevel")


def early_causes(service: str, method: object, params: object, error: Exception) -> set[str]:
    """Causes, readable from the call itself, of a refusal that came before any model was asked.

    :param service: ``common`` or ``object``
    :param error: what the service raised
    """
    if service == "common" and method in _UNAUTHENTICATED_METHODS:
        return set()
    params = tuple(params) if isinstance(params, (list, tuple)) else ()
    if params and isinstance(error, psycopg2.OperationalError) and not is_loaded(params[0]):
        return {"database_unknown"}
    if service == "common":
        return _login_causes(method, params)
    return _call_causes(method, params)


def _login_causes(method, params):
    if method not in _LOGIN_METHODS or not 3 <= len(params) <= 4:
        return {"malformed_request"}
    return set()


def _call_causes(method, params):
    if method not in _CALL_METHODS or len(params) < 5:
        return {"malformed_request"}
    uid, secret = params[1:3]
    found = set()
    if not uid:
        found.add("authenticate_skipped")
    else:
        try:
            int(uid)
        except (TypeError, ValueError):
            found.add("malformed_request")
    if not secret:
        found.add("secret_missing")
    return found


def is_loaded(dbname: object) -> bool:
    return isinstance(dbname, str) and dbname in Registry.registries


def report_refusal(service: str, method: object, params: object, error: Exception) -> None:
    """Record a refused service call unless a model has already decided about it."""
    if attempt.was_decided():
        return
    found = early_causes(service, method, params, error)
    if not found and not isinstance(error, AccessDenied):
        return
    dbname = params[0] if isinstance(params, (list, tuple)) and params else None
    if "database_unknown" in found or not is_loaded(dbname):
        _log_only(found, dbname)
        return
    registry = Registry.registries[dbname]
    if getattr(registry, "auth_integration_ready", False):
        _record(registry, service, params, found)


def _record(registry, service, params, found):
    from odoo.api import SUPERUSER_ID, Environment

    identity = params[1] if len(params) > 1 else None
    with registry.cursor() as cr:
        attempts = Environment(cr, SUPERUSER_ID, {})["auth.attempt"]
        refused = attempts._new_attempt(
            **({"login": identity} if service == "common" else {"uid": identity})
        )
        refused.outcome = "failure"
        refused.note(*found)
        attempts._emit(refused)


def _log_only(found, dbname):
    who = caller.current()
    _logger.info(
        "Authentication refused: address=%s cause=%s channel=%s database=%s",
        who.remote_addr,
        "database_unknown" if "database_unknown" in found else ",".join(sorted(found)),
        who.channel,
        escape(dbname, 64),
    )
