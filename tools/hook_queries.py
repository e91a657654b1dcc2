"""Queries that the hooks make on every call: quick, up to date, and in nobody's way.

What the caller's transaction has begun, an error of ours must not end; and what it has not begun,
we do not begin for it.
"""

from __future__ import annotations

import odoo.modules.module
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

from . import prepared
from .kept_connections import connections

_SAVE = "SAVEPOINT auth_integration"
_LET_GO = "RELEASE SAVEPOINT auth_integration"
_GO_BACK = f"ROLLBACK TO SAVEPOINT auth_integration; {_LET_GO}"


def query(env, statement: str, params: dict) -> list[tuple]:
    """Run a query on the primary: a replica may not know yet that a key has ended.

    Where the caller's own transaction has not begun, the query is a transaction of its own on a
    kept connection: one round trip instead of three.

    :param env: the caller's environment
    :param statement: SQL with ``%(name)s`` for each parameter; a constant
    :raise psycopg2.Error: the caller's transaction is as it was
    """
    if odoo.modules.module.current_test:  # all that there is is in its one transaction
        return _query_on(env.cr, statement, params)
    if env.cr.readonly or _is_idle(env.cr):
        rows = connections.query(env.registry, statement, params)
        if rows is not None:
            return rows
    if env.cr.readonly:
        with env.registry.cursor() as primary:
            return _query_on(primary, statement, params)
    return _query_on(env.cr, statement, params)


def _query_on(cr, statement, params):
    run = _fetch_first if _is_idle(cr) else _fetch_within
    try:
        return run(cr, prepared.prepared(cr._cnx, statement), params)
    except prepared.UNUSABLE:
        prepared.give_up(cr._cnx, statement)
        return run(cr, statement, params)


def _fetch_first(cr, code, params):
    """Run a query as the first of a transaction: should it fail, nothing is lost with it."""
    try:
        return _fetch(cr, code, params)
    except Exception:
        cr.rollback()
        raise


def _fetch_within(cr, code, params):
    """Run a query in the middle of a transaction; its savepoint is sent along with it."""
    try:
        rows = _fetch(cr, f"{_SAVE}; {code}", params)
    except Exception:
        # What could not even be sent has set no savepoint, and done no harm.
        if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_INERROR:
            cr.execute(_GO_BACK)
        raise
    cr.execute(_LET_GO)
    return rows


def _fetch(cr, code, params):
    # Core would log the parameters of a query that fails.
    cr.execute(code, params, log_exceptions=False)
    return cr.fetchall()


def _is_idle(cr):
    """Whether nothing has happened in the cursor's transaction."""
    return cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE
