"""When to wake the job that looks for incidents: at most once a minute in each process.

Failures that happen together should be in one message, so the first rejection wakes the job a
moment later. Later events within the minute are delayed to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

SETTLING_SECONDS = 10
MINUTE = 60


class TriggerGate:
    """Decides for each event when the job is to run; thread-safe, without a clock of its own."""

    def __init__(self, settling: float = SETTLING_SECONDS, interval: float = MINUTE):
        self._settling, self._interval = settling, interval
        self._lock = threading.Lock()
        self._next: dict[Hashable, float] = {}

    def ask(self, database: Hashable, now: float) -> float | None:
        """Return the time to set a trigger for, None when an earlier trigger covers this event."""
        with self._lock:
            planned = self._next.get(database)
            # A clock that was set back must not stop the job.
            if planned is not None and now < planned <= now + self._interval:
                return None
            if planned is None or not 0 <= now - planned < self._interval - self._settling:
                at = now + self._settling
            else:
                at = planned + self._interval
            self._next[database] = at
            return at

    def reset(self) -> None:
        """Forget everything: a trigger could not be written, or a process was forked."""
        with self._lock:
            self._next.clear()
