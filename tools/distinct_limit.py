"""How many agents and addresses of one caller are told apart in the log.

They are the caller's to choose (a network of IPv6 has more addresses than anybody can count), and
each makes a row of its own. Whoever holds a key could fill the log with them, until its limit of
rows pushes out all that was refused before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

MANY = "(many)"
"""What stands in a column of the log for values that were too many to keep apart."""


class DistinctLimit:
    """Admit the first values of each caller in an hour; thread-safe and bounded in memory.

    :param most: different values of one caller in one hour
    :param max_callers: callers remembered; beyond it, the longest unused one is forgotten
    """

    def __init__(self, most: int, max_callers: int = 4096):
        self._most, self._max_callers = most, max_callers
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, tuple[int, set]] = OrderedDict()

    def named(self, caller: Hashable, value: str | None, now: float) -> str | None:
        """Return the value, or :data:`MANY` when this caller has had too many in this hour.

        :param caller: whose it is, such as a key and an address
        :param now: time of the call, in seconds since the epoch
        """
        hour = int(now // 3600)
        with self._lock:
            known_hour, values = self._known.pop(caller, (hour, set()))
            if known_hour != hour:
                values = set()
            if len(values) < self._most:
                values.add(value)
            self._known[caller] = hour, values
            while len(self._known) > self._max_callers:
                self._known.popitem(last=False)
            return value if value in values else MANY
