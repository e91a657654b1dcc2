"""What of ours stands around core's own code: it observes or it decides, and core outlives both.

This code stands in the way of everybody who logs in.  A hook calls core once, outside of every
block of ours: so an error of core's is never taken for ours, and an error of ours neither keeps
anybody out nor lets anybody in.  It reads from top to bottom::

    def _check_credentials(self, credential, env):
        with observed_by(self.env["auth.attempt"]._open, uid=self.env.uid) as attempt:
            with core_fallback():            # decides: it may return, or refuse
                self._require_a_key(credential)
            try:
                return super()._check_credentials(credential, env)
            except AccessDenied:
                with observing():            # only looks on
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

# No errors of a part that decides: what it refuses, and what makes Odoo serve the request again.
_DECISIONS = (
    AccessDenied,
    KeyRulesUnreadable,
    *PG_CONCURRENCY_EXCEPTIONS_TO_RETRY,
    ReadOnlySqlTransaction,
)


class _Block:
    """A block of ours whose failures are logged and go no further."""

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
    """Decide in the block; when that fails, what follows it decides: core.

    It may return, refuse by ``AccessDenied``, or have Odoo try the whole request again.
    """
    return _deciding


def observing():
    """Only observe in the block: it raises nothing and changes no outcome."""
    return _observing


class observed_by:
    """Run core in the block, observed by a context manager of ours.

    Whatever becomes of that, it raises nothing and changes no outcome.

    :param make: returns the context manager
    """

    __slots__ = ("_arguments", "_keywords", "_make", "_observer")

    # What its entering may raise, and what the block is given when ours fails.
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

    When that fails, core decides alone; after core has decided, it changes no outcome.
    """

    _entering, _stand_in = _deciding, staticmethod(lambda: None)


def _log_failure(error):
    if (suppressed := _failures.admit()) is None:
        return
    if isinstance(error, TableLockedError):  # by an update, most likely: no bug to be traced
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
