"""Keep caller input out of core's log lines, and note errors that core only logs.

Core logs the login as typed, whole and with its line breaks, so a password typed into the wrong
field stays in the server log, and any line can be forged.  The access log has the query string.
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
    # beginning of the format string: position of the login in the arguments
    "Login failed for login:": 0,
    "Login attempt ignored for ": 1,
}
# Finds the path in a line of the access log; only the path is changed.
_REQUEST = re.compile(r'"(?:\x1b\[[\d;]*m)*[A-Z]+ (?P<path>\S.*?) HTTP/[\d.]+')


def install() -> None:
    """Add the filters to core's loggers and to the root handlers of this process, each once."""
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
    """Replace a log line when one of this module's filters fails on it.

    A failing filter must not keep anybody from logging in, and secrets may still be in the line.
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
    """Replace an unknown login by its length, and escape an existing one."""
    opened = request_state.attempt()
    if opened and isinstance(record.args, tuple) and isinstance(record.msg, str):
        for beginning, place in _LOGIN_LINES.items():
            if record.msg.startswith(beginning) and len(record.args) > place:
                arguments = list(record.args)
                arguments[place] = _describe(opened, arguments[place])
                record.args = tuple(arguments)
    return True


def _describe(opened, typed):
    if opened.user_id and isinstance(typed, str):  # the login exists, so it is not a secret
        return escape(typed)
    if isinstance(typed, int):  # a user id
        return typed
    if not isinstance(typed, str):
        return f"<{type(typed).__name__}>"
    return f"<{len(typed)} characters>"


@_harmless
def drop_text_of_refusal(record: logging.LogRecord) -> bool:
    """Remove the error text of an authentication method: OCA's module quotes the wrong key."""
    if record.exc_info and issubclass(record.exc_info[0] or object, UserError):
        if request_state.attempt() and record.msg == "Exception during request Authentication.":
            record.msg += f" {record.exc_info[0].__name__}, its text is left out"
            record.exc_info = None
    return True


@_harmless
def forget_database_name(record: logging.LogRecord) -> bool:
    """Remove the name of an unreachable database from the log line that reports it.

    By then, core has set the name that the caller sent as the database of every log line.
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
    """Remove a traceback that quotes what was sent in place of the database or the user ID."""
    if record.exc_info and request_state.current().quotes_caller:
        name = getattr(record.exc_info[0], "__name__", "exception")
        record.msg = f"{record.msg} {name}, its text is left out; see the refusal before this line"
        record.exc_info = None
    return True


@_harmless
def scrub_request(record: logging.LogRecord) -> bool:
    """Remove secrets from query strings and webhook addresses in the access log."""
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
    """Note on the open attempt that an LDAP directory could not be reached.

    ``auth_ldap`` logs this as an error and continues as if the password had been wrong, which it
    does not log.
    """
    opened = request_state.attempt()
    if opened and record.levelno >= logging.ERROR:
        opened.note("provider_error")
    return True
