"""Slots for hashes that only take time: at most half of the processors, over all workers.

Files locked by :func:`fcntl.flock` can be shared by all processes of a machine without a common
parent, and the kernel releases them when a process dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds to wait for a slot (a waiting worker cannot serve others), and between two tries.
PATIENCE = 0.0
PAUSE = 0.02


class HashSlots:
    """A fixed number of slots, each for one thread at a time.

    :param folder: folder of the lock files, shared by all processes that share the slots. If it is
        not writable, each process has the slots for itself
    :param count: number of slots, half of the processors by default
    """

    def __init__(self, folder: Path, count: int | None = None):
        self._folder = folder
        self.count = count or max(1, (os.cpu_count() or 1) // 2)
        self._own = threading.BoundedSemaphore(self.count)

    @contextmanager
    def one(self, patience: float = PATIENCE):
        """Hold a slot in the block.

        :param patience: seconds to wait for one
        :return: whether there is a slot; if not, the block must not hash
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
            yield True  # only the limit of this process applies
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
