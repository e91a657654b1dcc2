"""Hold a call to what its API key may do.

A key that may only read gets a read-only connection: the database itself rejects every change,
over commits, rollbacks, released savepoints and retries, until the connection is borrowed again.
Cursors that are opened during the call are read-only too, but for those on which we write the log,
uses and new keys (:func:`request_state.unrestricted`).  What SQL and evaluated code could do about
that is in :mod:`read_only_code`.

What fails here lets nobody in: a key whose access cannot be read or enforced is rejected.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager

from odoo.exceptions import AccessError
from psycopg2.errors import InFailedSqlTransaction, ReadOnlySqlTransaction

from ..attempt import request_state
from ..fallback import observing
from ..key.native_scope import KeyRulesUnreadable
from . import read_only_code
from .access_rules import (
    FULL,
    HTTP,
    LISTED,
    OWN_OPERATIONS,
    READ_ONLY,
    REPORT,
    operation_name,
)

_logger = logging.getLogger(__name__)


def is_enforced(key) -> bool:
    """Whether a key, if any, may do less than its user, and is held to that: not in report mode.

    :param key: :class:`~.key.authenticated_key.AuthenticatedKey`
    """
    return key is not None and key.access != FULL and key.access_mode != REPORT


@contextmanager
def failing_closed():
    """Run a part of ours: should it fail, a limited key is rejected; any other call goes on.

    :raise KeyRulesUnreadable: it has failed, and the key of this call is limited
    """
    try:
        yield
    except (AccessError, KeyRulesUnreadable):
        raise
    except Exception:
        if not is_enforced(request_state.current().authenticated_key):
            with observing():
                raise
        else:
            _logger.exception("An API key could not be held to its access")
            raise KeyRulesUnreadable() from None


def hold(env) -> None:
    """Hold the rest of this call to what its key may do, where that is not everything; called once
    it is authenticated.

    :raise AccessError: its operation is known already, and not allowed
    :raise KeyRulesUnreadable: what the key may do is not known
    """
    key = request_state.current().authenticated_key
    if key.access not in (READ_ONLY, LISTED):
        raise KeyRulesUnreadable()
    check_lookup(env)
    if key.access == READ_ONLY and is_enforced(key):
        make_read_only(env.cr)


def may_be_held(env) -> bool:
    """Whether a key that is about to be accepted will be held to its access.

    Not by a route that verifies keys itself: nobody knows what it does next. There a key needs the
    route on its list.

    :raise KeyRulesUnreadable: what the key may do is not known
    """
    state = request_state.current()
    key = state.authenticated_key
    if not is_enforced(key):
        return True
    operation = HTTP, state.route or ""
    if key.access == LISTED and _is_listed(env, key, operation):
        state.operation = operation
        return True
    if state.attempt:
        state.attempt.note("operation_not_allowed")
        state.attempt.operation = operation_name(operation)
    else:
        with observing():
            env["auth.integration.key"]._record_refused_operation(key, operation)
    return False


def check_lookup(env) -> None:
    """Check the method that was looked up for a remote caller, see
    :func:`request_state.note_operation`.

    :raise AccessError: the key may not call it
    """
    state = request_state.current()
    if state.operation is None or state.operation in OWN_OPERATIONS:
        return
    if _is_covered(env, state.authenticated_key, state.operation):
        return
    state.is_operation_excessive = True
    if is_enforced(state.authenticated_key):
        _refuse(env)


def _is_covered(env, key, operation):
    """Whether a key may call an operation; whether that writes is seen later."""
    if key.access == LISTED:
        return _is_listed(env, key, operation)
    if key.access == READ_ONLY:
        return not env["auth.integration.key"]._runs_other_code(*operation)
    return True


def _is_listed(env, key, operation):
    try:
        return env["auth.integration.key"]._is_listed(key.key_id, *operation)
    except Exception as error:
        _logger.exception("The operations of an API key could not be read")
        raise KeyRulesUnreadable() from error


def _refuse(env):
    """Reject the operation of this call: written down first, then told.

    :raise AccessError: always
    """
    keys = env["auth.integration.key"]
    state = request_state.current()
    state.is_operation_refused = True
    with observing():
        keys._record_refused_operation(state.authenticated_key, state.operation)
    raise keys._operation_error(state.authenticated_key, state.operation)


def is_limited_call(env, *, but_key=None, keys_of=None) -> bool:
    """Whether a key made this call that may do less than its user: it hands out no other key, and
    changes no rules.

    A key with networks of its own gets its user no key that is valid elsewhere.

    :param but_key: the id of a key of which this is not true
    :param keys_of: the id of the user whose keys become more, or may do more
    """
    state = request_state.current()
    key = state.authenticated_key
    if state.operation is None or key is None:  # or a shell has verified a key for itself
        return False
    if not is_enforced(key) and not (key.has_networks and key.uid == keys_of):
        return False
    return key.dbname == env.cr.dbname and key.key_id != but_key


# Reading only -------------------------------------------------------------------------------------


def make_read_only(cr) -> None:
    """Have a cursor, and those opened during this call, change nothing any more."""
    request_state.current().read_only_database = cr.dbname
    read_only_code.guard(cr)
    if cr.readonly:
        return  # of a replica
    cr.rollback()  # it can be set between transactions only
    cr.connection.set_session(readonly=True)


def open_cursor(cr):
    """Have a cursor that was just opened be read-only, where the call is.

    :return: the cursor
    """
    if request_state.current().read_only_database == cr.dbname:
        try:
            read_only_code.guard(cr)
            if not cr.readonly:
                cr.connection.set_session(readonly=True)
        except Exception:
            cr.close()
            raise
    return cr


def error_for_rejected_write(error: Exception, env) -> Exception | None:
    """What a caller is told whose key may only read, when that made the call fail.

    :return: None when it did not
    """
    state = request_state.current()
    if state.read_only_database is None or not _is_write_rejected(error):
        return None
    env.cr.rollback()
    env.registry.reset_changes()  # else the next call of this thread would signal them
    _logger.info("A call of an API key that may only read has failed: %s", error)
    try:
        _refuse(env)
    except Exception as refusal:
        return refusal


def _is_write_rejected(error):
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, (ReadOnlySqlTransaction, InFailedSqlTransaction)):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
