"""No rule of a key is lifted by a failure, by concurrent changes, or by a replica."""

import contextlib
import functools
import threading
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Authenticate, Json2, Line, accepted, administrator, ways
from dev.common import CHECKOUT_ID
from dev.servers import postgres
from processes import each_worker, halted_at_commit, wait_for_locks

ELSEWHERE = {"source": "127.0.0.2"}
HERE_ONLY = {"allowed_networks": "127.0.0.1"}


def make_integration(server, code, **values):
    """Make an integration; return its ID, its user's ID and a key."""
    admin = administrator(server)
    [made] = admin.call("auth.integration", "create", [{"name": code, "code": code, **values}])
    key = admin.call("auth.integration", "issue_key", [made])["key"]
    [user] = server.sql("SELECT id FROM res_users WHERE login = %s", [code])
    return made, user["id"], key


def native_scopes(server, login):
    """Return the native scopes of a user's keys, in the order of creation."""
    rows = server.sql(
        "SELECT n.scope FROM res_users_apikeys n JOIN res_users u ON u.id = n.user_id"
        " WHERE u.login = %s ORDER BY n.id",
        [login],
    )
    return [row["scope"] for row in rows]


def let_in(call):
    """Whether a call is accepted; any other answer counts as a refusal."""
    try:
        return accepted(call)
    except (RuntimeError, ValueError, xmlrpc.client.Fault):
        return False


def write_rules(server, integration, **values):
    administrator(server).call("auth.integration", "write", [integration], values)


def test_a_rule_holds_from_the_next_call_on(server):
    """Adding or removing a rule takes effect in every worker that has accepted the key."""
    integration, uid, key = make_integration(server, "next_call")
    for allowed, values in ((True, {}), (False, HERE_ONLY), (True, {"allowed_networks": False})):
        if values:
            write_rules(server, integration, **values)
        for _worker in each_worker(server):
            assert all(map(accepted, ways(server, uid, "next_call", key).values()))
            found = {accepted(call) for call in
                     ways(server, uid, "next_call", key, **ELSEWHERE).values()}
            assert found == {allowed}
    assert native_scopes(server, "next_call") == ["rpc"]


def test_rules_by_sql_close_the_key_on_its_first_call(server):
    """From that call on, Odoo alone would also refuse it."""
    integration, uid, key = make_integration(server, "by_sql")
    assert all(map(accepted, ways(server, uid, "by_sql", key).values()))
    server.sql(
        "UPDATE auth_integration SET allowed_networks = '127.0.0.1' WHERE id = %s", [integration]
    )
    assert native_scopes(server, "by_sql") == ["rpc"]
    assert not accepted(ways(server, uid, "by_sql", key, **ELSEWHERE)["json2"])
    assert native_scopes(server, "by_sql") == ["auth_integration"]
    assert all(map(accepted, ways(server, uid, "by_sql", key).values()))


def test_a_call_does_not_wait_for_the_native_scope(server):
    """If the row is locked, the call is still judged, and a warning is logged."""
    integration, uid, key = make_integration(server, "locked")
    assert accepted(ways(server, uid, "locked", key)["json2"])
    server.sql(
        "UPDATE auth_integration SET allowed_networks = '127.0.0.1' WHERE id = %s", [integration]
    )
    server.expect_log("Odoo alone would not hold an API key to its rules")
    with contextlib.closing(postgres.connect(server.db)) as holder:
        holder.cursor().execute(
            "BEGIN; SELECT FROM res_users_apikeys WHERE user_id = %s FOR UPDATE", [uid]
        )
        assert accepted(ways(server, uid, "locked", key)["json2"])
        assert not accepted(ways(server, uid, "locked", key, **ELSEWHERE)["json2"])
        holder.cursor().execute("ROLLBACK")


