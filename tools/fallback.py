"""Core's own decision about a call: final whenever our part in it fails.

This code stands in the way of everybody who logs in.  Each of our hooks runs its part through
:meth:`CoreDecision.with_our_part`, so that an error of ours neither keeps anybody out nor lets
anybody in: core's method is called if it was not yet, and its answer stands.
"""

import logging

from odoo.exceptions import AccessDenied
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from psycopg2.errors import ReadOnlySqlTransaction

from .attempt.limits import LogLimit
from .key.native_scope import KeyRulesUnreadable

_logger = logging.getLogger(__name__)
_failures = LogLimit(per_minute=60)

# Not errors: what our part refuses itself, and what makes Odoo try the whole request again.
_PASSED_ON = (
    AccessDenied,
    KeyRulesUnreadable,
    *PG_CONCURRENCY_EXCEPTIONS_TO_RETRY,
    ReadOnlySqlTransaction,
)


class CoreDecision:
    """A method of core below one of our hooks; called once at most by our part.

    Example::

        def _check_credentials(self, credential, env):
            core = CoreDecision(super()._check_credentials, credential, env)
            return core.with_our_part(self._check_credentials_and_note, credential)

        def _check_credentials_and_note(self, core, credential):
            ...
            return core()
    """

    __slots__ = ("_arguments", "_error", "_is_made", "_keywords", "_method", "_result")

    def __init__(self, method, *arguments, **keywords):
        self._method, self._arguments, self._keywords = method, arguments, keywords
        self._is_made, self._result, self._error = False, None, None

    def __call__(self):
        """Let core decide, once; its result and its error are remembered."""
        if not self._is_made:
            self._is_made = True
            try:
                self._result = self._method(*self._arguments, **self._keywords)
            except BaseException as error:
                self._error = error
                raise
        if self._error is not None:
            raise self._error
        return self._result

    def instead(self, method, *arguments):
        """Let a method decide in core's place: its answer and its error stand as core's would."""
        self._method, self._arguments, self._keywords = method, arguments, {}
        return self()

    def with_our_part(self, part, *arguments):
        """Return what our part returns, or what core does when our part fails.

        :param part: called with this object and ``arguments``; it may refuse by ``AccessDenied``
        """
        try:
            return part(self, *arguments)
        except _PASSED_ON:
            raise
        except Exception as error:
            if error is self._error:
                raise
            self._log_failure(part)
            return self.alone()

    def alone(self):
        """Return core's answer, since our part has failed."""
        return self()

    @staticmethod
    def _log_failure(part):
        if (suppressed := _failures.admit()) is not None:
            _logger.exception(
                "Our part in %s failed; core decides alone (%s more not shown)",
                getattr(part, "__qualname__", part),
                suppressed,
            )
