"""A file of JSON lines that other programs follow while it is written and rotated."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterable


def append(path: str, events: Iterable[dict]) -> None:
    """Append events, one per line, and wait until they are on the disk.

    The file is opened by its name each time, so that a rotated file is released. If a killed
    process left an incomplete line, that line is ended first: its event is written again as a
    whole. When the disk is full, what was written of the line that has no room is removed.

    :raise OSError: it cannot be written, is not a regular file, or another program has locked it
    """
    lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
    # Do not block: a pipe without a reader must not hold up the job.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o640)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"not a regular file: {path}")
        # Other databases of this server write to the same file.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = "\n" + lines
        _write_all(descriptor, lines.encode(), size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor, data, size):
    """Write lines to the end of a file of this size; on an error, leave only complete ones."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size + data.rfind(b"\n", 0, written) + 1)
        raise
