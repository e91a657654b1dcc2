"""How far an export has come, as the opaque ``next`` that it gives to its caller.

The rows of the log grow, and transactions commit in another order than they begin: no column
tells in one order what is new. So a position is a *sweep*, which remembers the snapshot of
PostgreSQL that the sweep before it was made in. New is what that snapshot does not see: every row
is in exactly one sweep for each time it changed, however late its transaction commits. Within a
sweep rows come by ``last_seen`` and id, which an index has.

Where in the log what is new may be follows from the ``floor``: the time since which the
transactions run that the last snapshot did not see. A row is no older than its transaction,
but for :data:`MARGIN`; late additions beyond it are named in ``auth_attempt_late``.

Transaction ids may be used again after a crash or a failover of PostgreSQL, which may lose the last
commits: after a restart the snapshot is forgotten, and what may be new is exported once more.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

MAX_LENGTH = 20_000
# More than ``auth_attempt_rollup.LATE_AFTER``, and than clocks of servers differ.
MARGIN = timedelta(minutes=90)
LONG_AGO, FAR_OFF = datetime(1970, 1, 1), datetime(9000, 1, 1)
_SNAPSHOT = re.compile(r"(\d{1,19}):(\d{1,19}):(\d{1,19}(?:,\d{1,19})*)?")
_FORMAT = "1"


class Snapshot(NamedTuple):
    """A ``pg_snapshot``: what it sees is below ``xmax`` and not in ``running``."""

    xmin: int
    xmax: int
    running: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read what PostgreSQL writes.

        :raise ValueError: it would not write this
        """
        found = _SNAPSHOT.fullmatch(text)
        if not found:
            raise ValueError("not a snapshot")
        xmin, xmax = int(found[1]), int(found[2])
        running = tuple(map(int, found[3].split(","))) if found[3] else ()
        if not 0 < xmin <= xmax < 2**63 or running != tuple(sorted(set(running))):
            raise ValueError("not a snapshot")
        if running and not (xmin <= running[0] and running[-1] < xmax):
            raise ValueError("not a snapshot")
        return cls(xmin, xmax, running)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.running))}"


class Moment(NamedTuple):
    """What PostgreSQL says of itself at the begin of a call.

    :ivar started: when it was started, as text
    :ivar running_since: begin of the oldest transaction known that the snapshot does not see, or
        ``now``
    :ivar all_known: whether the begin of each of them is known: some may have just ended
    """

    snapshot: str
    now: datetime
    started: str
    running_since: datetime
    all_known: bool


@dataclass(frozen=True)
class Position:
    """Where an export goes on.

    :ivar started: of the PostgreSQL server that the snapshots are of
    :ivar seen: snapshot of the last sweep, and ``seen_at`` its time; empty before the first one
    :ivar floor: nothing new is older than this, but for :data:`MARGIN`
    :ivar current: snapshot of the sweep under way, ``current_at`` its time, and ``next_floor`` the
        floor of the next one; empty between two sweeps
    :ivar last_seen: with ``id``, the last row of the sweep under way
    """

    started: str = ""
    seen: str = ""
    seen_at: datetime = LONG_AGO
    floor: datetime = LONG_AGO
    current: str = ""
    current_at: datetime = LONG_AGO
    next_floor: datetime = LONG_AGO
    last_seen: datetime = LONG_AGO
    id: int = 0

    def resumed(self, moment: Moment) -> Position:
        """Go on with the sweep under way, or begin one."""
        position = self
        if self.started != moment.started:
            position = self._restarted(moment)
        if position.current:
            return position
        return replace(
            position,
            current=moment.snapshot,
            current_at=moment.now,
            next_floor=position._floor_after(moment),
        )

    def after(self, rows: list[tuple], limit: int) -> Position:
        """Move behind the rows of one call: pairs of ``last_seen`` and id, in order."""
        if len(rows) >= limit:
            last_seen, id_ = rows[-1]
            return replace(self, last_seen=last_seen, id=id_)
        return Position(
            started=self.started, seen=self.current, seen_at=self.current_at, floor=self.next_floor
        )

    def _restarted(self, moment):
        """Forget snapshots whose ids may mean other transactions by now."""
        floor = self.floor
        if self.current:
            # What lies before the last row was exported, unless it is new to the sweep.
            floor = max(floor, min(self.last_seen + MARGIN, self.next_floor))
        return Position(started=moment.started, floor=floor)

    def _floor_after(self, moment):
        """The floor of the next sweep: since when what this one does not see may be running."""
        snapshot = Snapshot.parse(moment.snapshot)
        if not snapshot.running:
            return moment.now
        # Before the first sweep nothing else is known. A transaction of the log takes no second;
        # one that ended just now would have to have been open for longer than the margin.
        if moment.all_known or not self.seen:
            return min(moment.running_since, moment.now)
        if snapshot.xmin >= Snapshot.parse(self.seen).xmax:
            return self.seen_at
        return self.floor

    # As text ---------------------------------------------------------------------------------

    def dump(self) -> str:
        """Return the position as text for a caller."""
        values = [
            value.isoformat() if isinstance(value, datetime) else value
            for value in asdict(self).values()
        ]
        text = json.dumps([_FORMAT, *values], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def load(cls, text: object) -> Position:
        """Read what :meth:`dump` wrote; the beginning of the log for 0 or nothing.

        :raise ValueError: anything else
        """
        if text is None or text == "" or (isinstance(text, int) and text == 0):
            return cls()
        if not isinstance(text, str) or len(text) > MAX_LENGTH:
            raise ValueError("not a position")
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, started, seen, seen_at, floor, current, *rest = json.loads(data)
            current_at, next_floor, last_seen, id_ = rest
            moments = [datetime.fromisoformat(each)
                       for each in (seen_at, floor, current_at, next_floor, last_seen)]
        except (TypeError, RecursionError) as error:
            raise ValueError("not a position") from error
        for snapshot in filter(None, (seen, current)):
            Snapshot.parse(snapshot)
        if version != _FORMAT or type(id_) is not int or not 0 <= id_ < 2**63:
            raise ValueError("not a position")
        if not isinstance(started, str) or any(each.tzinfo for each in moments):
            raise ValueError("not a position")
        if any(not LONG_AGO <= each < FAR_OFF for each in moments):
            raise ValueError("not a position")
        return cls(started, seen, moments[0], moments[1], current, *moments[2:], id_)
