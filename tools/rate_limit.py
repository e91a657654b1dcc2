"""How often one caller may ask, counted in this process."""

import threading
import time
from collections import OrderedDict


class RateLimit:
    """At most ``per_minute`` requests of one caller in any minute; bounded in memory.

    Each worker counts for itself, as core's login cooldown does.
    """

    def __init__(self, per_minute: int, max_callers: int = 4096, clock=time.monotonic):
        self._per_minute = per_minute
        self._max_callers = max_callers
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def admits(self, caller: str) -> bool:
        """Count one request of a caller and tell whether it is within the limit."""
        minute = int(self._clock() // 60)
        with self._lock:
            known_minute, count = self._counts.pop(caller, (minute, 0))
            count = count + 1 if known_minute == minute else 1
            self._counts[caller] = (minute, count)
            while len(self._counts) > self._max_callers:
                self._counts.popitem(last=False)
        return count <= self._per_minute
