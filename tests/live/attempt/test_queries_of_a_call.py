"""The number of queries of a warm call, as counted in the server's access log."""

import pytest

from worlds.attempt import WRONG_KEY, World

PASSWORD = "a person's password"


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


CALLS = {
    "json2 good": lambda world, calls: calls.json2(world.keys["good"]),
    "json2 wrong": lambda world, calls: calls.json2(WRONG_KEY),
    "execute good": lambda world, calls: calls.execute(world.uids["worker"], world.keys["good"]),
    "execute wrong": lambda world, calls: calls.execute(world.uids["worker"], WRONG_KEY),
    "execute password": lambda world, calls: calls.execute(world.uids["person"], PASSWORD),
    "execute wrong password": lambda world, calls: calls.execute(world.uids["person"], "no"),
    "authenticate good": lambda world, calls: calls.authenticate("worker", world.keys["good"]),
    "authenticate wrong": lambda world, calls: calls.authenticate("worker", WRONG_KEY),
    "authenticate password": lambda world, calls: calls.authenticate("person", PASSWORD),
    "authenticate unknown": lambda world, calls: calls.authenticate("nobody", "no"),
    "session password": lambda world, calls: calls.session_login("person", PASSWORD),
}
BOUNDS = dict(zip(CALLS, (3, 5, 4, 10, 4, 18, 9, 16, 17, 13, 36), strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_queries_of_a_warm_call(world, name):
    """Use the smallest count of three calls, as the first call of a minute also writes."""
    calls, server, counted = world.calls(), world.server, []
    for _warm in range(4):
        mark = len(server.log_since().encode())
        CALLS[name](world, calls)
        line = server.wait_for_log(r'"POST \S+ HTTP/1\.\d" \d+ - (\d+) ', mark)
        counted.append(int(line[1]))
    assert min(counted[1:]) <= BOUNDS[name], counted
