"""The attempt log on a server with several databases, behind a proxy and with IPv6.

The host name selects no database and the list of databases is hidden, so Odoo routes such requests
without a database, and calls no module of any database.
"""


import pytest

from dev.common import CHECKOUT_ID, TEST_ADDONS
from processes import each_worker
from worlds.attempt import WRONG_KEY, Calls, World

PREFIX = f"live_{CHECKOUT_ID}_attempts_databases_"
SERVER = {
    "modules": ("auth_integration", "auth_totp", "attempt_probe"),
    "extra_addons": (TEST_ADDONS,),
}
CONFIG = {
    "db_name": "",
    "dbfilter": f"^{PREFIX}",
    "list_db": "False",
    "proxy_mode": "True",
    "http_interface": "::",
}


@pytest.fixture(scope="module")
def other(live_server):
    """Another database of the same server."""
    server = live_server("other")
    server.stop()
    return server


@pytest.fixture(
    scope="module", params=["named in --load", "not in --load", "not in --load, two workers"]
)
def world(request, live_server, other):
    """A world in one of two databases, on a server that has just started and loaded neither."""
    load = {"server_wide_modules": "base,web,rpc,auth_integration"}
    config = {**CONFIG, **(load if request.param == "named in --load" else {})}
    workers = 2 if "workers" in request.param else 0
    server = live_server(request.param, config=config, workers=workers)
    made = World(server)
    made.in_load = request.param == "named in --load"
    made.first = [first_calls(made) for _worker in each_worker(server)]
    return made


def first_calls(world):
    """Make the first calls of a process; return callers and replies by the expected cause."""
    made = {}
    if world.in_load:
        caller = world.calls()
        made["authenticate_skipped"] = caller, caller.execute(False, "x")
    caller = world.calls()
    made["user_unknown"] = caller, caller.authenticate("nobody here", "x")
    return made


def line_of(world, mark):
    return [line for line in world.server.log_since(mark).splitlines() if " refused: " in line]


def test_first_calls_of_a_fresh_process(world):
    """The add-on is imported during the first call, unless ``--load`` lists it."""
    for made in world.first:
        for cause, (caller, reply) in made.items():
            [row] = caller.rows()
            assert (row["cause"], row["remote_addr"]) == (cause, "127.0.0.1")
            assert row["reference"] == reply.reference


@pytest.mark.parametrize(
    "call",
    [
        lambda c, w: c.json2(WRONG_KEY, X_Odoo_Database=w.db),
        lambda c, w: c.execute(w.uids["worker"], WRONG_KEY),
        lambda c, w: c.execute_json(w.uids["worker"], WRONG_KEY),
    ],
    ids=["json2", "xmlrpc", "jsonrpc"],
)
def test_first_call_of_a_fresh_process_is_refused_by_an_exception(world, call):
    """The response is made by another part of Odoo than that to an authenticate call."""
    world.server.restart()
    for _worker in each_worker(world.server):
        caller = world.calls()
        reply = call(caller, world)
        [row] = caller.rows()
        assert (row["cause"], row["remote_addr"]) == ("key_unknown", "127.0.0.1")
        assert row["reference"] == reply.reference


@pytest.mark.parametrize(
    "call",
    [
        lambda c, w: c.json2(w.keys["good"]),
        lambda c, w: c.json2(w.keys["good"], X_Odoo_Database="nodb"),
        lambda c, w: c.http("POST", "/web/hook/0b6e1f6c-0000-4000-8000-000000000000", "{}"),
        lambda c, w: c.xml("common", "authenticate", "nodb", "person", "x", {}),
        lambda c, w: c.json("object", "execute_kw", "nodb", 2, "x", "res.users", "read", []),
        lambda c, w: c.route("/web/session/authenticate",
                             {"db": "nodb", "login": "person", "password": "x"}),
    ],
)
def test_unknown_database_is_in_the_server_log_only(world, other, call):
    """No database has an attempt, the answer has no name, and one log line has its reference."""
    world.server.expect_log("odoo.http: Exception during request handling")
    caller = world.calls()
    mark = world.server.log_mark()
    reply = call(caller, world)
    [line] = line_of(world, mark)
    assert "address=127.0.0.1 cause=database_unknown " in line
    assert f" reference={reply.reference} " in line and "nodb" not in line
    assert caller.rows() == [] == other.sql(
        "SELECT id FROM auth_attempt WHERE user_agent = %s", [caller.agent]
    )
    assert world.db not in str(reply) and other.db not in str(reply)


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        (lambda c, w: c.execute(False, "x"), "authenticate_skipped"),
        (lambda c, w: c.execute(w.uids["worker"], ""), "secret_missing"),
        (lambda c, w: c.execute(w.uids["worker"], WRONG_KEY), "key_unknown"),
        (lambda c, w: c.authenticate("worker", w.keys["expired"]), "key_expired"),
        (lambda c, w: c.json2(WRONG_KEY, X_Odoo_Database=w.db), "key_unknown"),
        (lambda c, w: c.json2(None, "x", X_Odoo_Database=w.db), "endpoint_unknown"),
        (lambda c, w: c.http("POST", "/web/hook/abc", "{}", {"X-Odoo-Database": w.db}),
         "webhook_unknown"),
    ],
)
def test_named_database_has_the_attempt(world, other, call, cause):
    """If no database is selected, a call is recorded in the database that it names."""
    caller = world.calls()
    reply = call(caller, world)
    [row] = caller.rows()
    assert (row["cause"], row["database"], row["count"]) == (cause, world.db, 1)
    assert row["reference"] == reply.reference
    assert not other.sql("SELECT id FROM auth_attempt WHERE user_agent = %s", [caller.agent])


def test_addresses(world):
    """Tests the address behind a proxy and of IPv6; a text that is not an address is ignored."""

    def address(host="127.0.0.1", **headers):
        caller = Calls(world, host=host)
        caller.json2(WRONG_KEY, X_Odoo_Database=world.db, **headers)
        [row] = caller.rows()
        return row["remote_addr"]

    forwarded = {"X_Forwarded_Host": "erp.example.com"}
    assert address() == "127.0.0.1"  # a dual-stack socket sees ::ffff:127.0.0.1
    assert address("::1") == "::1"
    assert address(X_Forwarded_For="203.0.113.7", **forwarded) == "203.0.113.7"
    assert address(X_Forwarded_For="9.9.9.9, 203.0.113.7", **forwarded) == "203.0.113.7"
    assert address(X_Forwarded_For="2001:DB8:0:0::7", **forwarded) == "2001:db8::7"
    assert address(X_Forwarded_For="1.2.3.4 cause=none", **forwarded) is None
    assert address(X_Forwarded_For="203.0.113.7") == "127.0.0.1"


def test_addresses_over_rpc(world):
    """Odoo hides the request from RPC services, but the address is the same."""
    caller = world.calls()
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "erp.example.com"}
    caller.authenticate("nobody here", "x", headers=headers)
    caller.execute(world.uids["worker"], WRONG_KEY, headers=headers)
    assert {row["remote_addr"] for row in caller.rows()} == {"203.0.113.7"}
    assert len(caller.rows()) == 2
