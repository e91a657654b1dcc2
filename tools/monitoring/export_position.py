"""How far an export has come, as the opaque ``next`` that it gives to its caller.

The rows of the log grow, and transactions commit in another order than they begin: no column
tells in one order what is new. So the log is read in *passes*. Each remembers the snapshot of
PostgreSQL in which the pass before it was made. New is what that snapshot does not see: every row
is in exactly one pass for each time it changed, however late its transaction commits. Within a
pass rows come by ``last_seen`` and id, which an index has.

Where in the log to look for what is new says ``new_since``: the time since which the
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
# More than ``auth_attempt_report_rollup.LATE_AFTER``, and than clocks of servers differ.
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
    :ivar seen: snapshot of the last pass, and ``seen_at`` its time; empty before the first one
    :ivar new_since: nothing new is older than this, but for :data:`MARGIN`
    :ivar current: snapshot of the pass under way, ``current_at`` its time, and ``next_new_since``
        what ``new_since`` is in the next one; empty between two passes
    :ivar last_seen: with ``id``, the last row of the pass under way
    """

    started: str = ""
    seen: str = ""
    seen_at: datetime = LONG_AGO
    new_since: datetime = LONG_AGO
    current: str = ""
    current_at: datetime = LONG_AGO
    next_new_since: datetime = LONG_AGO
    last_seen: datetime = LONG_AGO
    id: int = 0

    def resumed(self, moment: Moment) -> Position:
        """Go on with the pass under way, or begin one."""
        position = self
        if self.started != moment.started:
            position = self._restarted(moment)
        if position.current:
            return position
        return replace(
            position,
            current=moment.snapshot,
            current_at=moment.now,
            next_new_since=position._new_since_after(moment),
        )

    def after(self, rows: list[tuple], limit: int) -> Position:
        """Move behind the rows of one call: pairs of ``last_seen`` and id, in order."""
        if len(rows) >= limit:
            last_seen, id_ = rows[-1]
            return replace(self, last_seen=last_seen, id=id_)
        return Position(
            started=self.started,
            seen=self.current,
            seen_at=self.current_at,
            new_since=self.next_new_since,
        )

    def _restarted(self, moment):
        """Forget snapshots whose ids may mean other transactions by now."""
        new_since = self.new_since
        if self.current:
            # What lies before the last row was exported, unless it is new to the pass.
            new_since = max(new_since, min(self.last_seen + MARGIN, self.next_new_since))
        return Position(started=moment.started, new_since=new_since)

    def _new_since_after(self, moment):
        """Since when what this pass does not see may be running: ``new_since`` of the next one."""
        snapshot = Snapshot.parse(moment.snapshot)
        if not snapshot.running:
            return moment.now
        # Before the first pass nothing else is known. A transaction of the log takes no second;
        # one that ended just now would have to have been open for longer than the margin.
        if moment.all_known or not self.seen:
            return min(moment.running_since, moment.now)
        if snapshot.xmin >= Snapshot.parse(self.seen).xmax:
            return self.seen_at
        return self.new_since

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
            version, started, seen, seen_at, new_since, current, *rest = json.loads(data)
            current_at, next_new_since, last_seen, id_ = rest
            moments = [datetime.fromisoformat(each)
                       for each in (seen_at, new_since, current_at, next_new_since, last_seen)]
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
