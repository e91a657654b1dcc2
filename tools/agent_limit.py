"""How many agents of one caller are told apart in the log.

The agent is the caller's to choose, and each one makes a row of its own. Whoever holds a key could
fill the log with them, until its limit of rows pushes out all that was refused before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

MANY = "(many)"
"""What stands for the agents beyond the limit."""


class AgentLimit:
    """Admit the first agents of each caller in an hour; thread-safe and bounded in memory.

    :param most: agents of one caller in one hour
    :param max_callers: callers remembered; beyond it, the longest unused one is forgotten
    """

    def __init__(self, most: int = 20, max_callers: int = 4096):
        self._most, self._max_callers = most, max_callers
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, tuple[int, set]] = OrderedDict()

    def named(self, caller: Hashable, agent: str | None, now: float) -> str | None:
        """Return the agent, or :data:`MANY` when this caller has had too many in this hour.

        :param caller: whose agent it is, such as a key and an address
        :param now: time of the call, in seconds since the epoch
        """
        hour = int(now // 3600)
        with self._lock:
            known_hour, agents = self._known.pop(caller, (hour, set()))
            if known_hour != hour:
                agents = set()
            if len(agents) < self._most:
                agents.add(agent)
            self._known[caller] = hour, agents
            while len(self._known) > self._max_callers:
                self._known.popitem(last=False)
            return agent if agent in agents else MANY
