"""How our code wraps core's: it observes or decides, and core continues when it fails.

Everybody who logs in passes through this code.  A hook calls core once, outside of our blocks, so
an error of core is never mistaken for ours, and an error of ours neither locks anybody out nor lets
anybody in.  It reads from top to bottom::

    def _check_credentials(self, credential, env):
        with observed_by(self.env["auth.attempt"]._open, uid=self.env.uid) as attempt:
            with core_fallback():            # decides: it may return, or reject
                self._require_a_key(credential)
            try:
                return super()._check_credentials(credential, env)
            except AccessDenied:
                with observing():            # only observes
                    attempt.note("password_wrong")
                raise
"""

import logging

from odoo.exceptions import AccessDenied
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from psycopg2.errors import ReadOnlySqlTransaction

from .attempt.flood_limits import LogLimit
from .attempt.request_state import Attempt
from .hook_queries import TableLockedError
from .key.native_scope import KeyRulesUnreadable

_logger = logging.getLogger(__name__)
_failures = LogLimit(per_minute=60)

# Not failures when raised by a deciding block: rejections, and what makes Odoo retry the request.
_DECISIONS = (
    AccessDenied,
    KeyRulesUnreadable,
    *PG_CONCURRENCY_EXCEPTIONS_TO_RETRY,
    ReadOnlySqlTransaction,
)


class _Block:
    """A block of our code whose failures are logged and not passed on."""

    __slots__ = ("_passed_on",)

    def __init__(self, passed_on=()):
        self._passed_on = passed_on

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if not isinstance(error, Exception) or isinstance(error, self._passed_on):
            return False
        _log_failure(error)
        return True


_deciding, _observing = _Block(_DECISIONS), _Block()


def core_fallback():
    """Decide in the block; if it fails, core decides alone.

    The block may return, reject with ``AccessDenied``, or make Odoo retry the whole request.
    """
    return _deciding


def observing():
    """Only observe in the block: it raises nothing and changes no outcome."""
    return _observing


class observed_by:
    """Run core in the block, observed by a context manager of ours.

    The observer never raises and changes no outcome, whatever happens to it.

    :param make: returns the context manager
    """

    __slots__ = ("_arguments", "_keywords", "_make", "_observer")

    # How errors on entering are handled, and the value for the block if entering fails.
    _entering, _stand_in = _observing, staticmethod(lambda: Attempt(channel="http", database=""))

    def __init__(self, make, *arguments, **keywords):
        self._make, self._arguments, self._keywords = make, arguments, keywords
        self._observer = None

    def __enter__(self):
        with self._entering:
            observer = self._make(*self._arguments, **self._keywords)
            entered = observer.__enter__()
            self._observer = observer
            return entered
        return self._stand_in()

    def __exit__(self, kind, error, trace):
        if self._observer is not None:
            with _observing:
                self._observer.__exit__(kind, error, trace)
        return False


class limited_by(observed_by):
    """Run core in the block, unless a context manager of ours refuses to enter it.

    If that context manager fails, core decides alone. After core has decided, it changes no
    outcome.
    """

    _entering, _stand_in = _deciding, staticmethod(lambda: None)


def _log_failure(error):
    if (suppressed := _failures.admit()) is None:
        return
    if isinstance(error, TableLockedError):  # most likely by an update, so no bug to trace
        _logger.warning(
            "Tables of the add-on are locked; core decides alone (%s more not shown): %s",
            suppressed,
            str(error).partition("\n")[0],
        )
    else:
        _logger.error(
            "Our part in an authentication failed; core decides alone (%s more not shown)",
            suppressed,
            exc_info=error,
        )
