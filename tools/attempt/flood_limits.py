"""Limits on what an outside caller can make the server write or do: rows, log lines, requests.

Log rows are counted in the database (table ``auth_attempt_budget``), exactly and over all workers:
new rows of rejections per minute, by source and in total, and new rows of successes per hour, by
key.  An attempt that finds its own row is counted there whatever the budget.  Once a budget is
used up, new attempts are counted in shared rows instead, with less and less detail.  A source that
has used up its own budget keeps its address: only all sources together can use up that detail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_network

from odoo.tools.lru import LRU

COLLAPSED = "(many)"
"""What stands in a column of the log for values that were too many to keep apart."""

ONE_ADDRESS = "{row}.remote_addr !~ '[/(]'"
"""SQL: the address in a row of the log is that of one caller, not :data:`COLLAPSED` or a /64."""

MAX_LEVEL = 4
_MAX_SOURCE_LEVEL = 3
# One source may use the limit of new rows per minute divided by this.
_SOURCE_SHARE = 4
# All detail is lost at 5/4 of a limit.
_STEPS = 12
_SOURCE_BITS = 64  # of an IPv6 address: the caller can choose the rest


@lru_cache(maxsize=1024)
def source(address: str | None) -> str:
    """Return the source that an address is counted under: the address, or its /64 with IPv6.

    :param address: from ``networks.normalize``
    """
    if not address or ":" not in address:
        return address or "unknown"
    return str(ip_network(f"{address}/{_SOURCE_BITS}", strict=False))


def level(rows: int | None, limit: int) -> int:
    """Return the level of collapsing, 0 to ``MAX_LEVEL``, after this many new rows.

    From the limit on, detail is lost in steps of a twelfth of it.
    """
    limit = max(limit, 1)
    return min(max(_STEPS * (rows or 0) // limit - _STEPS + 1, 0), MAX_LEVEL)


def failure_level(source_rows: int | None, all_rows: int | None, limit: int) -> int:
    """Return the level of collapsing for a rejection.

    :param source_rows: new rows of this minute from its source
    :param all_rows: new rows of this minute
    :param limit: new rows of a minute after which detail is lost
    """
    of_source = level(source_rows, limit // _SOURCE_SHARE)
    return max(min(of_source, _MAX_SOURCE_LEVEL), level(all_rows, limit))


def collapse_failure(values: Mapping, wanted: int) -> dict:
    """Return the columns of a rejection without the details that are too many to keep.

    Agent, operation, similar key and reference go first, and of an IPv6 address the part that the
    caller chooses; then the login, then the user, and the address last; never integration, key or
    cause.  An attempt that is attributed to an integration by more than its address keeps its login
    and user, and the rest as long as a stranger keeps their user.

    :param wanted: from :func:`failure_level`
    """
    kept = dict(values)
    is_attributed = values["integration_id"] and values["attribution"] != "address"
    if wanted >= (_MAX_SOURCE_LEVEL if is_attributed else 1):
        kept.update(user_agent=COLLAPSED, reference=None, similar_key_id=None)
        if values["remote_addr"]:
            kept.update(remote_addr=source(values["remote_addr"]))
        if values["operation"]:
            kept.update(operation=COLLAPSED)
    if wanted >= 2 and values["login"] and not values["user_id"] and not is_attributed:
        kept.update(login=COLLAPSED)
    if wanted >= 3 and values["user_id"] and not is_attributed:
        kept.update(login=COLLAPSED, user_id=None)
    if wanted >= MAX_LEVEL:
        kept.update(remote_addr=COLLAPSED)
    return kept


def collapse_success(values: Mapping, wanted: int) -> dict:
    """Return the columns of a success without the details that are too many: agent, then address.

    :param wanted: from :func:`level`
    """
    kept = dict(values)
    if wanted >= 1:
        kept.update(user_agent=COLLAPSED)
    if wanted >= 2:
        kept.update(remote_addr=COLLAPSED)
    return kept


class LogLimit:
    """Admit at most ``per_minute`` lines in any minute and count those that were suppressed."""

    def __init__(self, per_minute: int, clock=time.monotonic):
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = None
        self._admitted = self._suppressed = 0

    def admit(self) -> int | None:
        """Ask whether a line may be written.

        :return: None to suppress it; otherwise the number suppressed since the last admitted line
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


class RateLimit:
    """Admit at most ``per_minute`` requests of one caller in any minute, with bounded memory.

    Each worker counts separately, as core's login cooldown does.
    """

    def __init__(self, per_minute: int, max_callers: int = 4096, clock=time.monotonic):
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: LRU[str, tuple[int, int]] = LRU(max_callers)

    def admits(self, caller: str) -> bool:
        """Count one request of a caller and return whether it is within the limit."""
        minute = int(self._clock() // 60)
        with self._lock:
            known_minute, count = self._counts.get(caller, (minute, 0))
            count = count + 1 if known_minute == minute else 1
            self._counts[caller] = minute, count
        return count <= self._per_minute
