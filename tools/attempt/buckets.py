"""Which attempts share one row of the log: equal in every column, and in the same bucket of time.

PostgreSQL's unique indexes hold null values apart, so the row is found by one hash that is never
null instead of by its columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, timezone

HASH_SIZE = 16
"""Bytes of a bucket hash: the size of PostgreSQL's ``uuid``, and of a short ``bytea``."""


def bucket_start(when: datetime, outcome: str) -> datetime:
    """Return the start of the bucket of an attempt.

    :param when: time of the attempt, aware or naive UTC
    :param outcome: ``failure`` (a bucket is a minute) or ``success`` (an hour)
    :return: naive UTC, as Odoo stores dates
    :raise ValueError: for another outcome
    """
    start = _naive_utc(when).replace(second=0, microsecond=0)
    if outcome == "failure":
        return start
    if outcome == "success":
        return start.replace(minute=0)
    raise ValueError(f"an attempt is a 'success' or a 'failure', not {outcome!r}")


def bucket_hash(columns: Mapping[str, object], start: datetime) -> bytes:
    """Return one hash over the columns that tell rows apart and the start of their bucket.

    It is stored, so its encoding never changes: a change would make new rows for old attempts,
    not wrong ones. None, '' , 0 and False are four different values.

    :param columns: value of each identifying column, as it will be written (truncated, scrubbed):
        None, bool, int, str, bytes, date or datetime. The order of the columns does not matter.
    :param start: from :func:`bucket_start`
    :return: ``HASH_SIZE`` bytes
    :raise TypeError: for a value of any other type
    """
    digest = hashlib.blake2b(digest_size=HASH_SIZE, person=b"auth.attempt.1")
    digest.update(_encoded(start))
    for name in sorted(columns):
        digest.update(_encoded(name))
        digest.update(_encoded(columns[name]))
    return digest.digest()


def _encoded(value: object) -> bytes:
    """Encode one value as type, length and bytes, so that no two lists of values look alike."""
    kind, data = _typed(value)
    return b"%b%d:%b" % (kind, len(data), data)


def _typed(value: object) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    if isinstance(value, str):
        return b"s", value.encode("utf-8", "surrogatepass")
    if isinstance(value, bool):  # before int, of which it is a subclass
        return b"b", b"1" if value else b"0"
    if isinstance(value, int):
        return b"i", b"%d" % value
    if isinstance(value, bytes):
        return b"y", value
    if isinstance(value, datetime):  # before date, of which it is a subclass
        return b"t", _naive_utc(value).isoformat().encode()
    if isinstance(value, date):
        return b"d", value.isoformat().encode()
    raise TypeError(f"a column of type {type(value).__name__} cannot identify an attempt")


def _naive_utc(when: datetime) -> datetime:
    if when.tzinfo is None:
        return when
    return when.astimezone(timezone.utc).replace(tzinfo=None)
