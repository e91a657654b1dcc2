"""An export misses and repeats nothing, in whatever order transactions commit."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from odoo.addons.auth_integration.tools.monitoring.export_position import (
    LONG_AGO,
    MARGIN,
    MAX_LENGTH,
    Moment,
    Position,
    Snapshot,
)

NOW = datetime(2026, 11, 25, 12)


def moment(snapshot, minutes=0, running_since=None, started="a"):
    now = NOW + timedelta(minutes=minutes)
    return Moment(snapshot, now, started, running_since or now, bool(running_since))


# Text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [0, False, None, ""])
def test_the_beginning(nothing):
    assert Position.load(nothing) == Position()


def test_round_trip():
    position = Position().resumed(moment("7:9:7,8", running_since=NOW))
    for each in (position, position.after([(NOW, 4)], 1), position.after([], 1)):
        assert Position.load(each.dump()) == each


@pytest.mark.parametrize(
    "text",
    [
        *(1, -1, True, 1.5, [], {}, b"x", "x", "0", "é", "MQ", "W10", "bnVsbA", "e30"),
        "x" * (MAX_LENGTH + 1),
        replace(Position(), seen="1; DROP TABLE x").dump(),
        replace(Position(), seen="9:7:").dump(),
        replace(Position(), current="7:9:9").dump(),
        replace(Position(), current="7:9:8,7").dump(),
        replace(Position(), current=f"7:{2**63}:").dump(),
        replace(Position(), id=-1).dump(),
        replace(Position(), id=2**63).dump(),
        replace(Position(), id="1").dump(),
        replace(Position(), started=3).dump(),
        replace(Position(), new_since=datetime(1, 1, 1)).dump(),
        replace(Position(), last_seen=datetime.max).dump(),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        Position.load(text)


# Floors -----------------------------------------------------------------------------------------


def test_new_since_is_now_when_nothing_runs():
    assert Position().resumed(moment("9:9:")).after([], 1).new_since == NOW


def test_new_since_is_where_the_oldest_running_transaction_began():
    began = NOW - timedelta(hours=3)
    found = Position().resumed(moment("7:9:7", running_since=began)).after([], 1)
    assert found.new_since == began


def test_new_since_stays_while_the_begin_is_unknown():
    first = Position().resumed(moment("7:9:7")).after([], 1)
    assert first.new_since == NOW
    second = first.resumed(moment("7:12:7,10", minutes=5)).after([], 1)
    assert second.new_since == NOW  # 7 is still running
    third = second.resumed(moment("12:15:12", minutes=10)).after([], 1)
    assert third.new_since == NOW + timedelta(minutes=5)  # 12 began after the second call


def test_a_restart_of_postgresql_forgets_the_snapshot_only():
    before = Position().resumed(moment("9:9:")).after([], 1)
    after = before.resumed(moment("5:5:", minutes=9, started="b"))
    assert (after.seen, after.new_since) == ("", NOW)


def test_a_restart_in_the_midst_of_the_first_pass_begins_at_its_last_row():
    """The first pass may be over millions of rows."""
    then = NOW - timedelta(days=100)
    before = Position().resumed(moment("9:9:")).after([(then, 4)], 1)
    after = before.resumed(moment("5:5:", started="b"))
    assert after.new_since - MARGIN == then


# Everything once ----------------------------------------------------------------------------


class Database:
    """Transactions that write rows, and a log as a snapshot sees it."""

    def __init__(self, seed):
        self.chosen = random.Random(seed)
        self.now, self.xid = NOW, 10
        self.running, self.rows = {}, {}  # xid: (row, begin); row: (xid, last_seen, version)

    def step(self, may_begin=True):
        self.now += timedelta(seconds=self.chosen.randrange(0, 90))
        if may_begin and self.chosen.random() < 0.6:
            self.running[self.xid] = self.chosen.randrange(20), self.now
            self.xid += 1
        elif self.running:
            xid = self.chosen.choice(sorted(self.running))
            row, began = self.running.pop(xid)
            _xid, seen, version = self.rows.get(row, (0, LONG_AGO, 0))
            self.rows[row] = xid, max(seen, began), version + 1

    def moment(self, known):
        running = sorted(self.running)
        snapshot = f"{min(running or [self.xid])}:{self.xid}:{','.join(map(str, running))}"
        begins = [began for _row, began in self.running.values()]
        since = min(begins, default=self.now) if known else self.now
        return Moment(snapshot, self.now, "a", since, known)

    def export(self, position, limit):
        known = self.chosen.random() < 0.5 or not position.seen
        position = position.resumed(self.moment(known))
        found = []
        for row, (xid, seen, version) in self.rows.items():
            if (
                visible(xid, position.current)
                and not (position.seen and visible(xid, position.seen))
                and seen >= position.new_since
                and (not position.id or (seen, row + 1) > (position.last_seen, position.id))
            ):
                found.append((seen, row + 1, version))
        found = sorted(found)[:limit]
        return found, position.after([each[:2] for each in found], limit)


def visible(xid, text):
    snapshot = Snapshot.parse(text)
    return xid < snapshot.xmax and xid not in snapshot.running


@pytest.mark.parametrize("seed", range(200))
def test_each_change_is_exported_once(seed):
    database, position, seen = Database(seed), Position(), []
    for _step in range(120):
        database.step()
        if database.chosen.random() < 0.3:
            found, position = database.export(position, database.chosen.choice((1, 3, 50)))
            position = Position.load(position.dump())
            seen += [(row, version) for _seen, row, version in found]
    while database.running:
        database.step(may_begin=False)
    for _rest in range(100):
        found, position = database.export(position, 5)
        seen += [(row, version) for _seen, row, version in found]
    assert len(seen) == len(set(seen)), "exported twice"
    last = {row + 1: version for row, (_xid, _seen, version) in database.rows.items()}
    assert {row: max(v for r, v in seen if r == row) for row in last} == last
