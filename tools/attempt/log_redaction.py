"""Keep what callers type out of core's own log lines, and learn what only a log line tells.

Core writes the login as typed, whole and with its line ends, so that a password in the wrong field
stays in the server log and any line can be forged.  The access log has the query string.
"""

import functools
import logging
import re
import threading

from odoo.exceptions import UserError

from . import request_state, rpc_failures
from .attempt_logging import disarm_forged_refusals
from .redaction import escape, scrub

_LOGIN_LINES = {
    # beginning of the line's format: place of the login among its arguments
    "Login failed for login:": 0,
    "Login attempt ignored for ": 1,
}
# The line as it is, but for what follows "?" in the path, or the id of a webhook.
_REQUEST = re.compile(r'"(?:\x1b\[[\d;]*m)*[A-Z]+ (?P<path>\S.*?) HTTP/[\d.]+')


def install() -> None:
    """Add the filters to core's loggers of this process, and to all that writes its log, once."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(disarm_forged_refusals)
    logging.getLogger("odoo.addons.base.models.res_users").addFilter(describe_login)
    logging.getLogger("odoo.addons.base.models.ir_http").addFilter(drop_text_of_refusal)
    logging.getLogger("odoo.sql_db").addFilter(forget_database_name)
    logging.getLogger("odoo.http").addFilter(drop_text_of_malformed_call)
    logging.getLogger("werkzeug").addFilter(scrub_request)
    logging.getLogger("odoo.addons.auth_ldap.models.res_company_ldap").addFilter(
        note_provider_error
    )


def _harmless(log_filter):
    """Have a line on which a filter of ours fails say only that.

    It must not keep anybody from logging in, and what is in it has not been looked at.
    """

    @functools.wraps(log_filter)
    def guarded(record: logging.LogRecord) -> bool:
        try:
            return log_filter(record)
        except Exception as error:
            record.msg = "A line of the log is left out: %s in %s"
            record.args = type(error).__name__, log_filter.__name__
            record.exc_info = None
            return True

    return guarded


@_harmless
def describe_login(record: logging.LogRecord) -> bool:
    """Put the name of the existing login, or the length of an unknown one, in place of the text."""
    opened = request_state.attempt()
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


@_harmless
def drop_text_of_refusal(record: logging.LogRecord) -> bool:
    """Take the text out of what an authentication method raised: OCA's echoes the wrong key."""
    if record.exc_info and issubclass(record.exc_info[0] or object, UserError):
        if request_state.attempt() and record.msg == "Exception during request Authentication.":
            record.msg += f" {record.exc_info[0].__name__}, its text is left out"
            record.exc_info = None
    return True


@_harmless
def forget_database_name(record: logging.LogRecord) -> bool:
    """Keep the name of a database that cannot be reached out of the line that says so.

    Core has made what the caller named as the database part of every line by then.
    """
    thread = threading.current_thread()
    if request_state.current().is_service_reached and not rpc_failures.is_loaded(
        getattr(thread, "dbname", None)
    ):
        if record.levelno == logging.INFO and record.msg.startswith("Connection to the database"):
            record.dbname = thread.dbname = None
    return True


@_harmless
def drop_text_of_malformed_call(record: logging.LogRecord) -> bool:
    """Take the traceback out that quotes what stood in place of the database or the user id."""
    if record.exc_info and request_state.current().quotes_caller:
        name = getattr(record.exc_info[0], "__name__", "exception")
        record.msg = f"{record.msg} {name}, its text is left out; see the refusal before this line"
        record.exc_info = None
    return True


@_harmless
def scrub_request(record: logging.LogRecord) -> bool:
    """Take secrets out of the query string and out of webhook addresses."""
    dbname = getattr(threading.current_thread(), "dbname", None)
    if dbname and not rpc_failures.is_ready(dbname):
        return True
    line = record.getMessage()
    found = _REQUEST.search(line)
    path = found and found["path"]
    if path and ("?" in path or "/web/hook/" in path or len(path) > 2000):
        record.msg = "%s%s%s"
        record.args = line[: found.start("path")], scrub(path, 2000), line[found.end("path") :]
    return True


def note_provider_error(record: logging.LogRecord) -> bool:
    """Note that an LDAP directory could not be asked about the open attempt.

    ``auth_ldap`` logs that as an error and goes on as if the password had been wrong, of which it
    logs nothing.
    """
    opened = request_state.attempt()
    if opened and record.levelno >= logging.ERROR:
        opened.note("provider_error")
    return True
