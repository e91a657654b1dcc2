"""Room for hashes that only take time: at most half of the processors, in all workers together.

Files locked by :func:`fcntl.flock` are what all processes of a machine share without a common
parent, and the kernel lets go of them when a process dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds that one may wait for room (a worker that waits is one that others miss), and between two
# looks.
PATIENCE = 0.0
PAUSE = 0.02


class HashSlots:
    """So many slots, each for one thread at a time.

    :param folder: where the lock files are; shared by all processes that share the slots. Where it
        cannot be written to, each process has the slots for itself
    :param count: number of slots, half of the processors by default
    """

    def __init__(self, folder: Path, count: int | None = None):
        self._folder = folder
        self.count = count or max(1, (os.cpu_count() or 1) // 2)
        self._own = threading.BoundedSemaphore(self.count)

    @contextmanager
    def one(self, patience: float = PATIENCE):
        """Have a slot for the block.

        :param patience: seconds to wait for one
        :return: whether there is one; without, the block must not hash
        """
        deadline = time.monotonic() + patience
        if not self._own.acquire(timeout=patience):
            yield False
            return
        try:
            with self._shared(deadline) as has_room:
                yield has_room
        finally:
            self._own.release()

    @contextmanager
    def _shared(self, deadline):
        try:
            files = [self._open(number) for number in range(self.count)]
        except OSError:
            yield True  # the process's own limit is all there is
            return
        try:
            yield self._lock_one(files, deadline)
        finally:
            for file in files:
                with suppress(OSError):
                    os.close(file)

    def _open(self, number):
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._folder / f"auth_integration.hash.{number}", flags, 0o600)

    @staticmethod
    def _lock_one(files, deadline):
        while True:
            for file in files:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)
