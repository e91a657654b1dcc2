"""A limit on how many lines of one kind go to the server log."""

import threading
import time


class LogLimit:
    """Admit at most ``per_minute`` lines in any minute and count what was suppressed."""

    def __init__(self, per_minute: int, clock=time.monotonic):
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = None
        self._admitted = self._suppressed = 0

    def admit(self) -> int | None:
        """Ask to write a line.

        :return: None to suppress it; else how many were suppressed since the last one admitted
        """
        minute = int(self._clock() // 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._admitted = minute, 0
            if self._admitted >= self._per_minute:
                self._suppressed += 1
                return None
            self._admitted += 1
            suppressed, self._suppressed = self._suppressed, 0
            return suppressed
