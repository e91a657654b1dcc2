"""Lines in the server log for rejected attempts and for attempts that could not be stored."""

import json
import logging
from contextlib import suppress

from odoo import fields

from . import user_agent as user_agents
from .flood_limits import LogLimit
from .redaction import escape, is_short_number

# The fail2ban filter (data/fail2ban) relies on this name.
_logger = logging.getLogger("odoo.addons.auth_integration.models.auth_attempt")
# In characters.
MAX_AGENT_LENGTH = 128
# The text that the fail2ban filter matches, and the loggers that write it.
_REFUSAL = "Authentication refused:"
_REFUSAL_LOGGERS = (_logger.name, "odoo.addons.auth_integration.tools.attempt.rpc_failures")
_exceptions = logging.Formatter()
_write_failures = LogLimit(per_minute=60)


def log_refusal(attempt):
    """Log one line per rejected attempt.

    Address and cause come first, before any value that the caller has chosen.
    """
    _logger.info(
        "Authentication refused: address=%s cause=%s channel=%s reference=%s database=%s user=%s"
        ' integration=%s%s agent="%s"',
        attempt.remote_addr or "n/a",
        attempt.cause,
        attempt.channel,
        attempt.reference,
        attempt.database,
        attempt.user_id or "-",
        attempt.integration_id or "-",
        f" operation={escape(attempt.operation)}" if attempt.operation else "",
        (attempt.described_agent or "-")[:MAX_AGENT_LENGTH],
    )


def disarm_forged_refusals(record):
    """Change the text of a rejection in log records that this add-on did not write.

    A filter for log handlers. Other modules log caller input including its line breaks, and
    tracebacks quote it, so a caller can forge any line. The text is replaced wherever it occurs,
    because programs that read the log differ in what they accept as a line break.
    """
    with suppress(Exception):  # wrong arguments: the handler reports them
        message = record.getMessage()
        is_ours = record.name in _REFUSAL_LOGGERS and str(record.msg).startswith(_REFUSAL)
        if _REFUSAL in message and not is_ours:
            record.msg, record.args = _disarmed(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _exceptions.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _disarmed(record.exc_text)
        record.dbname = _disarmed(str(getattr(record, "dbname", None)))  # the caller may choose it
    return True


def _disarmed(text):
    return text.replace(_REFUSAL, _REFUSAL.replace(" ", "_"))


def log_unwritten(attempt, error):
    """Log the whole attempt as one JSON line because its row could not be written."""
    _log_whole(logging.ERROR, "Attempt not written: %s", attempt, error)


def log_waiting(attempt, error):
    """Log the whole attempt: its row is written later, unless the process is killed first."""
    _log_whole(logging.WARNING, "Attempt waits to be written: %s", attempt, error)


def _log_whole(severity, message, attempt, error):
    try:
        suppressed = _write_failures.admit()
        if suppressed is None:
            return
        decided = attempt.codes or attempt.outcome == "success" or attempt.completed
        whole = {
            "address": attempt.remote_addr,
            "outcome": attempt.outcome,
            "cause": attempt.cause if decided else "undetermined",
            "channel": attempt.channel,
            "reference": attempt.reference,
            "database": attempt.database,
            "auth_type": attempt.auth_type,
            "user": attempt.user_id,
            "integration": attempt.integration_id,
            "attribution": attempt.attribution,
            "key": attempt.key_id,
            "operation": attempt.operation,
            "seen": fields.Datetime.to_string(fields.Datetime.now()),
            "error": type(error).__name__,
            "suppressed": suppressed,
            "login": _loggable_identity(attempt),
            "agent": user_agents.describe(attempt.user_agent, MAX_AGENT_LENGTH),
        }
        _logger.log(severity, message, json.dumps(whole))
    except Exception:
        _logger.exception("An attempt could be written neither to the database nor here")


def _loggable_identity(attempt):
    if attempt.known_login:
        return escape(attempt.known_login)
    presented = attempt.presented_identity
    if presented is None or is_short_number(presented):
        return presented
    if isinstance(presented, str):
        return f"<{len(presented)} characters>"
    return f"<{type(presented).__name__}>"
