"""How many rows the refused attempts of this minute made, without counting for each of them."""

from __future__ import annotations

from datetime import datetime

# A count serves so many attempts of this process.
SERVES = 10


class FloodGauge:
    """What this process has last counted, for each of its databases.

    Below half of the limit a count is used again: until then all processes of a server together
    cannot pass the limit unseen by much.  From there on every attempt counts.  Nothing here is
    locked: an attempt too many that uses a count does no harm.
    """

    def __init__(self):
        self._counted = {}  # database: (minute, rows, how many attempts it still serves)

    def estimate(self, database: str, minute: datetime, limit: int) -> int | None:
        """Return the number of new rows in this minute, as far as it matters, or None: count.

        :param limit: from how many rows on a minute is a flood
        """
        of_minute, rows, serves = self._counted.get(database, (None, 0, 0))
        if of_minute != minute or not serves or rows >= limit // 2:
            return None
        self._counted[database] = minute, rows, serves - 1
        return rows

    def learn(self, database: str, minute: datetime, rows: int) -> None:
        """Note what was counted."""
        self._counted[database] = minute, rows, SERVES


flood_gauge = FloodGauge()
