"""How often an integration calls: propose the interval in which to expect calls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

MIN_PERIODS = 5  # fewer periods with calls are too few for a proposal
MIN_SPAN = timedelta(days=2)
MAX_HOURS = 24 * 35


def propose(periods: Iterable[tuple[datetime, datetime]]) -> int:
    """Return the hours within which a call is to be expected; 0 when too little is known.

    One and a half times the longest pause so far, in whole hours and at least one hour more than
    the whole hours of that pause. A result above ``MAX_HOURS`` also gives 0.

    :param periods: first and last call of each period with calls, in any order
    """
    ordered = sorted(periods)
    if len(ordered) < MIN_PERIODS or ordered[-1][1] - ordered[0][0] < MIN_SPAN:
        return 0
    longest, last = timedelta(), ordered[0][1]
    for first, until in ordered[1:]:
        longest = max(longest, first - last)
        last = max(last, until)
    hours = longest.total_seconds() / 3600
    proposed = max(math.ceil(hours * 1.5), math.floor(hours) + 1)
    return proposed if proposed <= MAX_HOURS else 0