def test_rules_are_written_while_a_key_is_verified(server):
    """Every call that begins after the new rules is subject to them."""
    integration, uid, key = make_integration(server, "waits")
    assert accepted(ways(server, uid, "waits", key)["json2"])
    with contextlib.closing(postgres.connect(server.db)) as holder, ThreadPoolExecutor(2) as pool:
        holder.cursor().execute("BEGIN; LOCK TABLE auth_integration IN ACCESS EXCLUSIVE MODE")
        calls = ways(server, uid, "waits", key, **ELSEWHERE)
        running = [pool.submit(let_in, calls[way]) for way in ("json2", "xmlrpc")]
        assert wait_for_locks(server, 2, *running)
        holder.cursor().execute(
            "UPDATE auth_integration SET allowed_networks = '127.0.0.1' WHERE id = %s; COMMIT",
            [integration],
        )
        for call in running:
            call.result()
    for _worker in each_worker(server):
        assert not any(map(let_in, ways(server, uid, "waits", key, **ELSEWHERE).values()))


def test_a_key_issued_while_rules_are_written_has_them(server):
    """Neither transaction sees what the other writes: the later one is retried."""
    integration, _uid, _key = make_integration(server, "raced")
    admin = administrator(server)
    if server.workers:
        accepted(ways(server, 2, "admin", server.administrator_key)["json2"])
    with ThreadPoolExecutor(1) as pool:
        with halted_at_commit(
            server, "auth_integration", lambda: write_rules(server, integration, **HERE_ONLY),
            on="UPDATE",
        ):
            other = Json2(server, server.administrator_key)
            issued = pool.submit(
                other.call, "auth.integration", "issue_key", ids=[integration], name="raced"
            )
            assert wait_for_locks(server, 2, issued), issued.result()
        assert issued.result()["key"]
    assert native_scopes(server, "raced") == ["auth_integration", "auth_integration"]
    admin.call("auth.integration", "write", [integration], {"allowed_networks": False})
    assert native_scopes(server, "raced") == ["rpc", "rpc"]


def test_bearer_routes_of_other_modules(server):
    """A route that renders a page for a key also applies the key's rules."""
    integration, _uid, key = make_integration(server, "documents")
    write_rules(server, integration, **HERE_ONLY)

    def status(**line):
        headers = {"Authorization": f"Bearer {key}"}
        return Line(server, **line).request("GET", "/doc-bearer/index.json", None, headers)[0]

    assert status(**ELSEWHERE) == 401
    assert status() in (200, 403, 404)  # the key was accepted, whatever it may see there


# A replica and a small pool ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def replica(live_server):
    """A server that reads from a replica and has very few connections."""
    name = f"reader_{CHECKOUT_ID}"
    with contextlib.closing(postgres.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN SUPERUSER")
        yield live_server(
            "replica",
            config={"dev_mode": "replica", "db_replica_user": name, "db_maxconn": 8},
        )
        cursor.execute(f"DROP ROLE {name}")


def test_replica_with_a_used_up_pool(replica):
    """While fourteen clients try wrong passwords, no call from a forbidden address is accepted."""
    server = replica
    _integration, _uid, key = make_integration(server, "pooled", **HERE_ONLY)
    _other, _uid, free = make_integration(server, "free")
    server.expect_log(".")
    over = threading.Event()

    def guess(number):
        while not over.is_set():
            with contextlib.suppress(Exception):  # without a connection, the response is not XML
                Authenticate(server, "admin", f"wrong {number}").call()

    def call(key, **line):
        client = Json2(server, key, Line(server, **line))
        return let_in(functools.partial(client.call, "res.users", "search_count", domain=[]))

    assert call(key) and not call(key, **ELSEWHERE)
    with ThreadPoolExecutor(14 + 4) as pool:
        guessing = [pool.submit(guess, number) for number in range(14)]
        try:
            forbidden = [pool.submit(call, key, **ELSEWHERE) for _number in range(120)]
            assert not any(answer.result() for answer in forbidden)
        finally:
            over.set()
        for guesser in guessing:
            guesser.result()
    assert call(key) and call(free) and not call(key, **ELSEWHERE)
