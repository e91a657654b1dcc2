"""Run the two servers side by side, check that they are alike, and measure rows on them."""

import contextlib
import gc
import os
import time
from dataclasses import dataclass

from benchmarks.beside_stock.figures import Pairs, needs_another_try, pooled
from benchmarks.beside_stock.side import opened, settings
from dev.common import ADDON, CHECKOUT_ID, die, say
from dev.servers import postgres
from dev.servers.live_server import LiveServer

# The most tries of a row; it is measured again while its interval is too wide to be judged.
MOST_TRIES = 3
# Settings that two servers cannot share.
OWN_SETTINGS = {"db_name", "dbfilter", "http_port", "gevent_port"}
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@dataclass(frozen=True)
class Measurement:
    """The measurements of a row.

    :ivar tries: all tries, in order
    :ivar queries: SQL queries of each call, by side
    :ivar cpu: seconds of processor time used by the calls, by side
    :ivar load: the machine's load average before the row
    """

    row: object
    tries: tuple
    queries: dict
    cpu: dict
    load: float

    @property
    def all_pairs(self):
        """The pairs of all tries."""
        return pooled(self.tries)


@contextlib.contextmanager
def durable_postgres():
    """Make PostgreSQL wait for the disk at each commit, as a production server does."""
    postgres.durable(True)
    try:
        if postgres.is_private():
            _wait_for_settings(DURABLE)
        yield
    finally:
        postgres.durable(False)


def _wait_for_settings(wanted):
    """Wait until PostgreSQL has read its configuration again: 5 seconds at most."""
    query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    for _attempt in range(100):
        with contextlib.closing(postgres.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(query, [list(wanted)])
            if dict(cursor.fetchall()) == wanted:
                return
        time.sleep(0.05)
    die(f"PostgreSQL does not take on {wanted}", "see its log")


@contextlib.contextmanager
def running_sides(workers, *names, **options):
    """Run servers, each with a persistent connection, and yield their sides.

    :param names: ``stock``, or names that begin with ``ours``
    :param options: more options for ``LiveServer``
    """
    with contextlib.ExitStack() as stack:
        sides = []
        for name in names:
            say(f"starting the server: {name}")
            server = LiveServer(
                f"bench_{CHECKOUT_ID}_{name}",
                workers=workers,
                with_addon=name.startswith("ours"),
                **options,
            )
            stack.enter_context(server)
            sides.append(stack.enter_context(opened(name, server)))
        yield sides


def differences(stock, ours):
    """Return the differences of two servers' settings beyond the add-on itself, one per line."""
    found = []
    for topic in stock:
        mine, theirs = dict(ours[topic]), dict(stock[topic])
        if topic == "odoo.conf":
            for name in OWN_SETTINGS:
                mine.pop(name, None)
                theirs.pop(name, None)
            mine["addons_path"] = _without_addon(mine["addons_path"])
            theirs["addons_path"] = _without_addon(theirs["addons_path"], there=False)
        if topic == "modules":
            mine.pop(ADDON, None)
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                found.append(f"{topic}: {name}: stock {theirs.get(name)}, ours {mine.get(name)}")
    return found


def _without_addon(addons_path, there=True):
    """Return the folders of the path without the add-on's, which stock must not have."""
    folders = addons_path.split(",")
    return [folder for folder in folders if not (there and folder.endswith("/.dev/addons"))]


def configuration(sides):
    """Return the settings of both sides; exit if they differ."""
    stock, ours = (settings(side.server) for side in sides)
    unlike = differences(stock, ours)
    if unlike:
        die("the two servers are not alike: " + "; ".join(unlike), "measure nothing with them")
    if ADDON in stock["modules"]:
        die("the stock server has the add-on", "make clean")
    return {"stock": stock, "ours": ours}


def measure(row, sides, most_tries=MOST_TRIES):
    """Measure a row, repeating it while it is too noisy to be judged, and return all results."""
    load = os.getloadavg()[0]
    tries, queries = [], {side.name: [] for side in sides}
    cpu = dict.fromkeys(queries, 0.0)
    numbers = iter(range(10**9))
    while not tries or needs_another_try(tries, row.promise, most_tries):
        tries.append(_try(row, sides, numbers, queries, cpu))
    return Measurement(row, tuple(tries), queries, cpu, load)


def _try(row, sides, numbers, queries, cpu):
    """Make the calls of one try: a warm-up, then pairs, with alternating order of the servers."""
    for _ in range(row.warmup):
        number = next(numbers)
        for side in sides:
            _call(row, side, number)
    marks = [side.log_mark() for side in sides]
    cpu_before = [side.cpu_seconds() for side in sides]
    seconds = {side.name: [] for side in sides}
    gc.collect()
    gc.disable()
    try:
        for turn in range(row.pairs):
            number = next(numbers)
            for side in sides if turn % 2 == 0 else reversed(sides):
                seconds[side.name].append(_call(row, side, number))
    finally:
        gc.enable()
    for side, mark, before in zip(sides, marks, cpu_before, strict=True):
        cpu[side.name] += side.cpu_seconds() - before
        queries[side.name] += side.queries_since(mark, row.pairs)
    return Pairs(*(tuple(seconds[side.name]) for side in sides))


def _call(row, side, number):
    answer = row.call(side, number)
    if answer.accepted is not row.accepted:
        done = "accepted" if answer.accepted else "refused"
        die(f"{row.name}: {done} by {side.name}", f"see {side.server.log_path}")
    return answer.seconds
