"""Queries that the hooks make on every call: up to date, and in nobody's way.

They run on the call's own cursor.  What its transaction has begun, an error of ours must not end;
and nobody who logs in waits long for a lock on a table of ours: when the short timeout has passed,
the query fails, and stock Odoo decides.
"""

from __future__ import annotations

import odoo.modules.module
from odoo.tools import SQL
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

LOCK_TIMEOUT_MS = 500
# Sent along with a query, it costs no round trip, and no timeout has to be set and taken back.
_DO_NOT_WAIT = "LOCK TABLE auth_integration, auth_integration_key IN ACCESS SHARE MODE NOWAIT"
_WAIT_SHORTLY = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'"
_SAVE = "SAVEPOINT auth_integration"
# It was only read: going back loses nothing, and brings back the caller's own timeout.
_GO_BACK = "ROLLBACK TO SAVEPOINT auth_integration; RELEASE SAVEPOINT auth_integration"


class TableLockedError(Exception):
    """Somebody has a table of ours locked: no reason for Odoo to try the whole call again."""


def query(env, statement: str | SQL, params: dict | None = None) -> list[tuple]:
    """Run a query that only reads on the primary: a replica may not know yet that a key has ended.

    :param env: the caller's environment
    :param statement: SQL with ``%(name)s`` for each parameter, or an ``SQL`` that has its own
    :raise TableLockedError: the short lock timeout has passed
    :raise psycopg2.Error: the caller's transaction is as it was
    """
    if isinstance(statement, SQL):
        statement, params = statement.code, statement.params
    # In a test all that there is is in its one transaction.
    if env.cr.readonly and not odoo.modules.module.current_test:
        with env.registry.cursor() as primary:
            return _query_on(primary, statement, params)
    return _query_on(env.cr, statement, params)


def _query_on(cr, statement, params):
    is_idle = cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE
    run = _query_first if is_idle else _query_within
    try:
        return run(cr, f"{_DO_NOT_WAIT}; {statement}", params)
    except LockNotAvailable:
        return _query_locked(cr, statement, params)


def _query_locked(cr, statement, params):
    """Run a query for which a table is locked: for a moment it can wait."""
    try:
        return _query_within(cr, f"{_WAIT_SHORTLY}; {statement}", params)
    except LockNotAvailable as error:
        raise TableLockedError(str(error)) from error


def _query_first(cr, code, params):
    """Run a query as the first of a transaction: should it fail, nothing is lost with it."""
    try:
        return _fetch(cr, code, params)
    except Exception:
        cr.rollback()
        raise


def _query_within(cr, code, params):
    """Run a query in the middle of a transaction; its savepoint is sent along with it."""
    try:
        rows = _fetch(cr, f"{_SAVE}; {code}", params)
    except Exception:
        # What could not even be sent has set no savepoint, and done no harm.
        if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_INERROR:
            cr.execute(_GO_BACK)
        raise
    cr.execute(_GO_BACK)
    return rows


def _fetch(cr, code, params):
    # Core would log the parameters of a query that fails.
    cr.execute(code, params, log_exceptions=False)
    return cr.fetchall()
