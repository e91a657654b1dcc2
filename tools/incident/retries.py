"""How often a message that could not be sent is tried again: a few times, then it is a finding."""

from datetime import datetime, timedelta

DELAYS = (timedelta(minutes=5), timedelta(minutes=20), timedelta(hours=1), timedelta(hours=4))


def next_try(tries: int, now: datetime) -> datetime | None:
    """Return when to try again after so many failures, None when that is enough."""
    return now + DELAYS[tries - 1] if 1 <= tries <= len(DELAYS) else None
