"""Mixed traffic for SOAK_MINUTES: the log equals the answers, and nothing keeps growing.

``make test`` runs it for a few seconds, ``make soak`` for fifteen minutes.
"""

import os
import random
import time
from pathlib import Path

import pytest

from callers.traffic import Traffic
from worlds.attempt import World

SERVER = {"workers": 2, "config": {"max_cron_threads": 1}}
SECONDS = float(os.environ.get("SOAK_MINUTES") or 0.1) * 60
# Memory that the allocator of a long process and Odoo's own caches may keep.
MAX_GROWTH_MB = 32


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


def memory_mb(server):
    """Return the resident memory of each worker in MB, by process ID."""
    sizes = {}
    for pid in server.worker_pids():
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        sizes[pid] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return sizes


def connections(server):
    [row] = server.sql(
        "SELECT count(*) AS count FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    return row["count"]


def test_nothing_grows(world):
    server = world.server
    traffic = Traffic(world, random.Random(), callers=8, outlasts=True)
    traffic.wait_for(200)  # everything that is loaded once is loaded
    began, before, most = time.monotonic(), memory_mb(server), connections(server)
    while time.monotonic() - began < SECONDS:  # what leaks, leaks with time
        traffic.wait_for(100)
        most = max(most, connections(server))
    after = memory_mb(server)
    traffic.end()
    print(f"\n{sum(traffic.answered.values())} calls, {most} connections, MB: {before} {after}")
    assert after.keys() == before.keys(), "a worker was replaced"
    grown = {pid: after[pid] - before[pid] for pid in before}
    assert max(grown.values()) < MAX_GROWTH_MB, grown
    # For each worker and the cron: the connections of the request or job, the add-on, the buffer,
    # and the timer for incidents; two of the websocket process, and one of this test.
    assert most <= 3 * 4 + 3
    server.restart()
    assert not traffic.refused
    assert not traffic.mistakes(server)
    [row] = server.sql("SELECT count(*) AS rows, sum(count) AS calls FROM auth_attempt")
    # By minute and caller: 24 callers with three kinds of calls, over two protocols.
    minutes = SECONDS / 60 + 2
    assert row["rows"] <= 24 * (3 * minutes + 6), row
