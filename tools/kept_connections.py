"""Connections kept beside those of the calls, each statement on them a transaction of its own.

A cursor fresh from Odoo's pool costs half a dozen round trips around one short statement: the
connection is reset, a transaction begins, is given its isolation level, and commits.  A call whose
key is looked up, or whose refusal is written down, is so short that this is felt.  The cursors kept
here are Odoo's all the same, counted, limited and closed by its pool.
"""

import atexit
import os
import select
import threading
import time
from contextlib import contextmanager

from odoo.tools import config
from psycopg2 import InterfaceError, OperationalError
from psycopg2.pool import PoolError

from . import prepared

# Kept by one process, for all of its databases.
MOST_KEPT = 4
# Of a smaller pool nothing is kept: the calls would miss it.
SMALLEST_POOL = 16
# Seconds after which an unused connection may have been forgotten by a firewall on the way.
LONGEST_REST = 300


class KeptConnections:
    """The kept cursors of this process: how many are lent, and those that nobody uses."""

    def __init__(self):
        self.forget()

    def forget(self):
        """Start with nothing, in a forked process: what is lent is lent by its parent."""
        self._lock = threading.Lock()
        self._kept = []  # (database, time of its last use, cursor), the longest unused first
        self._lent = 0

    @contextmanager
    def cursor(self, registry):
        """Have a cursor in autocommit mode, for one thread until the end of the block.

        :param registry: of the database
        :raise psycopg2.Error: there is no connection to be had; so says Odoo's pool when it is
            used up
        """
        cr = self._take(registry.db_name)
        try:
            if cr is None:
                cr = registry.cursor()
                cr._cnx.set_session(isolation_level="DEFAULT", readonly="DEFAULT", autocommit=True)
            yield cr
        except BaseException:
            self._give_back()
            if cr is not None:
                cr.close()
            raise
        # What the ORM has read for one refusal is nothing to the next.
        cr.cache.clear()
        cr.transaction = None
        self._give_back(registry.db_name, cr)

    def query(self, registry, statement, params):
        """Run one query of a call, if that takes no connection from anybody.

        :param statement: SQL with ``%(name)s`` for each parameter; a constant
        :return: the rows; None when all are lent, or the connection was lost: then the call's own
            cursor has to serve
        """
        if not self._has_spare(registry.db_name):
            return None
        try:
            with self.cursor(registry) as cr:
                return prepared.run(cr, statement, params)
        except (InterfaceError, OperationalError, PoolError):
            return None

    def close_all(self):
        """Give all that are kept back to the pool."""
        with self._lock:
            kept, self._kept = self._kept, []
        for _database, _used, cr in kept:
            cr.close()

    def _has_spare(self, database):
        """Whether one of this database is kept, or may be made without giving up another."""
        if config["db_maxconn"] < SMALLEST_POOL:
            return False
        with self._lock:
            is_kept = any(entry[0] == database for entry in self._kept)
            return is_kept or len(self._kept) + self._lent < MOST_KEPT

    def _take(self, database):
        """The cursor of this database that was used last, if it is still connected, or None."""
        with self._lock:
            self._lent += 1
            mine = [entry for entry in self._kept if entry[0] == database]
            if not mine:
                return None
            self._kept.remove(mine[-1])
        _database, used, cr = mine[-1]
        if time.monotonic() - used < LONGEST_REST and _is_connected(cr):
            return cr
        cr.close()
        return None

    def _give_back(self, database=None, cr=None):
        surplus = cr
        with self._lock:
            self._lent -= 1
            if cr is not None and config["db_maxconn"] >= SMALLEST_POOL and not cr.closed:
                self._kept.append((database, time.monotonic(), cr))
                surplus = self._kept.pop(0)[2] if len(self._kept) > MOST_KEPT else None
        if surplus is not None:
            surplus.close()


def _is_connected(cr):
    """Whether the server has not hung up, as far as can be told without asking it.

    An idle connection has nothing to say: what can be read from it is its end.
    """
    if cr.closed:
        return False
    waiting = select.poll()
    waiting.register(cr._cnx.fileno(), select.POLLIN)
    return not waiting.poll(0)


connections = KeptConnections()
atexit.register(connections.close_all)
# A connection must not be shared with a child process.
os.register_at_fork(before=connections.close_all, after_in_child=connections.forget)
