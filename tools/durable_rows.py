"""Rows of the log that this process has made: adding to their count need not wait for the disk.

A refusal is on the disk before its caller is told.  When it is repeated, the row is there already,
and only a crash of the database server itself could lose a part of its count, of its last second.
"""

from __future__ import annotations

MOST = 1000


class DurableRows:
    """The buckets of the last rows that were committed, no more than so many."""

    def __init__(self):
        self._buckets = set()

    def __contains__(self, bucket: tuple[str, bytes]) -> bool:
        """Tell whether there is a row, by its database and its bucket's hash."""
        return bucket in self._buckets

    def add(self, bucket: tuple[str, bytes]) -> None:
        """Note that a row was committed, and that nothing is left to wait for."""
        if len(self._buckets) >= MOST:
            self._buckets = set()
        self._buckets.add(bucket)


durable_rows = DurableRows()
