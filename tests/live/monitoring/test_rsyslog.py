"""The guide's rsyslog: every event reaches the SIEM intact, despite rotations and a kill."""

import contextlib
import gzip
import http.client
import threading
import time

import pytest

from callers.clients import administrator
from dev.checks import guides
from other_servers import rsyslog
from worlds.attempt import WRONG_KEY, World

RUN = "env.ref('auth_integration.ir_cron_event_log')._trigger()"


@pytest.fixture
def path(tmp_path):
    """The path of the event log, alone in its folder."""
    (tmp_path / "log").mkdir()
    return tmp_path / "log/auth_integration.jsonl"


@pytest.fixture
def siem(tmp_path):
    """The SIEM to which rsyslog sends."""
    (tmp_path / "siem").mkdir()
    with contextlib.closing(rsyslog.Siem(tmp_path / "siem")) as siem:
        yield siem


@contextlib.contextmanager
def attempts(world):
    """An external system that calls continuously, each time with another agent."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                world.calls().json2(WRONG_KEY)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(condition, timeout=90):
    """Wait until a condition holds; return whether it did in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_written(path, agent):
    """Return whether the event log has an attempt with this agent."""
    return path.exists() and agent in path.read_text()


def exported(server):
    """Return the count of each event in the export."""
    events = administrator(server).call("auth.attempt", "export", 0, 10000)["events"]
    return {event["metadata"]["uid"]: event["count"] for event in events}


def lines(path):
    """Return all lines of the file and of its rotated versions."""
    found = []
    for each in path.parent.iterdir():
        with (gzip.open if each.suffix == ".gz" else open)(each, "rb") as file:
            found.extend(file)
    return found


def test_every_event_reaches_the_siem(live_server, path, siem, tmp_path):
    """During continuous attempts, the file is rotated three times and Odoo is killed once."""
    server = live_server(
        "rsyslog", workers=2, config={"max_cron_threads": 1}, addon_options={"event_log": path})
    world = World(server)
    with rsyslog.following(guides.example("rsyslog"), path, siem, tmp_path):
        with attempts(world):
            for what in ("rotate", "kill", "rotate", "rotate"):
                caller = world.calls()
                caller.json2(WRONG_KEY)
                server.shell(RUN)
                assert until(lambda agent=caller.agent: is_written(path, agent))
                if what == "kill":
                    server.kill9()
                    server.start()
                else:
                    rsyslog.rotate(guides.example("logrotate"), path, tmp_path)
        expected = exported(server)
        server.shell(RUN)
        assert until(lambda: siem.counts().items() >= expected.items()), missing(siem, expected)
        assert until(lambda: set(siem.lines) == set(lines(path))), "each line, byte by byte"
    assert len(list(path.parent.glob("*.gz"))) == 2 and len(expected) > 8


def missing(siem, expected):
    """Return the events that did not reach the SIEM with their last count."""
    return expected.items() - siem.counts().items()
