"""Keys that are verified with nothing but a cursor, past every model and so past our hooks.

Builds of Odoo 19.0 from April 2026 on have a function of the module ``base`` for that, and
``/kpi/summary`` calls it for many databases in one request, also for those that nobody has loaded.
"""

import itertools

from odoo import SUPERUSER_ID, api
from odoo.exceptions import AccessDenied
from odoo.modules.registry import Registry
from psycopg2.errors import ReadOnlySqlTransaction

from ..attempt import rpc_failures
from . import stock_verification
from .native_scope import KeyRulesUnreadable

FUNCTION = "_check_apikey_credentials"
_TABLE = "res_users_apikeys"
_numbers = itertools.count(1)


def verify(core, arguments: dict):
    """Verify a key as the model does: its rules and its end hold, and it is one attempt.

    :param core: what stock decides
    :type core: CoreDecision
    :param arguments: of the function, by name: a cursor first, ``scope``, ``key`` and others
    :return: the user's id, or None
    """
    others = dict(arguments)
    cr = others.pop(next(iter(others)))
    scope, key = others.pop("scope"), others.pop("key")
    if stock_verification.is_by_model() or not (scope and key):
        return core()
    if any(value not in (None, _TABLE) for value in others.values()):
        return core()  # what is sought is something else, such as a trusted device
    registry = _registry(cr)
    if registry is None:
        return core()
    return _verify_by_model(cr, scope, key)


def _registry(cr):
    """The registry of a database that has the add-on in working order, or None."""
    if not rpc_failures.is_loaded(cr.dbname) and _is_installed(cr):
        # Any other call with a key would load it too.
        Registry(cr.dbname)
    if not rpc_failures.is_ready(cr.dbname):
        return None
    return Registry.registries[cr.dbname]


def _is_installed(cr):
    with cr.savepoint(flush=False):
        cr.execute(
            "SELECT FROM ir_module_module WHERE name = 'auth_integration'"
            " AND state IN ('installed', 'to upgrade')"
        )
        return bool(cr.rowcount)


def _verify_by_model(cr, scope, key):
    env = api.Environment(cr, SUPERUSER_ID, {})
    try:
        # One request may ask for many keys, and each that is refused counts.
        with env["auth.attempt"]._open(number=next(_numbers)) as attempt:
            with stock_verification.by_model():
                uid = env[stock_verification.MODEL]._check_credentials(scope=scope, key=key)
            if not uid:
                raise AccessDenied()
            attempt.user_id = attempt.user_id or uid
            return uid
    except (AccessDenied, KeyRulesUnreadable, ReadOnlySqlTransaction):
        return None
