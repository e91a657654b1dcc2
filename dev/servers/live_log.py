"""The log of a live server: its entries, those that a test expects, and the workers behind them."""

import re
import time

from dev.servers import server_log

ACCESS_LINE = r"^\S+ \S+ (?P<pid>\d+) \w+ .*?\"(?:GET|POST|HEAD|PUT|OPTIONS) \S*{marker}"


class LiveLog:
    """The part of :class:`~dev.servers.live_server.LiveServer` that reads its log.

    :param path: path of the log
    """

    def __init__(self, path):
        self.log_path = path
        self.log_path.write_text("")
        self._expected = []
        self._checked_to = 0

    def log_mark(self):
        """Return the current end of the log, for ``log_since``."""
        return self.log_path.stat().st_size

    def log_since(self, mark=0):
        """Return what was logged since a mark."""
        with open(self.log_path, "rb") as log:
            log.seek(mark)
            return log.read().decode(errors="replace")

    def wait_for_log(self, pattern, mark=0, timeout=10):
        """Wait until a line after the mark matches, and return the match."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.log_since(mark), re.M)
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {pattern!r} in {self.log_path} after {timeout} s")
            time.sleep(0.02)

    def expect_log(self, regex):
        """Allow our warnings and errors that match, until ``forget_expected_log``."""
        self._expected.append(regex)

    def forget_expected_log(self):
        """Stop allowing any of our warnings and errors."""
        self._expected.clear()

    def unexpected_log_lines(self):
        """Return our unexpected warnings and errors since the last call."""
        text = self.log_since(self._checked_to)
        self._checked_to += len(text.encode())
        return server_log.complaints(text, self._expected)

    def worker_pid_of(self, marker, timeout=5):
        """Return the process ID of the worker that answered the request with this URL marker.

        Use a unique text in the query string: ``/xmlrpc/2/object?probe=abc``.
        """
        pattern = ACCESS_LINE.replace("{marker}", re.escape(marker))
        return int(self.wait_for_log(pattern, timeout=timeout)["pid"])
