"""Queries that the hooks make on every call, on current data and without delaying anybody.

They run on the call's own cursor.  An error of ours must not abort the transaction that the call
has begun.  Nobody who logs in waits long for a lock on our tables: after a short timeout the query
fails, and stock Odoo decides.
"""

from __future__ import annotations

import odoo.modules.module
from odoo.tools import SQL
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

LOCK_TIMEOUT_MS = 500
# It is sent together with a query, so it costs no round trip, and no timeout has to be set and
# reset.
_DO_NOT_WAIT = "LOCK TABLE auth_integration, auth_integration_key IN ACCESS SHARE MODE NOWAIT"
_WAIT_SHORTLY = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'"
_SAVE = "SAVEPOINT auth_integration"
# The query only reads, so a rollback loses nothing, and it restores the caller's own timeout.
_GO_BACK = "ROLLBACK TO SAVEPOINT auth_integration; RELEASE SAVEPOINT auth_integration"


class TableLockedError(Exception):
    """One of our tables is locked, which is no reason for Odoo to retry the whole call."""


def query(env, statement: str | SQL, params: dict | None = None) -> list[tuple]:
    """Run a read-only query on the primary, as a replica may not know yet that a key has ended.

    :param env: the caller's environment
    :param statement: SQL with ``%(name)s`` for each parameter, or an ``SQL`` with its own
    :raise TableLockedError: the short lock timeout has passed
    :raise psycopg2.Error: the query failed; the caller's transaction is unchanged
    """
    if isinstance(statement, SQL):
        statement, params = statement.code, statement.params
    # In a test, all data is in the test's own transaction.
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
    """Run a query again after a table was locked, with a short wait for the lock."""
    try:
        return _query_within(cr, f"{_WAIT_SHORTLY}; {statement}", params)
    except LockNotAvailable as error:
        raise TableLockedError(str(error)) from error


def _query_first(cr, code, params):
    """Run a query as the first of its transaction: if it fails, the rollback loses nothing."""
    try:
        return _fetch(cr, code, params)
    except Exception:
        cr.rollback()
        raise


def _query_within(cr, code, params):
    """Run a query in the middle of a transaction; its savepoint is sent together with it."""
    try:
        rows = _fetch(cr, f"{_SAVE}; {code}", params)
    except Exception:
        # A query that could not be sent has set no savepoint and aborted nothing.
        if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_INERROR:
            cr.execute(_GO_BACK)
        raise
    cr.execute(_GO_BACK)
    return rows


def _fetch(cr, code, params):
    # Core would log the parameters of a query that fails.
    cr.execute(code, params, log_exceptions=False)
    return cr.fetchall()
