"""The only process-wide patches of Odoo, for places that no model of ours can reach.

A patch is applied once per process, whichever database loads the add-on first, and does nothing
for databases without the add-on: only the registry of a database that has it is marked ready
(:meth:`auth.attempt._register_hook`).

========================================  ====================================================
patched                                   why
========================================  ====================================================
``odoo.http.borrow_request``              to know the caller of an RPC call, which Odoo hides
``odoo.http.Application.__call__``        to give every request a new state, to see rejections
                                          that show only in the response, and to add the
                                          reference to any response
``werkzeug.wrappers.Response              for the one call that does not pass there: the add-on
.get_wsgi_headers``                       is imported while it runs
``odoo.service.common.dispatch``,         to see calls that end before any model is reached
``odoo.service.model.dispatch``,
``odoo.service.db.dispatch``
``res.users.apikeys._check_credentials``  to verify keys with rules even if a module between
(stock's own)                             stock and us verifies keys too, see
                                          :mod:`native_scope`
``odoo.service.model                      to hold a key to the operations it may call; also
.get_public_method``                      wherever it was imported by name
``odoo.service.model.retrying``           to explain why a call of a read-only key has failed
``odoo.sql_db.Connection.cursor``         to make cursors of such a call read-only, too
``_check_apikey_credentials`` of          to see keys that are verified without any model; newer
``base.models.res_users``                 builds only, in every module that imported it by name
log filters                               core logs caller input, see :mod:`log_redaction`
========================================  ====================================================
"""

import functools
import inspect
import sys
import threading

import odoo.http
import odoo.service.common
import odoo.service.db
import odoo.service.model
import odoo.sql_db
import werkzeug.wrappers
from odoo.addons.base.models import res_users as base_users

from .access import enforcement, operations
from .attempt import http_failures, log_redaction, request_state, rpc_failures, tracebacks
from .attempt.request_state import REFERENCE_HEADER
from .fallback import core_fallback, observed_by, observing
from .key import cursor_verification, stock_verification
from .key.native_scope import RESTRICTED

_MARK = "_auth_integration_patch"


def apply() -> None:
    """Patch this process, once."""
    _patch(odoo.http, "borrow_request", _borrow_request)
    _patch(odoo.http.Application, "__call__", _application_call)
    _patch(werkzeug.wrappers.Response, "get_wsgi_headers", _wsgi_headers)
    _patch(odoo.service.common, "dispatch", functools.partial(_dispatch, "common"))
    _patch(odoo.service.model, "dispatch", functools.partial(_dispatch, "object"))
    _patch(odoo.service.db, "dispatch", functools.partial(_dispatch, "db"))
    _patch(base_users.ResUsersApikeys, "_check_credentials", _stock_verification)
    _patch(odoo.sql_db.Connection, "cursor", _cursor)
    _patch(odoo.service.model, "retrying", _retrying)
    _patch_by_name(odoo.service.model, "get_public_method", _public_method)
    _patch_key_function()
    log_redaction.install()


def _patch(owner, name, make):
    original = getattr(owner, name)
    if getattr(original, _MARK, False):
        return
    patched = functools.wraps(original)(make(original))
    setattr(patched, _MARK, True)
    setattr(owner, name, patched)


def _borrow_request(original):
    """Wrap :func:`odoo.http.borrow_request` so that :mod:`caller` can read what it hides."""

    def borrow_request():
        return _BorrowedRequest(original())

    return borrow_request


class _BorrowedRequest:
    """Wraps core's context manager to record the request and to remove our frames from errors.

    A generator could not do the latter: :mod:`contextlib` restores the traceback.
    """

    def __init__(self, core):
        self._core, self._outer = core, None

    def __enter__(self):
        request = self._core.__enter__()
        state = request_state.current()
        self._outer, state.hidden_request = state.hidden_request, request
        return request

    def __exit__(self, kind, error, trace):
        request_state.current().hidden_request = self._outer
        handled = self._core.__exit__(kind, error, trace)
        if error is not None:
            with observing():
                tracebacks.without_hooks(error)
        return handled


def _application_call(original):
    """Wrap :meth:`odoo.http.Application.__call__` to start and end with a clean state."""

    def __call__(self, environ, start_response):
        def start_response_with_reference(status, headers, *exc_info):
            with observing():
                if not request_state.current().is_decided:
                    http_failures.report(status, headers)
            if reference := request_state.current().reference:
                headers = [*headers, (REFERENCE_HEADER, reference)]
            return start_response(status, headers, *exc_info)

        with observed_by(request_state.serving), observed_by(request_state.counting):
            return original(self, environ, start_response_with_reference)

    return __call__


