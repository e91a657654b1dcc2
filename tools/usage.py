"""Counting successes without writing each of them.

A busy integration authenticates many times a second with the same key from the same address. The
first success of each minute is written at once; the others are counted here and written later.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

_MINUTE = 60
_HOUR = 3600


@dataclass(frozen=True)
class Batch:
    """Successes of one identity to be written together; they lie in the same hour.

    :ivar identity: what :meth:`UsageBuffer.add` was given
    :ivar count: number of successes, at least 1
    :ivar first_seen: time of the earliest, in seconds since the epoch
    :ivar last_seen: time of the latest, likewise
    """

    identity: Hashable
    count: int
    first_seen: float
    last_seen: float

    def merged(self, other: Batch) -> Batch:
        """Return one batch for both; they must be of the same identity."""
        return Batch(
            self.identity,
            self.count + other.count,
            min(self.first_seen, other.first_seen),
            max(self.last_seen, other.last_seen),
        )


class _Usage:
    """What is known of one identity: the minute it was last handed out in, and what waits."""

    __slots__ = ("minute", "waiting")

    def __init__(self) -> None:
        self.minute: int | None = None
        self.waiting: Batch | None = None


class UsageBuffer:
    """Thread-safe counter of successes that tells its caller what to write and when.

    It has no clock, does no input or output and starts no thread: call :meth:`due` regularly, at
    least every 30 seconds with the default lag for "at most 60 seconds behind". Every success is
    handed out in exactly one batch. A process that dies loses what waits. A forked child starts
    empty, since the parent still has what waits there.

    Times are seconds since the epoch. They need not be in order.

    :param lag: seconds that a success may wait before :meth:`due` hands it out
    :param max_identities: identities remembered; beyond it, the longest unused one is forgotten
        and what it had waiting is handed out by the next :meth:`due`
    """

    def __init__(self, lag: float = 30.0, max_identities: int = 10_000) -> None:
        if max_identities < 1:
            raise ValueError("a usage buffer needs room for one identity")
        self._lag = lag
        self._max_identities = max_identities
        self._reset()
        _reset_in_forked_child(weakref.ref(self))

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._usages: OrderedDict[Hashable, _Usage] = OrderedDict()
        # Waits no longer: evicted, of an hour that is over, or put back. Per identity and hour.
        self._overdue: dict[tuple[Hashable, int], Batch] = {}

    def __repr__(self) -> str:
        return f"<UsageBuffer of {len(self)} identities>"

    def __len__(self) -> int:
        """Number of identities remembered."""
        return len(self._usages)

    @property
    def waiting(self) -> int:
        """Number of successes not handed out yet."""
        with self._lock:
            batches = [usage.waiting for usage in self._usages.values() if usage.waiting]
            return sum(batch.count for batch in (*batches, *self._overdue.values()))

    def add(self, identity: Hashable, now: float) -> Batch | None:
        """Count one success.

        :param identity: what the row to be written is about, such as key, address and channel
        :param now: time of the success
        :return: a batch to be written at once when this is the identity's first success in its
            minute: this one and all that waited in the same hour; else None, and it waits
        """
        single = Batch(identity, 1, now, now)
        minute = int(now // _MINUTE)
        with self._lock:
            usage = self._touch(identity)
            if usage.waiting and _hour(usage.waiting) != _hour(single):
                self._set_overdue(usage)
            batch = usage.waiting.merged(single) if usage.waiting else single
            if usage.minute == minute:
                usage.waiting = batch
                return None
            usage.minute = minute
            usage.waiting = None
            return batch

    def due(self, now: float) -> list[Batch]:
        """Hand out all that has waited for the lag, and forget identities with nothing to count.

        :param now: the present time; should the clock have been set back, all is due
        """
        with self._lock:
            batches = self._take_overdue()
            for identity, usage in list(self._usages.items()):
                if usage.waiting and not 0 <= now - usage.waiting.first_seen < self._lag:
                    batches.append(usage.waiting)
                    usage.waiting = None
                if usage.waiting is None and usage.minute != int(now // _MINUTE):
                    del self._usages[identity]  # its next success is a first one in any case
            return batches

    def next_due(self) -> float | None:
        """Return the time at which :meth:`due` will have something, None while nothing waits."""
        with self._lock:
            starts = [usage.waiting.first_seen for usage in self._usages.values() if usage.waiting]
            if self._overdue:
                return min(batch.first_seen for batch in self._overdue.values())
            return min(starts) + self._lag if starts else None

    def drain(self) -> list[Batch]:
        """Hand out all that waits, and forget every identity: for the end of the process."""
        with self._lock:
            batches = self._take_overdue()
            batches += [usage.waiting for usage in self._usages.values() if usage.waiting]
            self._usages.clear()
            return batches

    def put_back(self, batch: Batch) -> None:
        """Take back a batch that could not be written; the next :meth:`due` hands it out again."""
        with self._lock:
            self._add_overdue(batch)

    def _touch(self, identity: Hashable) -> _Usage:
        usage = self._usages.get(identity)
        if usage is None:
            while len(self._usages) >= self._max_identities:
                self._set_overdue(self._usages.popitem(last=False)[1])
            usage = self._usages[identity] = _Usage()
        else:
            self._usages.move_to_end(identity)
        return usage

    def _set_overdue(self, usage: _Usage) -> None:
        if usage.waiting:
            self._add_overdue(usage.waiting)
            usage.waiting = None

    def _add_overdue(self, batch: Batch) -> None:
        place = (batch.identity, _hour(batch))
        known = self._overdue.get(place)
        self._overdue[place] = known.merged(batch) if known else batch

    def _take_overdue(self) -> list[Batch]:
        batches = list(self._overdue.values())
        self._overdue.clear()
        return batches


def _reset_in_forked_child(own: weakref.ref[UsageBuffer]) -> None:
    def reset() -> None:
        buffer = own()
        if buffer is not None:
            buffer._reset()

    os.register_at_fork(after_in_child=reset)


def _hour(batch: Batch) -> int:
    return int(batch.first_seen // _HOUR)
