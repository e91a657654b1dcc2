"""How many rows the refused attempts of this minute made, without counting for each of them."""

from __future__ import annotations

from datetime import datetime

from odoo.tools import config

# A count serves so many attempts of this process, at most.
SERVES = 10


class FloodGauge:
    """What this process has last counted, for each of its databases.

    Below half of the limit a count is used again, by so few attempts that all processes of a server
    together make no more rows of them than the other half.  From there on every attempt counts.
    Nothing here is locked: an attempt too many that uses a count does no harm.
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

    def learn(self, database: str, minute: datetime, rows: int, limit: int) -> None:
        """Note what was counted."""
        share = limit // 2 // (config["workers"] or 1)
        self._counted[database] = minute, rows, min(SERVES, share)


flood_gauge = FloodGauge()
