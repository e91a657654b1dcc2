"""The position of an export in the log: the opaque ``next`` that it returns to its caller.

Rows of the log are updated, and transactions commit in another order than they begin, so no column
gives one order of what is new. So the log is read in *passes*. Each position stores the PostgreSQL
snapshot in which the previous pass was made. New is what that snapshot does not see: every row is
in exactly one pass for each time it changed, however late its transaction commits. Within a pass,
rows are ordered by ``last_seen`` and ID, for which there is an index.

``new_since`` limits where in the log to look for new rows: it is the time since which the
transactions run that the last snapshot did not see. A row is no older than its transaction, except
for :data:`MARGIN`; late additions beyond it are listed in ``auth_attempt_late``.

Transaction IDs may be used again after a crash or a failover of PostgreSQL, which may lose the last
commits. So after a restart the snapshot is discarded, and what may be new is exported once more.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

MAX_LENGTH = 20_000
# More than ``auth_attempt_report_rollup.LATE_AFTER`` and than the clocks of servers differ.
MARGIN = timedelta(minutes=90)
LONG_AGO, FAR_OFF = datetime(1970, 1, 1), datetime(9000, 1, 1)
_SNAPSHOT = re.compile(r"(\d{1,19}):(\d{1,19}):(\d{1,19}(?:,\d{1,19})*)?")
_FORMAT = "1"


class Snapshot(NamedTuple):
    """A ``pg_snapshot``: it sees the transactions below ``xmax`` that are not in ``running``."""

    xmin: int
    xmax: int
    running: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read a snapshot in the text format of PostgreSQL.

        :raise ValueError: the text is not a valid snapshot
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
    """The state of PostgreSQL at the beginning of a call.

    :ivar started: start time of the server, as text
    :ivar running_since: begin of the oldest known transaction that the snapshot does not see, or
        ``now``
    :ivar all_known: whether the begin of each such transaction is known: some may have just ended
    """

    snapshot: str
    now: datetime
    started: str
    running_since: datetime
    all_known: bool


@dataclass(frozen=True)
class Position:
    """Where an export continues.

    :ivar started: start time of the PostgreSQL server that the snapshots belong to
    :ivar seen: snapshot of the last pass, and ``seen_at`` its time; empty before the first one
    :ivar new_since: nothing new is older than this, except for :data:`MARGIN`
    :ivar current: snapshot of the current pass, ``current_at`` its time, and ``next_new_since``
        the value of ``new_since`` in the next one; empty between two passes
    :ivar last_seen: with ``id``, the last exported row of the current pass
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
        """Return the position to continue the current pass, or to begin one."""
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
        """Return the position after the rows of one call: ``last_seen`` and ID pairs, in order."""
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
        """Discard the snapshots, whose IDs may belong to other transactions after a restart."""
        new_since = self.new_since
        if self.current:
            # Rows before the last one were exported, unless they are new since the pass began.
            new_since = max(new_since, min(self.last_seen + MARGIN, self.next_new_since))
        return Position(started=moment.started, new_since=new_since)

    def _new_since_after(self, moment):
        """Return ``new_since`` of the next pass: the earliest begin of what this one cannot see."""
        snapshot = Snapshot.parse(moment.snapshot)
        if not snapshot.running:
            return moment.now
        # Before the first pass, nothing else is known. Transactions of the log take less than a
        # second, so one that ended just now has not been open for longer than the margin.
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
        """Read the text written by :meth:`dump`; 0 or an empty value is the beginning of the log.

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
