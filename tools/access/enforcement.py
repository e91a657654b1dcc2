"""Hold a call to what its API key may do.

A read-only key gets a read-only connection: the database itself rejects every change, across
commits, rollbacks, released savepoints and retries, until the connection is borrowed again.
Cursors that are opened during the call are read-only too, except those that write the log, uses
and new keys (:func:`request_state.unrestricted`).  It calls only methods that read, or that are
allowed by name, and a limited key reads only what is stored (:mod:`allowed_methods`): so no code of
the caller's runs that could undo this, change the memory of the server, or sign anything.

Errors here fail closed: a key whose access cannot be read or enforced is rejected.
"""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager

from odoo.exceptions import AccessError
from psycopg2.errors import InFailedSqlTransaction, ReadOnlySqlTransaction

from ..attempt import request_state
from ..fallback import observing
from ..key.native_scope import KeyRulesUnreadable
from . import allowed_methods
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
    """Whether there is a key that may do less than its user, outside of report mode.

    :param key: :class:`~.key.authenticated_key.AuthenticatedKey`
    """
    return key is not None and key.access != FULL and key.access_mode != REPORT


@contextmanager
def failing_closed():
    """Run our code in the block; if it fails, reject a limited key but let any other call go on.

    :raise KeyRulesUnreadable: it failed, and the key of this call is limited
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
    """Hold the rest of this call to the access of its key; called after authentication.

    :raise AccessError: its operation is known already, and not allowed
    :raise KeyRulesUnreadable: the access of the key is not known
    """
    key = request_state.current().authenticated_key
    if key.access not in (READ_ONLY, LISTED):
        raise KeyRulesUnreadable()
    check_lookup(env)
    if key.access == READ_ONLY and is_enforced(key):
        make_read_only(env.cr)


def may_be_held(env) -> bool:
    """Whether a key that is about to be accepted will be held to its access.

    A route that verifies keys itself does not hold them to it, as it may do anything afterwards.
    There, a limited key needs the route on its list.

    :raise KeyRulesUnreadable: the access of the key is not known
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
    """Check the method that a remote caller asked for, see :func:`request_state.note_operation`.

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
    """Whether a key may call an operation; whether the operation writes is checked later."""
    if key.access == READ_ONLY and _is_reading(env, operation):
        return True
    return key.access == FULL or _is_listed(env, key, operation)


def _is_reading(env, operation):
    model, method = operation
    if model == HTTP:
        return request_state.current().is_reading_route
    return allowed_methods.is_reading(env.registry[model], method)


def _is_listed(env, key, operation):
    try:
        return env["auth.integration.key"]._is_listed(key.key_id, *operation)
    except Exception as error:
        _logger.exception("The operations of an API key could not be read")
        raise KeyRulesUnreadable() from error


def _refuse(env, unstored=()):
    """Reject the operation of this call: record it first, then raise.

    :param unstored: what in its arguments is the reason, see :func:`allowed_methods.unstored`
    :raise AccessError: always
    """
    keys = env["auth.integration.key"]
    state = request_state.current()
    state.is_operation_refused = True
    with observing():
        keys._record_refused_operation(state.authenticated_key, state.operation)
    raise keys._operation_error(state.authenticated_key, state.operation, unstored)


def reading_stored_only(method):
    """Return a method that was looked up for a limited key, so that it reads only stored records.

    Methods that do not read are left as they are.
    """

    @functools.wraps(method)
    def checked(records, *args, **kwargs):
        with failing_closed():
            check_arguments(records, (args, kwargs))
        return method(records, *args, **kwargs)

    return checked


def check_arguments(records, arguments) -> None:
    """Check that a reading call of a limited key evaluates nothing but stored records.

    A record that is not stored has the values that the caller chose, and reading its fields can
    render them.

    :raise AccessError: an ID is none of a record, or a context has a key that reading does not need
    """
    state = request_state.current()
    key = state.authenticated_key
    if key.access != READ_ONLY and not _is_reading(records.env, state.operation):
        return
    unstored = list(allowed_methods.unstored(records, arguments))
    if not unstored:
        return
    state.is_operation_excessive = True
    if is_enforced(key):
        _refuse(records.env, unstored)


def is_kept_from_secrets(env) -> bool:
    """Whether this call must not read the credentials that the database stores."""
    key = request_state.current().authenticated_key
    return is_enforced(key) and not env.su and key.dbname == env.cr.dbname


def is_limited_call(env, *, but_key=None, keys_of=None) -> bool:
    """Whether this call was made with a limited key, which may not issue keys or change rules.

    A key with networks of its own counts as limited for the keys of its own user: it must not get
    this user a key that is valid elsewhere.

    :param but_key: the ID of a key for which this returns False
    :param keys_of: the ID of the user who gets more keys, or whose keys may do more
    """
    state = request_state.current()
    key = state.authenticated_key
    if state.operation is None or key is None:  # no operation: a shell has verified a key
        return False
    if not is_enforced(key) and not (key.has_networks and key.uid == keys_of):
        return False
    return key.dbname == env.cr.dbname and key.key_id != but_key


# Reading only -------------------------------------------------------------------------------------


def make_read_only(cr) -> None:
    """Make a cursor, and those opened later in this call, read-only."""
    request_state.current().read_only_database = cr.dbname
    if cr.readonly:
        return  # connected to a replica
    cr.rollback()  # the mode can only be set between transactions
    cr.connection.set_session(readonly=True)


def open_cursor(cr):
    """Make a cursor that was just opened read-only if the call is.

    :return: the cursor
    """
    if request_state.current().read_only_database == cr.dbname:
        try:
            if not cr.readonly:
                cr.connection.set_session(readonly=True)
        except Exception:
            cr.close()
            raise
    return cr


def error_for_rejected_write(error: Exception, env) -> Exception | None:
    """Return the error for the caller if the call failed because its key may only read.

    :return: None when it failed for another reason
    """
    state = request_state.current()
    if state.read_only_database is None or not _is_write_rejected(error):
        return None
    env.cr.rollback()
    env.registry.reset_changes()  # otherwise the next call of this thread would signal them
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
