"""The guide: every cause, issue and security event and what to do, in chapters.

The page ``/auth_integration/causes`` shows it in the reader's language, and ``make catalogue``
generates docs/causes.rst from it. Both have the same anchors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..attempt import cause_texts, causes
from ..incident import kinds
from . import findings

PATH = "/auth_integration/causes"


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


# Grouped as readers think of causes, not as Odoo checks them. Each cause is in exactly one chapter.
CHAPTERS = (
    (
        _lt("Address, path and database"),
        "database_unknown endpoint_unknown malformed_request webhook_unknown",
    ),
    (
        _lt("What was not sent"),
        "authenticate_skipped header_missing header_malformed login_missing secret_missing",
    ),
    (
        _lt("API keys"),
        "key_unknown key_expired key_revoked key_superseded key_copied key_wrong_scope"
        " key_user_mismatch",
    ),
    (
        _lt("Users and passwords"),
        "user_unknown user_archived password_wrong password_not_allowed interactive_not_allowed"
        " second_factor_wrong second_factor_replayed provider_error",
    ),
    (_lt("Sessions"), "session_expired session_mismatch"),
    (
        _lt("Rules and limits"),
        "address_not_allowed channel_not_allowed operation_not_allowed cooldown throttled",
    ),
    (_lt("The server"), "internal_error"),
)
EVENTS = _lt("Security events")
ISSUES = _lt("Issues")
# Replaces values of a single case in texts of the guide, which is about all cases.
SHOWN_VALUE = _lt("the value that the issue shows")
_PLACEHOLDER = re.compile(r"%\(\w+\)s")


@dataclass(frozen=True)
class Entry:
    """One cause, security event or issue; its texts are not translated yet.

    :ivar anchor: its anchor on the page
    :ivar explanation: empty if the title is sufficient
    :ivar for_owners: the remedy for owners, if they may not do what ``remedy`` says
    :ivar more: what the screens do not say
    """

    anchor: str
    code: str
    title: str
    explanation: str
    remedy: str
    severity: str = ""
    more: str = ""
    for_owners: str = ""


def chapters() -> Iterator[tuple[str, list[Entry]]]:
    """Yield the title and the entries of each chapter."""
    for title, codes in CHAPTERS:
        yield title, [_cause(causes.get(code)) for code in codes.split()]
    yield EVENTS, [_event(kind) for kind in kinds.KINDS.values() if kind.is_event]
    yield ISSUES, [_issue(kind) for kind in findings.KINDS]


def without_placeholders(text: str, shown_value: str = SHOWN_VALUE) -> str:
    """Return a text with its placeholders replaced.

    :param shown_value: the replacement, in the language of the text
    """
    return _PLACEHOLDER.sub(shown_value, text)


def cause_anchor(code: str) -> str:
    """Return the anchor of a cause."""
    return code


def event_anchor(code: str) -> str:
    """Return the anchor of a security event."""
    return f"event-{code}"


def issue_anchor(code: str) -> str:
    """Return the anchor of a kind of issue."""
    return f"issue-{code}"


def _cause(cause):
    owner_remedy = cause_texts.owner_remedy(cause.code)
    return Entry(
        cause_anchor(cause.code), cause.code, cause.title, cause.explanation, cause.remedy,
        cause.severity, cause_texts.guide(cause.code),
        owner_remedy if owner_remedy != cause.remedy else "",
    )


def _event(kind):
    return Entry(event_anchor(kind.code), kind.code, kind.title, kind.explanation, kind.remedy)


def _issue(kind):
    return Entry(
        issue_anchor(kind.code), kind.code, kind.title, "", kind.remedy, kind.severity,
    )
