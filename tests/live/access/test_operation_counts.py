"""Operations of keys are counted exactly, on every protocol, in all workers, if they exist."""

import contextlib
import xmlrpc.client

import pytest

from callers.clients import Refused
from processes import each_worker
from worlds.access import SERVER_WITH_PROBE, WAYS, Rejected, get, make_key

SERVER = SERVER_WITH_PROBE
PROBE = "access.probe"
EXPECTED = "bad query|ReadOnlySqlTransaction|does not exist|Private methods|serialization"
WRITING = (
    "write_plainly", "write_as_reader", "write_after_commit", "write_after_rollback",
    "write_in_savepoint", "write_on_own_cursor", "write_at_flush", "write_after_retry", "lock",
)


def counted(server, key, restart=True):
    """Uses, writes and rejections of a key by operation; a restart makes the server store them."""
    if restart:
        server.restart()
    rows = server.sql(
        "SELECT model, method, use_count, write_count, refused_count"
        " FROM auth_integration_key_operation WHERE key_id = %s", [key.id],
    )
    return {
        (row["model"], row["method"]): (
            row["use_count"], row["write_count"], row["refused_count"]
        )
        for row in rows
    }


def attempt(call, *args):
    with contextlib.suppress(Rejected, Refused, RuntimeError, xmlrpc.client.Fault):
        call(*args)


def test_every_way_counts(server):
    key = make_key(server, "every_way")
    workers = 0
    for way in WAYS:
        for _worker in each_worker(server):
            workers += 1
            assert key.call(way, PROBE, "read_name") == "off"
            assert key.call(way, PROBE, "write_plainly")
    bearer = {"Authorization": f"Bearer {key.secret}"}
    assert get(server, "/access_probe/bearer/someone", bearer)[0] == 200
    assert get(server, "/access_probe/read", bearer)[0] == 200
    found = counted(server, key)
    assert found == {
        (PROBE, "read_name"): (workers, 0, 0),
        (PROBE, "write_plainly"): (workers, workers, 0),
        ("http", "/access_probe/bearer/<name>"): (1, 1, 0),
        ("http", "/access_probe/read"): (1, 0, 0),
    }
    [row] = server.sql(
        "SELECT operation_count, last_write_at >= operations_since AS written"
        " FROM auth_integration_key WHERE id = %s", [key.id],
    )
    assert row == {"operation_count": 4, "written": True}


def test_however_a_method_writes(server):
    server.expect_log(EXPECTED)
    key = make_key(server, "writer")
    for method in WRITING:
        assert key.call("json2", PROBE, method)
    assert key.call("json2", PROBE, "call_another") == "off"
    expected = {(PROBE, method): (1, 1, 0) for method in WRITING}
    assert counted(server, key) == expected | {(PROBE, "call_another"): (1, 0, 0)}


def test_what_does_not_exist_is_not_counted(server):
    """Calls about the key itself and unauthenticated calls are not counted either."""
    server.expect_log(".")
    key = make_key(server, "typing")
    for way in WAYS:
        attempt(key.call, way, PROBE, "no_such_method")
        attempt(key.call, way, PROBE, "_write")
        attempt(key.call, way, "no.such.model", "read")
        assert key.call(way, "auth.integration.key", "whoami")
        good, key.secret = key.secret, "0" * 40
        attempt(key.call, way, PROBE, "read_name")
        key.secret = good
    assert counted(server, key) == {}


LISTED = {"access": "listed", "operations": [[PROBE, "read_name"]]}


@pytest.mark.parametrize("access", [LISTED, {"access": "read_only"}], ids=["listed", "read_only"])
def test_what_is_not_allowed(server, access):
    """Rejected calls do not count as uses; in report mode they are uses and rejections."""
    server.expect_log(EXPECTED)
    keys = {way: make_key(server, f"{access['access']}_{way}", **access) for way in WAYS}
    for way, key in keys.items():
        assert key.call(way, PROBE, "read_name")
        with pytest.raises(Rejected):
            key.call(way, PROBE, "write_plainly")
    server.restart()
    for key in keys.values():
        assert counted(server, key, restart=False) == {
            (PROBE, "read_name"): (1, 0, 0), (PROBE, "write_plainly"): (0, 0, 1),
        }
        key.set(mode="report")
        assert counted(server, key, restart=False)[PROBE, "write_plainly"] == (0, 0, 0)
    for way, key in keys.items():
        assert key.call(way, PROBE, "write_plainly")
        assert key.call(way, PROBE, "read_name") == "off"
    server.restart()
    for key in keys.values():
        assert counted(server, key, restart=False) == {
            (PROBE, "read_name"): (2, 0, 0), (PROBE, "write_plainly"): (1, 1, 1),
        }


def test_the_next_call_of_the_thread_is_counted_for_itself(server):
    """A call leaves neither its key nor the hook for its statements in its thread."""
    first, second = make_key(server, "first"), make_key(server, "second")
    for _worker in each_worker(server):
        assert first.call("json2", PROBE, "read_name") == "off"
        assert second.call("json2", PROBE, "write_plainly")
        assert first.call("xmlrpc", PROBE, "read_name") == "off"
    number = server.workers or 1
    assert counted(server, first) == {(PROBE, "read_name"): (2 * number, 0, 0)}
    assert counted(server, second, restart=False) == {
        (PROBE, "write_plainly"): (number, number, 0)
    }
