"""Count successful uses without one write for each.

Writing each success would cost one commit per call.  The first success of a key, address and minute
is committed before the caller gets its response; later ones are counted in memory and written by a
thread of this process, or when it ends.  Only ``kill -9`` loses them, and never a first one.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Hashable
from typing import NamedTuple

import odoo.modules.module
from odoo.api import SUPERUSER_ID, Environment
from odoo.modules.registry import Registry
from odoo.tools.lru import LRU
from psycopg2.errors import LockNotAvailable

from ..access.operation_counts import Counts, OperationBuffer, Place
from ..attempt.flood_limits import LogLimit

_logger = logging.getLogger(__name__)

# Seconds between two runs of the thread, for which the end of the process retries, and between
# two of those retries.
FLUSH_INTERVAL = 30
FLUSH_SECONDS = 10
RETRY_SECONDS = 0.1
_failures = LogLimit(per_minute=60)


class SuccessfulUse(NamedTuple):
    """What equal successes have in common: mainly the identifying columns of ``auth.attempt``."""

    dbname: str
    channel: str
    auth_type: str | None
    login: str | None
    user_id: int | None
    integration_id: int | None
    attribution: str | None
    key_id: int | None
    remote_addr: str | None
    user_agent: str | None
    learned_digest: str | None = None
    address_trusted: bool = True

    def columns(self) -> dict:
        values = self._asdict()
        del values["learned_digest"], values["address_trusted"]   # of the key only
        values["database"] = values.pop("dbname")
        return values


class Batch(NamedTuple):
    """Equal successes to be written together; all are in the same hour.

    :ivar identity: what they have in common
    :ivar count: number of successes, at least 1
    :ivar first_seen: time of the earliest, in seconds since the epoch
    :ivar last_seen: time of the latest, likewise
    """

    identity: Hashable
    count: int
    first_seen: float
    last_seen: float

    def merged(self, other: Batch) -> Batch:
        """Return one batch for both; they must have the same identity."""
        return Batch(
            self.identity,
            self.count + other.count,
            min(self.first_seen, other.first_seen),
            max(self.last_seen, other.last_seen),
        )


class UsageBuffer:
    """Thread-safe counter of successes that tells its caller what to write at once.

    It has no clock and starts no thread.  Every success is handed out in exactly one batch.  A
    forked child starts empty, since the parent still has the waiting successes.

    :param max_identities: identities whose last minute is remembered; a success of another one is
        written at once
    """

    def __init__(self, max_identities: int = 10_000) -> None:
        self._max_identities = max_identities
        self._reset()
        own = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (reset := own()) and reset())

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._minutes: LRU[Hashable, int] = LRU(self._max_identities)
        self._waiting: dict[tuple[Hashable, int], Batch] = {}  # by identity and hour

    @property
    def waiting(self) -> int:
        """Number of successes not handed out yet."""
        with self._lock:
            return sum(batch.count for batch in self._waiting.values())

    def add(self, identity: Hashable, now: float) -> Batch | None:
        """Count one success.

        :param now: time of the success, in seconds since the epoch
        :return: a batch to be written at once if this is the identity's first success in its
            minute: this success and all that waited in the same hour; otherwise None, and it waits
        """
        minute = int(now // 60)
        with self._lock:
            batch = self._merge(Batch(identity, 1, now, now))
            if self._minutes.get(identity) == minute:
                return None
            self._minutes[identity] = minute
            del self._waiting[_place(batch)]
            return batch

    def take(self) -> list[Batch]:
        """Hand out everything that waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            return list(waiting.values())

    def put_back(self, batch: Batch) -> None:
        """Take back a batch that could not be written; the next :meth:`take` returns it again."""
        with self._lock:
            self._merge(batch)

    def _merge(self, batch):
        known = self._waiting.get(_place(batch))
        merged = self._waiting[_place(batch)] = known.merged(batch) if known else batch
        return merged


