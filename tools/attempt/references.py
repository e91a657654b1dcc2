"""The reference of an attempt, which a caller quotes so that an administrator finds the row.

It is a keyed hash of what the caller sent and never of what Odoo found. Otherwise it would reveal
which logins exist. Attempts that are equal in all its parts share a reference.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from datetime import datetime, timezone

# Crockford's base 32: no I, L, O (read as 1, 1, 0) and no U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_WRITTEN_AS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET)  # from RFC 4648
_READ_AS = str.maketrans("ILOU", "110V")
_LENGTH = 10  # characters of 5 bits: a 4 % chance that two of 10 million references are equal
_GROUP = 5
_MAX_PART = 4096  # characters of an identity that are hashed, in addition to its length
_CONTEXT = b"auth_integration.reference.2"


def reference(
    key: bytes, *, minute: datetime, address: str | None, channel: str, identity: object
) -> str:
    """Return the reference of an attempt, for instance ``7KQ2M-WX94T``.

    :param key: secret of this database, at least 16 bytes; without it nothing can be derived
    :param minute: time of the attempt, aware or naive UTC; seconds are ignored
    :param address: the caller's address (``networks.normalize``), None or '' when unknown
    :param channel: channel of the attempt
    :param identity: login or uid **as sent**, of any type; '' or None if none is sent, as with
        a bearer key. Never the secret, and never a value that was looked up.
    :return: two groups of five characters, 50 bits
    :raise ValueError: when the key is too short
    """
    if len(key) < 16:
        raise ValueError("the key of references needs at least 16 bytes")
    identity = _identity_text(identity)
    # repr() quotes the parts, so two different lists never give the same text.
    parts = repr(
        (_minute_text(minute), address or "", channel, len(identity), identity[:_MAX_PART])
    )
    digest = hmac.digest(key, _CONTEXT + parts.encode(), "sha256")
    return _grouped(base64.b32encode(digest[:10])[:_LENGTH].decode().translate(_WRITTEN_AS))


def normalize(text: str | None) -> str:
    """Return the reference that a person meant, '' when it cannot be one.

    Lower case, missing or other separators, surrounding spaces and letters that are easily misread
    (O for 0, I and L for 1, U for V) are accepted.
    """
    if not isinstance(text, str) or len(text) > 64:
        return ""
    folded = unicodedata.normalize("NFKC", text).upper().translate(_READ_AS)
    plain = "".join(char for char in folded if char.isalnum())
    if len(plain) != _LENGTH or not set(plain) <= set(_ALPHABET):
        return ""
    return _grouped(plain)


def _grouped(plain: str) -> str:
    return f"{plain[:_GROUP]}-{plain[_GROUP:]}"


def _minute_text(minute: datetime) -> str:
    if minute.tzinfo is not None:
        minute = minute.astimezone(timezone.utc)
    return minute.strftime("%Y%m%d%H%M")


def _identity_text(identity: object) -> str:
    """Return an identity of any type as text, without calling code of an unknown type."""
    if identity is None:
        return ""
    if isinstance(identity, str):
        return identity
    if type(identity) is int and identity.bit_length() <= 64:
        return str(identity)
    return f"<{type(identity).__name__}>"
