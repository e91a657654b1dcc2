"""The event log file has every event at least once, whatever happens to it and its writers."""

import json
import os
import shutil
import time

import pytest
import tomlkit

from callers.clients import administrator
from dev.checks import guides, ocsf_schema
from dev.servers import postgres
from worlds.attempt import WRONG_KEY, World

JOB = "auth_integration.ir_cron_event_log"
RUN = "env.ref(job).method_direct_trigger()"
FINDINGS = """
    result = env["auth.integration.finding"].search_count([("code", "=", "event_log_unwritable")])
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The path that Vector is configured for, in a temporary folder."""
    [named] = tomlkit.parse(guides.example("vector"))["sources"]["odoo_auth"]["include"]
    assert f"event_log = {named}\n" in guides.example("event-log")
    assert f"{named} {{" in guides.example("logrotate")
    return tmp_path_factory.mktemp("log") / named.rpartition("/")[2]


@pytest.fixture(scope="module", params=[0, 2], ids=["threaded", "workers2"])
def world(request, live_server, path):
    return World(live_server(
        f"workers{request.param}", workers=request.param, addon_options={"event_log": path}))


@pytest.fixture(autouse=True)
def fresh(world, path):
    """Start with an empty file, after writing all earlier events."""
    run(world)
    for each in path.parent.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def run(world):
    """Run the scheduled action once; return the number of findings that it cannot write."""
    world.server.shell(RUN, job=JOB)
    return world.server.shell(FINDINGS)


class Follower:
    """Follow a file as Vector does: by its name, and to its end if it was moved away."""

    def __init__(self, path):
        self.path, self.file, self.events = path, None, []

    def read(self):
        if self.file:
            self._read_rest()
        if self.path.exists() and (
            not self.file or self.path.stat().st_ino != self._inode
        ):
            self.file = open(self.path)
            self._inode = self.path.stat().st_ino
            self._read_rest()
        return self.events

    def _read_rest(self):
        for line in self.file:
            assert line.endswith("\n")
            self.events.append(json.loads(line))

    def of(self, caller):
        return [e for e in self.read() if e["unmapped"].get("user_agent") == caller.agent]


def test_the_same_events_as_the_export(world, path):
    caller, follower = world.calls(), Follower(path)
    caller.json2(WRONG_KEY), caller.json2(world.keys["good"])
    assert run(world) == 0
    exported = administrator(world.server).call("auth.attempt", "export", 0, 10000)["events"]
    mine = [e for e in exported if e["unmapped"].get("user_agent") == caller.agent]
    assert len(mine) == 2 and follower.of(caller) == mine
    for event in follower.events:
        ocsf_schema.check(event)
    run(world)
    assert len(follower.of(caller)) == 2
    assert path.stat().st_mode & 0o777 == 0o640


def test_rotation(world, path):
    """When the file is moved away at any time, new lines go to a new file, and none is lost."""
    caller, follower = world.calls(), Follower(path)
    for number in range(3):
        caller.json2(f"{number:040x}"[::-1])
        caller.authenticate("worker", f"{number:040x}")
        run(world)
        follower.read()
        path.rename(path.with_suffix(f".{number}"))
    assert len(follower.of(caller)) >= 2 and not path.exists()
    last = {event["metadata"]["uid"]: event["count"] for event in follower.of(caller)}
    assert sum(last.values()) == 6


@pytest.mark.parametrize("obstacle", ["folder", "full", "a pipe"])
def test_an_unwritable_file_is_a_finding_and_hinders_nobody(world, path, obstacle):

    world.server.expect_log("event log .* cannot be written")
    if obstacle == "a pipe":
        os.mkfifo(path)
    elif obstacle == "full":
        path.symlink_to("/dev/full")
    else:
        path.mkdir()
    caller, follower = world.calls(), Follower(path)
    assert caller.json2(world.keys["good"]).status == 200
    assert caller.json2(WRONG_KEY).status == 401
    assert run(world) == 1
    path.rmdir() if path.is_dir() else path.unlink()
    assert run(world) == 0
    assert len(follower.of(caller)) == 2, "events waited"


def test_a_line_cut_off_by_a_kill_spoils_no_other(world, path):
    caller = world.calls()
    path.write_text('{"class_uid": 3002, "cut')
    caller.json2(WRONG_KEY)
    run(world)
    first, *rest = path.read_text().splitlines()
    assert first == '{"class_uid": 3002, "cut'
    assert any(json.loads(line)["unmapped"].get("user_agent") == caller.agent for line in rest)


def test_killed_between_the_file_and_the_commit(world, path):
    """The lines are written again with the same uid and count; none is missing."""
    caller, follower = world.calls(), Follower(path)
    caller.json2(WRONG_KEY)
    server = world.server
    with pytest.raises(RuntimeError, match="the shell ended"):
        server.shell(
            """
            import os
            from odoo.addons.auth_integration.tools.monitoring import event_file
            append = event_file.append
            def killed(*arguments):
                append(*arguments)
                os.kill(os.getpid(), 9)
            event_file.append = killed
            env.ref(job).method_direct_trigger()
            """, job=JOB)
    server._shell = None
    [event] = follower.of(caller)
    run(world)
    assert follower.of(caller) == [event, event]


def test_one_writer_at_a_time(world, path):
    """While one process writes, another does nothing; afterwards everything is there once."""

    caller, follower = world.calls(), Follower(path)
    caller.json2(WRONG_KEY)
    other = postgres.connect(world.db)
    other.autocommit = False
    with other.cursor() as cursor:
        cursor.execute("SELECT FROM auth_attempt_event_log FOR UPDATE")
        run(world)
        assert not follower.of(caller)
    other.rollback()
    other.close()
    run(world)
    assert len(follower.of(caller)) == 1


def test_the_scheduled_action_of_a_server_writes_and_survives_kills(live_server, tmp_path):
    """With cron, traffic, and kill -9 of the whole server, every event is in the file."""
    path = tmp_path / "events.jsonl"
    server = live_server(
        "cron", workers=2, config={"max_cron_threads": 1}, addon_options={"event_log": path})
    world, follower = World(server), Follower(path)
    callers = []
    for _round in range(3):
        callers.append(world.calls())
        callers[-1].json2(WRONG_KEY), callers[-1].json2(world.keys["good"])
        server.shell("env.ref(job)._trigger()", job=JOB)
        server.kill9()
        server.start()
    server.shell("env.ref(job)._trigger()", job=JOB)
    deadline = time.monotonic() + 90  # for the scheduled job, which begins within a minute
    while not all(len(follower.of(caller)) >= 2 for caller in callers):
        assert time.monotonic() < deadline
        time.sleep(0.2)
