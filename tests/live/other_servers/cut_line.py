"""A connection to PostgreSQL that a test can cut: a Unix socket that forwards connections.

Only this connection is cut; the server continues to serve the tests that run in parallel.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path


class CutLine:
    """Forward connections to the PostgreSQL server in use, until it is cut.

    :ivar folder: the value for ``db_host``
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="line"))
        self._name = f".s.PGSQL.{os.environ['PGPORT']}"
        self._target = str(Path(os.environ["PGHOST"], self._name))
        self._listener, self._sockets, self._lock = None, set(), threading.Lock()
        self.mend()

    def mend(self):
        """Accept connections, for the first time or again."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / self._name))
        self._listener.listen(50)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self):
        """Close all connections and accept no more, as if PostgreSQL was down."""
        (self.folder / self._name).unlink()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ended, self._sockets = self._sockets, set()
        for end in ended:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Cut the connection and remove the socket's folder."""
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
