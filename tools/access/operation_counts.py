"""Operations called with keys, counted in memory: how often called, written and not allowed.

It has no clock, starts no thread and accesses no database.  The number of counted operations is
bounded: only names of models and methods that exist, never caller input, and at most
``MAX_OPERATIONS`` and ``OTHER`` for each key.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import NamedTuple

MAX_OPERATIONS = 500
"""Operations of a key that are told apart, in memory and in the database."""

OTHER = ("*", "(other)")
"""The operation that all the others of a key are counted as."""


class Place(NamedTuple):
    """The key, in its database, that operations are counted for."""

    dbname: str
    key_id: int


class Counts(NamedTuple):
    """How often one operation was called, and when.

    :ivar uses: calls that were let through
    :ivar writes: those of them that wrote
    :ivar refused: calls that the key's access does not cover, refused or only reported
    :ivar first: time of the earliest, in seconds since the epoch
    :ivar last: time of the latest, likewise
    """

    uses: int
    writes: int
    refused: int
    first: float
    last: float

    def merged(self, other: Counts) -> Counts:
        """Return the counts of both."""
        return Counts(
            self.uses + other.uses,
            self.writes + other.writes,
            self.refused + other.refused,
            min(self.first, other.first),
            max(self.last, other.last),
        )


class OperationBuffer:
    """Thread-safe counts by key and operation, until they are written.

    A forked child starts empty, since the parent still has the waiting counts.
    """

    def __init__(self) -> None:
        self._reset()
        own = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (reset := own()) and reset())

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Place, dict[tuple[str, str], Counts]] = {}

    @property
    def waiting(self) -> int:
        """Number of calls not handed out yet."""
        with self._lock:
            return sum(
                max(counts.uses, counts.refused)
                for operations in self._waiting.values()
                for counts in operations.values()
            )

    def add(self, place: Place, operation: tuple[str, str], counts: Counts) -> None:
        """Count calls of one operation."""
        with self._lock:
            self._merge(place, operation, counts)

    def take(self) -> dict[Place, dict[tuple[str, str], Counts]]:
        """Hand out everything that waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            return waiting

    def put_back(self, place: Place, operations: dict[tuple[str, str], Counts]) -> None:
        """Take back what could not be written; the next :meth:`take` returns it again."""
        with self._lock:
            for operation, counts in operations.items():
                self._merge(place, operation, counts)

    def _merge(self, place, operation, counts):
        operations = self._waiting.setdefault(place, {})
        operation = admitted(operation, operations)
        known = operations.get(operation)
        operations[operation] = known.merged(counts) if known else counts


def admitted(operation: tuple[str, str], known) -> tuple[str, str]:
    """Return the operation to count a call under, given the known operations of its key."""
    return operation if operation in known or len(known) < MAX_OPERATIONS else OTHER
