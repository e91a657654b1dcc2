"""What an incident can be about: calls that fail, calls that do not come, and security events."""

from __future__ import annotations

from dataclasses import dataclass


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


@dataclass(frozen=True)
class Kind:
    """One kind of incident.

    :ivar is_event: its cause is its kind; else it is one of :mod:`causes`
    :ivar recovers: a success ends it; else somebody dismisses it, or it is old
    :ivar urgent: sent during quiet hours too, when it is about production
    :ivar recipients: who gets it unless its rule says otherwise
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
        explanation=_lt("Calls of this integration are rejected."),
        remedy=_lt("Open its attempts. The latest one names the cause and what to do."),
        is_event=False,
        recovers=True,
    ),
    Kind(
        code="silent",
        title=_lt("Expected calls did not come"),
        explanation=_lt(
            "The integration has not called successfully for longer than its form expects."
        ),
        remedy=_lt(
            "Check that the external system runs and can reach this server. If it calls less"
            " often now, change the expected interval on the integration."
        ),
        recovers=True,
    ),
    Kind(
        code="key_reused",
        title=_lt("Replaced key used from an unknown address"),
        explanation=_lt(
            "A key that was replaced was used from an address that this integration never called"
            " from. The call was rejected, and the current key is not affected."
        ),
        remedy=_lt(
            "Find out who has the old key: they may have had it while it worked. If you do not"
            " recognize the address, check what the old key was used for."
        ),
        recipients="both",
    ),
    Kind(
        code="new_address",
        title=_lt("First call from a new address"),
        explanation=_lt(
            "A key was used successfully from an address that this integration never called from."
        ),
        remedy=_lt(
            "If the address is yours, dismiss this incident. If not, revoke the key and create a"
            " new one. Allowed networks on the integration prevent such calls."
        ),
        urgent=False,
    ),
    Kind(
        code="dormant_awake",
        title=_lt("Unused key used again"),
        explanation=_lt("A key was used again after it had not been used for a long time."),
        remedy=_lt(
            "If you expected the call, dismiss this incident. If not, revoke the key: somebody may"
            " have found it."
        ),
        urgent=False,
    ),
    Kind(
        code="guessing",
        title=_lt("Password guessing"),
        explanation=_lt(
            "So many sign-ins failed that further ones are rejected without checking the password."
        ),
        remedy=_lt(
            "Open the attempts of this user and check the addresses. If they are not yours, block"
            " them at the firewall. API keys are not affected."
        ),
        urgent=False,
        recipients="managers",
    ),
    Kind(
        code="key_leaked",
        title=_lt("Key reported as leaked"),
        explanation=_lt("A key was revoked because somebody else may have it."),
        remedy=_lt(
            "Install a new key in the external system, and check what the old key was used for."
        ),
        recipients="both",
    ),
)
KINDS = {kind.code: kind for kind in _ALL}
