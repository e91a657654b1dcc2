"""Write successful uses: the first of a minute at once, the others within the next minute.

A success per call would cost a commit per call.  The first success of a key, address and minute
is committed before the caller has its answer; later ones are counted in memory and written by a
thread of this process, or when it ends.  Only ``kill -9`` loses them, and never a first one.
"""

import atexit
import logging
import os
import threading
import time
from dataclasses import asdict, dataclass, replace

import odoo.modules.module
from odoo.api import SUPERUSER_ID, Environment
from odoo.modules.registry import Registry
from psycopg2.errors import LockNotAvailable

from .distinct_limit import DistinctLimit
from .usage import UsageBuffer

_logger = logging.getLogger(__name__)

FLUSH_INTERVAL = 15  # seconds


@dataclass(frozen=True, slots=True)
class SuccessfulUse:
    """What equal successes have in common: the identifying columns of ``auth.attempt``."""

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
        values = asdict(self)
        del values["learned_digest"], values["address_trusted"]  # of the key, not of the attempt
        values["database"] = values.pop("dbname")
        return values


class UsageWriter:
    """The uses this process has yet to write, and the thread that writes them."""

    def __init__(self):
        self._buffer = UsageBuffer()
        self._addresses = DistinctLimit(most=1000)
        self._agents = DistinctLimit(most=20)
        self._pid = None
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def add(self, use: SuccessfulUse, registry) -> None:
        """Count one use; write it, with what is pending of its kind, when it is due at once.

        :raise psycopg2.Error: it was due and could not be written
        """
        now = time.time()
        use = self._told_apart(use, now)
        if batch := self._buffer.add(use, now):
            try:
                self._write(registry, [batch])
            except Exception:
                self._buffer.put_back(batch)
                self._ensure_thread()
                raise
        else:
            self._ensure_thread()

    def _told_apart(self, use, now):
        """The use, without what would make too many rows of one caller."""
        caller = use.dbname, use.user_id, use.key_id
        address = self._addresses.named(caller, use.remote_addr, now)
        agent = self._agents.named((*caller, address), use.user_agent, now)
        if (address, agent) == (use.remote_addr, use.user_agent):
            return use
        return replace(use, remote_addr=address, user_agent=agent)

    def forget(self) -> None:
        """Drop what is pending: a test has rolled its database back."""
        self._buffer.drain()

    def flush(self) -> None:
        """Write everything that is pending, for the end of the process."""
        self._write_by_database(self._buffer.drain())
        if self._buffer.waiting:
            _logger.error("%s uses of API keys could not be written", self._buffer.waiting)

    def _write(self, registry, batches):
        attempts = registry["auth.attempt"]
        with attempts._own_cursor(registry) as cr:
            Environment(cr, SUPERUSER_ID, {})["auth.attempt"]._write_uses(batches)

    def _write_by_database(self, batches):
        by_database = {}
        for batch in batches:
            by_database.setdefault(batch.identity.dbname, []).append(batch)
        for dbname, group in by_database.items():
            registry = Registry.registries.get(dbname)
            if registry is not None and getattr(registry, "auth_integration_ready", False):
                self._write_or_keep(registry, group)

    def _write_or_keep(self, registry, group):
        """Write batches of one database; those that cannot be written wait for the next time."""
        try:
            self._write(registry, group)
        except LockNotAvailable:
            if len(group) > 1:  # one key that somebody works on must not keep back the others
                for batch in group:
                    self._write_or_keep(registry, [batch])
                return
            self._buffer.put_back(group[0])
            _logger.info("Uses of an API key wait: its record is locked")
        except Exception:
            for batch in group:
                self._buffer.put_back(batch)
            _logger.error(
                "Could not write %s uses of API keys in %s",
                sum(batch.count for batch in group),
                registry.db_name,
                exc_info=True,
            )

    def _ensure_thread(self):
        """Start the writing thread of this process; a prefork worker is a process of its own."""
        if self._pid == os.getpid() or odoo.modules.module.current_test:
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            threading.Thread(target=self._run, name="auth_integration.uses", daemon=True).start()
            atexit.register(self.flush)

    def _run(self):
        while not self._stop.wait(FLUSH_INTERVAL):
            self._write_by_database(self._buffer.due(time.time()))


usage_writer = UsageWriter()
