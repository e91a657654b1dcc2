"""Verification of keys by a core function that takes only a cursor and bypasses our model hooks.

Builds of Odoo 19.0 from April 2026 on have such a function in the module ``base``. ``/kpi/summary``
calls it for many databases in one request, including databases that are not loaded.
"""

import itertools

from odoo import SUPERUSER_ID, api
from odoo.exceptions import AccessDenied
from odoo.modules.registry import Registry
from psycopg2.errors import ReadOnlySqlTransaction

from ..attempt import request_state, rpc_failures
from ..fallback import observed_by
from . import stock_verification
from .native_scope import KeyRulesUnreadable

FUNCTION = "_check_apikey_credentials"
_TABLE = "res_users_apikeys"
_numbers = itertools.count(1)


def presented(arguments: dict) -> tuple | None:
    """Return the cursor, scope and key to be verified by the model instead of the stock function.

    :param arguments: of the function, by name: a cursor first, ``scope``, ``key`` and others
    :return: None when the call is left to the stock function
    """
    others = dict(arguments)
    cr = others.pop(next(iter(others)))
    scope, key = others.pop("scope"), others.pop("key")
    if request_state.current().is_verified_by_model or not (scope and key):
        return None
    if any(value not in (None, _TABLE) for value in others.values()):
        return None  # a lookup of something else, such as a trusted device
    return (cr, scope, key) if _is_served(cr) else None


def _is_served(cr):
    """Whether a database has the add-on in working order; load the registry if needed."""
    if not rpc_failures.is_loaded(cr.dbname) and _is_installed(cr):
        # Loading is no extra risk: any other call with a key would load the registry too.
        Registry(cr.dbname)
    return rpc_failures.is_ready(cr.dbname)


def _is_installed(cr):
    with cr.savepoint(flush=False):
        cr.execute(
            "SELECT FROM ir_module_module WHERE name = 'auth_integration'"
            " AND state IN ('installed', 'to upgrade')"
        )
        return bool(cr.rowcount)


def verify(cr, scope: str, key: str) -> int | None:
    """Verify a key as the model does, with its rules and its end, and record one attempt.

    :return: the user's ID, or None
    """
    env = api.Environment(cr, SUPERUSER_ID, {})
    try:
        # One request may verify many keys, and each rejection counts.
        with observed_by(env["auth.attempt"]._open, number=next(_numbers)) as attempt:
            with request_state.verifying_by_model():
                uid = env[stock_verification.MODEL]._check_credentials(scope=scope, key=key)
            if not uid:
                raise AccessDenied()
            attempt.user_id = attempt.user_id or uid
            return uid
    except (AccessDenied, KeyRulesUnreadable, ReadOnlySqlTransaction):
        return None
