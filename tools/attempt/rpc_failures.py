"""Record rejections that none of our models sees: their causes, and the log they belong to.

``odoo.service.model.dispatch`` and ``odoo.service.common.dispatch`` reject an empty secret, a bad
uid, an unknown method or database before any ORM environment exists; other rejections show only in
the HTTP response (:mod:`http_failures`).

Without a database, a rejection is written to the server log only. If the name of a database is not
served, it is never written to several databases, and no database is named to the caller.
"""

import logging
import secrets
from datetime import datetime, timezone

import odoo.http
import odoo.service.db
from odoo.modules.registry import Registry
from psycopg2 import InterfaceError, OperationalError

from . import caller, causes, redaction, references, request_state
from . import user_agent as user_agents

_logger = logging.getLogger(__name__)

# For rejections without a database, whose secret would otherwise be the key.
_reference_key = secrets.token_bytes(32)
_SEEMING = {"database_unknown", "endpoint_unknown", "malformed_request", "webhook_unknown"}
_LOGIN_METHODS = ("login", "authenticate")
_CALL_METHODS = {"execute": (5, None), "execute_kw": (6, 7)}  # least and most parameters
_UNAUTHENTICATED_METHODS = ("version", "about", "set_loglevel")


def is_loaded(dbname: object) -> bool:
    return isinstance(dbname, str) and dbname in Registry.registries


def is_ready(dbname: object) -> bool:
    """Whether a database is loaded and the add-on is working in it."""
    return is_loaded(dbname) and getattr(
        Registry.registries[dbname], "auth_integration_ready", False
    )


def exists(dbname: object) -> bool:
    """Whether this server could serve a database of this name."""
    return is_loaded(dbname) or dbname in odoo.service.db.list_dbs(True)


def is_away() -> bool:
    """Whether PostgreSQL cannot be reached: failures in the meantime are not the caller's fault."""
    try:
        for registry in list(Registry.registries.values())[:1]:
            with registry.cursor() as cr:
                cr.execute("SELECT 1")
            return False
        odoo.service.db.list_dbs(True)
    except (InterfaceError, OperationalError):
        return True
    return False


def databases_for_host() -> list[str]:
    """Return the databases that the current request could mean, by its host name."""
    request = caller.current_request()
    host = request.httprequest.environ.get("HTTP_HOST", "") if request else ""
    return odoo.http.db_list(force=True, host=host)


def record(dbname: object, codes: set[str], **facts) -> None:
    """Record a rejection in the log it belongs to, or else in the server log only.

    :param dbname: the database as named by the caller or found by its host; None if neither
    :param facts: fields of :class:`~.attempt.Attempt`
    """
    # Core's responses look the same while PostgreSQL cannot be reached.
    if (dbname is None or codes & _SEEMING) and is_away():
        _log_only(dbname, {"internal_error"}, facts)
        return
    home = _target_registry(dbname, codes)
    if home is None:
        if not is_loaded(dbname):
            _log_only(dbname, codes, facts)
        return
    refused = caller.new_attempt(home.db_name, **facts)
    refused.outcome = "failure"
    if "database_unknown" in codes and isinstance(dbname, str):
        # Names of other databases are not for the readers of this one.
        refused.database = redaction.describe_unknown_database(dbname, home.db_name)
    refused.note(*codes)
    home["auth.attempt"]._emit_in(home, refused)


def _target_registry(dbname, codes):
    """Return the registry whose log a rejection belongs to, or None."""
    if dbname is None or "database_unknown" in codes:
        names = databases_for_host()
        if len(names) != 1:
            return None
        [dbname] = names
    elif not is_loaded(dbname) and dbname in databases_for_host():
        # Loading is no extra risk: any call with a secret would load the registry too.
        Registry(dbname)
    return Registry.registries[dbname] if is_ready(dbname) else None


def _log_only(dbname, codes, facts):
    state = request_state.current()
    state.is_decided = True
    who = caller.current()
    channel = facts.get("channel") or who.channel or "http"
    identity = facts.get("login")
    state.reference = references.reference(
        _reference_key,
        minute=datetime.now(timezone.utc),
        address=who.remote_addr,
        channel=channel,
        identity=facts.get("uid") if identity is None else identity,
    )
    _logger.info(
        "Authentication refused: address=%s cause=%s channel=%s reference=%s database=%s agent=%s",
        who.remote_addr or "n/a",
        causes.first(codes, key_shaped=False),
        channel,
        state.reference,
        _describe_database(dbname),
        user_agents.describe(who.user_agent) or "-",
    )


def _describe_database(dbname):
    """Describe a database name that is not served: it may be a secret in the wrong field."""
    if dbname is None:
        return "-"
    if not isinstance(dbname, str):
        return redaction.escape(dbname)
    if is_loaded(dbname):
        return dbname
    try:
        existing = odoo.service.db.list_dbs(True)
    except Exception:
        existing = []
    if dbname in existing:
        return redaction.escape(dbname, 64)
    near = redaction.nearest(dbname, existing, min(len(dbname) // 3, 4))
    hint = f',nearest="{redaction.escape(near[0], 64)}"' if near else ""
    return f"unknown({len(dbname)}_characters{hint})"


# RPC services -------------------------------------------------------------------------------------


def early_causes(service: str, method: object, params: object) -> set[str]:
    """Return the causes of a rejection that can be read from the call itself.

    For rejections that happened before any model was involved.

    :param service: ``common`` or ``object``
    """
    params = tuple(params) if isinstance(params, (list, tuple)) else ()
    found = _login_causes(method, params) if service == "common" else _call_causes(method, params)
    if not params or not isinstance(params[0], str):
        found.add("malformed_request")
    elif not exists(params[0]):
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
    if request_state.current().is_decided or service not in ("common", "object"):
        return
    if service == "common" and method in _UNAUTHENTICATED_METHODS:
        return
    params = params if isinstance(params, (list, tuple)) else ()
    dbname = params[0] if params else None
    if is_loaded(dbname) and not is_ready(dbname):
        return
    found = early_causes(service, method, params) or {"internal_error"}
    if found != {"internal_error"}:
        request_state.current().quotes_caller = True
    identity = params[1] if len(params) > 1 else None
    record(
        dbname, found, **({"login": identity} if service == "common" else {"uid": identity})
    )