def _place(batch):
    return batch.identity, int(batch.first_seen // 3600)


class UsageWriter:
    """The uses that this process has yet to write, and the thread that writes them.

    Each batch is a transaction of its own: see :mod:`row_locks` for the order of its locks.  The
    operations that a key calls are counted beside its uses and written by the thread only, together
    with a batch of the same key if one waits, so that no call needs an extra query for them.
    """

    def __init__(self):
        self._buffer = UsageBuffer()
        self._operations = OperationBuffer()
        self._pid = None
        self._is_ending = False
        self._lock = threading.Lock()
        # Held while waiting uses are written: the end of the process waits for the thread.
        self._writing = threading.Lock()

    def add(self, use: SuccessfulUse, registry) -> Exception | None:
        """Count one use; if a write is due, write it with the waiting uses of its kind.

        :return: the error if a due write failed; the use then waits to be written later
        """
        batch = self._buffer.add(use, time.time())
        error = self._write_or_keep(registry, batch) if batch else None
        if self._is_ending:  # the thread may not run again
            self.write_waiting()
        if error or not batch:
            self._ensure_thread()
        return error

    def count(self, place: Place, operation: tuple[str, str], counts: Counts) -> None:
        """Count calls of one operation with a key; the thread writes them."""
        self._operations.add(place, operation, counts)
        if self._is_ending:
            self.write_waiting()
        self._ensure_thread()

    @property
    def waiting(self) -> int:
        """Number of uses and calls that are not written yet."""
        return self._buffer.waiting + self._operations.waiting

    def forget(self) -> None:
        """Drop everything that is pending: a test has rolled its database back."""
        self._buffer.take()
        self._operations.take()

    def flush(self) -> None:
        """Write everything that is pending when the process ends, with retries after failures."""
        self._is_ending = True
        deadline = time.monotonic() + FLUSH_SECONDS
        with self._writing:
            self.write_waiting()
            while self.waiting and time.monotonic() < deadline:
                time.sleep(RETRY_SECONDS)
                self.write_waiting()
        if self.waiting:
            _logger.error("%s uses of API keys could not be written", self.waiting)

    def write_waiting(self) -> None:
        """Write everything that is pending, without retries."""
        locked = set()
        for place, batch, counted in self._take():
            registry = Registry.registries.get(place.dbname)
            if self._is_gone(registry):
                continue
            # The registry may be reloading, as after an update by another server. Or another
            # transaction holds this key, perhaps for longer, so its other uses are not tried.
            if not getattr(registry, "auth_integration_ready", False) or place in locked:
                self._put_back(place, batch, counted)
            elif isinstance(
                self._write_or_keep(registry, batch, place, counted), LockNotAvailable
            ):
                locked.add(place)

    def _is_gone(self, registry):
        """Whether uses of this database can never be written: it or its add-on is gone."""
        if registry is None:
            return self._is_ending
        return registry.ready and "auth.attempt" not in registry

    def _take(self):
        """Yield what is written together: a batch of a key and the operations it has called."""
        batches, operations = self._buffer.take(), self._operations.take()
        for batch in batches:
            place = Place(batch.identity.dbname, batch.identity.key_id)
            yield place, batch, operations.pop(place, None)
        for place, counted in operations.items():
            yield place, None, counted

    def _put_back(self, place, batch, counted):
        if batch:
            self._buffer.put_back(batch)
        if counted:
            self._operations.put_back(place, counted)

    def _write(self, registry, batch, place=None, counted=None):
        attempts = registry["auth.attempt"]
        with attempts._log_cursor(registry) as cr:
            env = Environment(cr, SUPERUSER_ID, {})
            if batch:
                env["auth.attempt"]._write_use(batch)
            if counted:
                env["auth.integration.key"]._record_operations(place.key_id, counted)
            may_close = batch and env["auth.integration.incident"]._may_close([batch])
        if may_close:
            registry["auth.integration.incident"]._wake(registry)

    def _write_or_keep(self, registry, batch, place=None, counted=None):
        """Write a batch and the operations of its key; on failure, keep them for the next run.

        :return: the error, if there was one
        """
        try:
            self._write(registry, batch, place, counted)
        except Exception as error:
            self._put_back(place, batch, counted)
            if (suppressed := _failures.admit()) is not None:
                _logger.info(
                    "%s uses of an API key wait to be written in %s: %s (%s more not shown)",
                    batch.count if batch else sum(counts.uses for counts in counted.values()),
                    registry.db_name,
                    type(error).__name__,
                    suppressed,
                )
            return error
        return None

    def _ensure_thread(self):
        """Start the writing thread of this process; a prefork worker is a process of its own."""
        if self._pid == os.getpid() or odoo.modules.module.current_test:
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._writing = threading.Lock()  # not the parent's, which may have been held
            threading.Thread(target=self._run, name="auth_integration.uses", daemon=True).start()
            atexit.register(self.flush)

    def _run(self):
        while True:
            time.sleep(FLUSH_INTERVAL)
            with self._writing:
                self.write_waiting()


usage_writer = UsageWriter()
