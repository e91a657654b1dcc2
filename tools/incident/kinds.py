"""The kinds of incidents: failing calls, missing calls, and security events."""

from __future__ import annotations

from dataclasses import dataclass


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


@dataclass(frozen=True)
class Kind:
    """One kind of incident.

    :ivar is_event: its cause is its kind; otherwise the cause is one of :mod:`causes`
    :ivar recovers: a success ends it; otherwise it ends when dismissed or old
    :ivar urgent: sent during quiet hours too, if it concerns production
    :ivar recipients: who receives it unless its rule says otherwise
    """

    code: str
    title: str
    explanation: str
    remedy: str
    is_event: bool = True
    recovers: bool = False
    urgent: bool = True
    recipients: str = "owners"


_ALL = (
    Kind(
        code="failing",
        title=_lt("Calls fail"),
        explanation=_lt("Calls from this integration are rejected."),
        remedy=_lt("Open the attempts. The latest one shows the cause and what to do."),
        is_event=False,
        recovers=True,
    ),
    Kind(
        code="silent",
        title=_lt("Expected calls did not come"),
        explanation=_lt(
            "The last successful call is older than the expected interval."
        ),
        remedy=_lt(
            "Check that the external system runs and can reach this server. If it calls less"
            " often now, ask an administrator to change the expected interval."
        ),
        recovers=True,
    ),
    Kind(
        code="key_reused",
        title=_lt("Replaced key used from an unknown address"),
        explanation=_lt(
            "A replaced key was used from an address that this integration has never used. The"
            " call was rejected. The current key is not affected."
        ),
        remedy=_lt(
            "Find out who has the old key: they may have used it before. If you do not recognize"
            " the address, check what the old key was used for."
        ),
        recipients="both",
    ),
    Kind(
        code="new_address",
        title=_lt("First call from a new address"),
        explanation=_lt(
            "A key was used successfully from an address that this integration has never used."
        ),
        remedy=_lt(
            "If the address belongs to your system, dismiss this incident. If not, revoke the key"
            " and create a new one. To prevent such calls, an administrator can set allowed"
            " networks."
        ),
        urgent=False,
    ),
    Kind(
        code="dormant_awake",
        title=_lt("Unused key used again"),
        explanation=_lt("A key was used again after a long time without use."),
        remedy=_lt(
            "If you expected the call, dismiss this incident. If not, revoke the key: someone may"
            " have found it."
        ),
        urgent=False,
    ),
    Kind(
        code="guessing",
        title=_lt("Password guessing"),
        explanation=_lt(
            "Too many sign-in attempts failed. Further attempts are rejected without checking the"
            " password."
        ),
        remedy=_lt(
            "Open the attempts of this user and check the addresses. If you do not recognize them,"
            " block them in your firewall. API keys are not affected."
        ),
        urgent=False,
        recipients="managers",
    ),
    Kind(
        code="key_leaked",
        title=_lt("Key reported as leaked"),
        explanation=_lt("A key was revoked because someone else may have it."),
        remedy=_lt(
            "Install a new key in the external system. Check what the old key was used for."
        ),
        recipients="both",
    ),
)
KINDS = {kind.code: kind for kind in _ALL}
