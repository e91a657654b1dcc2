"""When PostgreSQL is down or a table of the add-on is locked, the caller is not blamed."""

import contextlib
import re

import pytest

from dev.servers import postgres
from other_servers.cut_line import CutLine
from processes import each_worker
from worlds.attempt import WRONG_KEY, World

PASSWORD = "a person's password"
SERVER = {"workers": 2}


@pytest.fixture(scope="module")
def line():
    """The connection to PostgreSQL for everything that this module starts."""
    made = CutLine()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PGHOST", str(made.folder))
        yield made
    made.close()


@pytest.fixture(scope="module", params=["by filter", "by name"])
def world(request, live_server, line):
    """A server that selects its database by the name in the call, and one with a fixed database."""
    config = {"dbfilter": ""} if request.param == "by name" else {}
    return World(live_server(request.param, config=config))


CALLS = {
    "json2": lambda c, w: c.json2(w.keys["good"]),
    "json2, wrong key": lambda c, w: c.json2(WRONG_KEY),
    "authenticate": lambda c, w: c.authenticate("person", PASSWORD),
    "execute_kw": lambda c, w: c.execute(w.uids["worker"], w.keys["good"]),
    "jsonrpc": lambda c, w: c.execute_json(w.uids["worker"], w.keys["good"]),
    "jsonrpc authenticate": lambda c, w: c.json("common", "login", w.db, "person", PASSWORD),
    "session": lambda c, w: c.session_login("person", PASSWORD),
    "webhook": lambda c, w: c.http("POST", "/web/hook/8d3b2a4e-0000-4000-8000-000000000000"),
    "database header": lambda c, w: c.json2(w.keys["good"], X_Odoo_Database=w.db),
}


@contextlib.contextmanager
def locked(world, table):
    """Another transaction holds an exclusive lock on a table, so it cannot even be read."""
    with contextlib.closing(postgres.connect(world.db)) as other, other.cursor() as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        cursor.execute("ROLLBACK")


@pytest.mark.parametrize(
    "table", ["auth_integration", "auth_integration_key", "auth_attempt", "auth_attempt_budget"]
)
def test_lock_on_our_tables_stops_no_login(world, table):
    """After the short lock timeout, stock Odoo decides, while the lock is still held."""
    world.server.expect_log(".")
    for _worker in each_worker(world.server):  # cache the identity in each worker
        world.calls().json2(world.keys["personal"])
    with locked(world, table):
        for _worker in each_worker(world.server):
            assert world.calls().json2(world.keys["personal"]).status == 200
            reply = world.calls().execute(world.uids["person"], world.keys["personal"])
            assert reply.detail == "dict"
            assert world.calls().authenticate("person", PASSWORD).detail == "int"
            assert world.calls().session_login("person", PASSWORD).detail == "dict"
            assert world.calls().json2(WRONG_KEY).status == 401


def test_lock_timeout_of_ours_does_not_stay_with_the_caller(world):
    """The lock timeout of the caller's own statements stays the same, also after waiting."""
    found = world.server.shell(
        """
        from odoo.addons.auth_integration.tools import hook_queries

        READS = "SELECT current_setting('lock_timeout') FROM auth_integration LIMIT %(one)s"

        def asked(own):
            try:
                during = hook_queries.query(env(cr=own), READS, {"one": 1})[0][0]
            except hook_queries.TableLockedError:
                during = "locked"
            own.execute("SHOW lock_timeout")
            return during, *own.fetchone()

        def asked_twice():
            with registry.cursor() as own:
                first = asked(own)
                own.execute("SET LOCAL lock_timeout = '7s'")
                return first, asked(own)

        result = [asked_twice()]
        with registry.cursor() as other:
            other.execute("LOCK TABLE auth_integration IN ACCESS EXCLUSIVE MODE")
            result.append(asked_twice())
        """
    )
    assert found == [[["0", "0"], ["7s", "7s"]], [["locked", "0"], ["locked", "7s"]]]


@pytest.mark.parametrize("name", CALLS)
def test_outage_is_not_the_callers_fault(world, line, name):
    """A call that Odoo cannot serve is not recorded as a wrong database, request or credential."""
    world.server.expect_log(".")
    for _warm in range(4):  # the processes have their connections then
        CALLS[name](world.calls(), world)
    mark = world.server.log_mark()
    line.cut()
    try:
        for _again in range(6):  # first connections break, then none can be opened
            with contextlib.suppress(OSError):
                CALLS[name](world.calls(), world)
    finally:
        line.mend()
    log = world.server.log_since(mark)
    causes = re.findall(r"Authentication refused: address=\S+ cause=(\w+)", log)
    causes += re.findall(r'Attempt not written: .*"cause": "(\w+)"', log)
    assert set(causes) == {"internal_error"}
    assert world.calls().json2(world.keys["good"]).status == 200
