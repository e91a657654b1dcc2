"""Keep what callers type out of core's own log lines.

Core writes the login as typed, whole and with its line ends, so that a password in the wrong field
stays in the server log and any line can be forged.  The access log has the query string.
"""

import logging
import re
import threading

from . import attempt, early_refusals
from .redaction import escape, scrub

_LOGIN_LINES = {
    # beginning of the line's format: place of the login among its arguments
    "Login failed for login:": 0,
    "Login attempt ignored for ": 1,
}
# The line as it is, but for what follows "?" in the path, or the id of a webhook.
_REQUEST = re.compile(r'"(?:\x1b\[[\d;]*m)*[A-Z]+ (?P<path>\S.*?) HTTP/[\d.]+')


def install() -> None:
    """Add the filters to core's loggers of this process, once."""
    logging.getLogger("odoo.addons.base.models.res_users").addFilter(describe_login)
    logging.getLogger("werkzeug").addFilter(scrub_request)


def describe_login(record: logging.LogRecord) -> bool:
    """Put the name of the existing login, or the length of an unknown one, in place of the text."""
    opened = attempt.current()
    if opened and isinstance(record.args, tuple) and isinstance(record.msg, str):
        for beginning, place in _LOGIN_LINES.items():
            if record.msg.startswith(beginning) and len(record.args) > place:
                arguments = list(record.args)
                arguments[place] = _describe(opened, arguments[place])
                record.args = tuple(arguments)
    return True


def _describe(opened, typed):
    if opened.user_id and isinstance(typed, str):  # it was found, so it is no secret
        return escape(typed)
    if isinstance(typed, int):  # a user id
        return typed
    if not isinstance(typed, str):
        return f"<{type(typed).__name__}>"
    return f"<{len(typed)} characters>"


def scrub_request(record: logging.LogRecord) -> bool:
    """Take secrets out of the query string and out of webhook addresses."""
    dbname = getattr(threading.current_thread(), "dbname", None)
    if dbname and not early_refusals.is_ready(dbname):
        return True
    try:
        line = record.getMessage()
        found = _REQUEST.search(line)
        path = found and found["path"]
        if path and ("?" in path or "/web/hook/" in path or len(path) > 2000):
            record.msg = "%s%s%s"
            record.args = line[: found.start("path")], scrub(path, 2000), line[found.end("path") :]
    except Exception:  # a line of the access log is no reason to fail a request
        record.msg, record.args = "A line of the access log could not be read", ()
    return True
