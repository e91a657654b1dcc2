"""Retries of a message that could not be sent: a few, then it becomes a finding."""

from datetime import datetime, timedelta

DELAYS = (timedelta(minutes=5), timedelta(minutes=20), timedelta(hours=1), timedelta(hours=4))


def next_try(tries: int, now: datetime) -> datetime | None:
    """Return when to try again after this many failures, None when there are no more retries."""
    return now + DELAYS[tries - 1] if 1 <= tries <= len(DELAYS) else None
