"""A way to PostgreSQL that a test can cut: a Unix socket whose connections are passed on.

What is cut is this way alone; the server itself goes on for the tests that run beside.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path


class CutLine:
    """Pass connections on to the PostgreSQL server in use, until it is cut.

    :ivar folder: what ``db_host`` has to name
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="line"))
        self._name = f".s.PGSQL.{os.environ['PGPORT']}"
        self._target = str(Path(os.environ["PGHOST"], self._name))
        self._listener, self._sockets, self._lock = None, set(), threading.Lock()
        self.mend()

    def mend(self):
        """Accept connections, again."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / self._name))
        self._listener.listen(50)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self):
        """End all connections and accept no more: as when PostgreSQL is away."""
        (self.folder / self._name).unlink()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ended, self._sockets = self._sockets, set()
        for end in ended:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Remove what there is of it."""
        self.cut()
        shutil.rmtree(self.folder)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _address = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                with self._lock:
                    self._sockets |= {near, far}
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