def _wsgi_headers(original):
    """Wrap :meth:`werkzeug.wrappers.Response.get_wsgi_headers`, which every response passes."""

    def get_wsgi_headers(self, environ):
        headers = original(self, environ)
        state = request_state.current()
        if state.reference and not state.is_wrapped:
            headers[REFERENCE_HEADER] = state.reference
        return headers

    return get_wsgi_headers


def _forget_database_name():
    """Keep a database name sent by the caller out of later log lines, unless it is loaded."""
    thread = threading.current_thread()
    if not rpc_failures.is_loaded(getattr(thread, "dbname", None)):
        thread.dbname = None


def _dispatch(service, original):
    """Wrap ``dispatch(method, params)`` of an RPC service and report early rejections."""

    def dispatch(method, params):
        with (
            observed_by(request_state.dispatching, service, method, params),
            observed_by(request_state.counting),
        ):
            try:
                return original(method, params)
            except Exception:
                with observing():
                    _forget_database_name()
                    rpc_failures.report_refusal(service, method, params)
                raise

    return dispatch


def _stock_verification(original):
    """Wrap stock's ``_check_credentials``, which rejects every key with rules.

    A key that we have just accepted for this call is verified by its native scope instead.
    """

    def _check_credentials(self, *, scope, key):
        with request_state.verifying_by_model():
            uid = original(self, scope=scope, key=key)
            if uid is None and stock_verification.is_vouched_for(self, scope, key):
                return original(self, scope=RESTRICTED, key=key)
            return uid

    return _check_credentials


def _patch_by_name(owner, name, make):
    """Patch a function of a module, if it exists, wherever it was imported by name.

    Later imports find the patched function.
    """
    original = getattr(owner, name, None)
    if original is None or getattr(original, _MARK, False):
        return
    _patch(owner, name, make)
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            for alias in [key for key, value in list(names.items()) if value is original]:
                names[alias] = getattr(owner, name)


def _patch_key_function():
    """Patch the function with which newer builds verify keys."""
    _patch_by_name(base_users, cursor_verification.FUNCTION, _key_function)


def _key_function(original):
    """Wrap ``_check_apikey_credentials(cr, *, scope, key, ...)`` and decide as the model does."""
    signature = inspect.signature(original)

    def _check_apikey_credentials(*args, **kwargs):
        presented = None
        with core_fallback():
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            presented = cursor_verification.presented(given.arguments)
        if presented:
            return cursor_verification.verify(*presented)
        return original(*args, **kwargs)

    return _check_apikey_credentials


def _public_method(original):
    """Wrap :func:`odoo.service.model.get_public_method`, which looks up the method of a call."""

    def get_public_method(model, name):
        method = original(model, name)
        is_limited = request_state.note_operation(model._name, name)
        if request_state.current().authenticated_key is not None:
            with observing():
                operations.watch()
        if is_limited:
            with enforcement.failing_closed():
                enforcement.check_lookup(model.env)
            return enforcement.reading_stored_only(method)
        return method

    return get_public_method


def _retrying(original):
    """Wrap :func:`odoo.service.model.retrying`, which ends with the commit of a call."""

    def retrying(func, env):
        try:
            return original(func, env)
        except Exception as error:
            told = None
            if request_state.current().read_only_database is not None:
                with observing():
                    told = enforcement.error_for_rejected_write(error, env)
            if told is not None:
                raise told from None
            with observing():
                tracebacks.without_hooks(error)
            raise
        finally:
            with observing():
                _count_operation()

    return retrying


def _count_operation():
    """Count the operation of a call once, when the call has ended, successfully or not."""
    state = request_state.current()
    if state.authenticated_key is None or state.operation is None or state.is_operation_noted:
        return
    state.is_operation_noted = True
    operations.note(state.is_operation_refused or state.is_operation_excessive)


def _cursor(original):
    """Wrap ``cursor()`` of :class:`odoo.sql_db.Connection`, which opens every cursor."""

    def cursor(self):
        cr = original(self)
        if request_state.current().read_only_database is None:
            return cr
        return enforcement.open_cursor(cr)

    return cursor
