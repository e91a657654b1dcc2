"""The operation of the call being served, counted when the call ends.

A call with a key has one operation: the public method that is looked up first, or a route.  From
then on it is watched (:func:`watch`): whether it writes, and whether it is rejected (:func:`note`).
"""

from __future__ import annotations

import threading
import time

from ..attempt import request_state
from ..fallback import observing
from ..key.usage_writer import usage_writer
from .access_rules import OWN_OPERATIONS
from .operation_counts import Counts, Place
from .write_detection import is_write


class OperationCall:
    """One call of an operation with a key, and its outcome.

    It is a ``query_hook`` of its thread, as used by core's profiler: called after each statement.
    """

    __slots__ = ("is_refused", "is_written", "key", "operation")

    def __init__(self, key, operation):
        self.key, self.operation = key, operation
        self.is_refused = self.is_written = False

    def __call__(self, cursor, query, params, start, delay):
        if not self.is_written:
            with observing():
                self.is_written = is_write(cursor._obj.statusmessage, query)

    def end(self) -> None:
        """Count the call, which has ended, successfully or not."""
        _hooks().remove(self)
        place = Place(self.key.dbname, self.key.key_id)
        usage_writer.count(place, self.operation, self.counts(time.time()))

    def counts(self, now: float) -> Counts:
        """Return what this call adds to the counts of its operation."""
        is_report = self.key.access_mode == "report"
        is_refused = self.is_refused or (
            is_report and self.key.access == "read_only" and self.is_written
        )
        is_let_through = is_report or not is_refused
        return Counts(
            int(is_let_through), int(is_let_through and self.is_written), int(is_refused), now, now
        )


def watch() -> None:
    """Count the operation of this call, which is known now, when the call ends."""
    with observing():
        state = request_state.current()
        if state.operation_call or not (state.authenticated_key and state.operation):
            return
        if state.operation not in OWN_OPERATIONS:
            state.operation_call = OperationCall(state.authenticated_key, state.operation)
            _hooks().append(state.operation_call)


def note(refused: bool) -> None:
    """Record whether the operation of this call is outside its key's access."""
    with observing():
        watch()
        if call := request_state.current().operation_call:
            call.is_refused |= refused


def _hooks():
    thread = threading.current_thread()
    if not hasattr(thread, "query_hooks"):
        thread.query_hooks = []
    return thread.query_hooks
