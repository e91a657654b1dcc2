"""Which attempts share one log row: those with equal columns in the same time bucket.

PostgreSQL's unique indexes treat null values as distinct, so a row is found by one hash that is
never null instead of by its columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone

_TYPES = frozenset({type(None), bool, int, str})
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
    """Return a hash of the columns that distinguish rows and of the start of their bucket.

    The hash is stored, so its encoding must not change. A change would create new rows for old
    attempts, but no wrong ones. None, '' , 0 and False are four different values.

    :param columns: value of each identifying column, as it will be written (truncated, scrubbed):
        None, bool, int or str. The order of the columns does not matter.
    :param start: from :func:`bucket_start`
    :return: ``HASH_SIZE`` bytes
    :raise TypeError: for a value of any other type
    """
    if others := set(map(type, columns.values())) - _TYPES:
        raise TypeError(f"a column of type {others.pop().__name__} cannot identify an attempt")
    # repr() quotes the values, so two different lists never give the same text.
    text = repr((_naive_utc(start).isoformat(), sorted(columns.items())))
    return hashlib.blake2b(
        text.encode(), digest_size=HASH_SIZE, person=b"auth.attempt.2"
    ).digest()


def _naive_utc(when: datetime) -> datetime:
    if when.tzinfo is None:
        return when
    return when.astimezone(timezone.utc).replace(tzinfo=None)
