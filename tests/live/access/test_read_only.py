"""A read-only key cannot change anything, whatever a method does."""

import contextlib
import dataclasses
import xmlrpc.client

import pytest

from dev.common import CHECKOUT_ID
from dev.servers import postgres
from processes import each_worker
from worlds.access import (
    CHANNEL_OF_WAY,
    SERVER_WITH_PROBE,
    WAYS,
    Rejected,
    get,
    make_key,
    make_room_in_the_log,
    rejected,
)

SERVER = SERVER_WITH_PROBE
EXPECTED = "bad query|ReadOnlySqlTransaction"
WRITING = [
    "write_plainly",
    "write_as_reader",
    "write_after_commit",
    "write_after_rollback",
    "write_in_savepoint",
    "write_on_own_cursor",
    "write_at_flush",
    "write_after_retry",
    "lock",
    "clear_caches_of_all",
    "swallow_badly",
]


@pytest.fixture(scope="module")
def reader(server):
    make_room_in_the_log(server)
    return make_key(server, "reader", access="read_only")


@pytest.fixture(scope="module")
def writer(server):
    return make_key(server, "writer")


def rows(server):
    [row] = server.sql("SELECT count(*) AS number FROM access_probe")
    return row["number"]


@pytest.mark.parametrize("way", WAYS)
def test_it_reads(server, reader, way):
    for _worker in each_worker(server):
        assert reader.call(way, "access.probe", "read_name") == "on"


@pytest.mark.parametrize("method", WRITING)
@pytest.mark.parametrize("way", WAYS)
def test_it_writes_nothing(server, reader, way, method):
    server.expect_log(EXPECTED)
    place = CHANNEL_OF_WAY[way], f"access.probe.{method}"
    before = rows(server), rejected(server, reader).get(place, 0)
    with pytest.raises(Rejected, match=f"can only read data. access.probe.{method} was rejected"):
        reader.call(way, "access.probe", method)
    assert (rows(server), rejected(server, reader)[place]) == (before[0], before[1] + 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_key_writes(server, reader, writer, way):
    """The same methods work with another key on the same connections."""
    server.expect_log(EXPECTED)
    for method in WRITING[:-1]:
        for _worker in each_worker(server):
            before = rows(server)
            with contextlib.suppress(Rejected):
                reader.call(way, "access.probe", "write_plainly")
            assert writer.call(way, "access.probe", method)
            if method.startswith("write"):
                assert rows(server) > before


def test_what_a_method_swallows_is_not_written(server, reader):
    server.expect_log(EXPECTED)
    before = rows(server)
    assert reader.call("json2", "access.probe", "swallow") == "swallowed"
    with pytest.raises((Rejected, xmlrpc.client.Fault)):
        reader.call("xmlrpc", "access.probe", "write_lazily")
    assert rows(server) == before


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_rejected_call_is_left_to_the_next(server, reader, way):
    """One worker serves both calls; pending signals of the rejected one would fail the next one."""
    server.expect_log(EXPECTED)
    for _worker in each_worker(server):
        with pytest.raises(Rejected):
            reader.call(way, "access.probe", "clear_caches_of_all")
    for _worker in each_worker(server):
        assert reader.call(way, "access.probe", "read_name") == "on"


def test_routes_of_other_modules(server, reader, writer):
    """Whatever verifies the key, a read-only key writes nothing, and a full key writes."""
    server.expect_log(EXPECTED)
    routes = {
        "/access_probe/bearer/name": ({"Authorization": "Bearer {}"}, 403),
        "/access_probe/own_key": ({"X-Probe-Key": "{}"}, 403),
        "/access_probe/public": ({"X-Probe-Key": "{}"}, 200),
    }
    for path, (headers, status) in routes.items():
        before = rows(server)
        answer = get(server, path, {k: v.format(reader.secret) for k, v in headers.items()})
        assert answer[0] == status and not answer[1].isdigit(), (path, answer)
        assert rows(server) == before, path
        answer = get(server, path, {k: v.format(writer.secret) for k, v in headers.items()})
        assert answer[0] == 200 and answer[1].isdigit(), (path, answer)
        assert rows(server) == before + 1, path
    operations = {operation for _channel, operation in rejected(server, reader)}
    assert {"/access_probe/bearer/<name>", "/access_probe/own_key"} <= operations
    assert "/access_probe/public" in operations
    bearer = {"Authorization": f"Bearer {reader.secret}"}
    assert get(server, "/access_probe/read", bearer) == (200, str(rows(server)))


def test_uses_are_still_counted(server):
    """The log, the uses and the first use are written on the add-on's own connections."""
    key = make_key(server, "counted_reader", access="read_only")
    for way in WAYS:
        assert key.call(way, "access.probe", "read_name") == "on"
    [row] = server.sql(
        "SELECT first_used_at, last_used_address, use_count FROM auth_integration_key"
        " WHERE id = %s", [key.id],
    )
    assert row["first_used_at"] and row["last_used_address"] == "127.0.0.1"
    [row] = server.sql(
        "SELECT count(DISTINCT channel) AS channels FROM auth_attempt WHERE key_id = %s"
        " AND outcome = 'success'", [key.id],
    )
    assert row["channels"] == 3


def test_it_can_tell_and_replace_itself(server):
    """whoami and rotate work, and the new key is also read-only."""
    key = make_key(server, "rotating_reader", access="read_only")
    assert key.call("json2", "auth.integration.key", "whoami")["access"] == "read_only"
    server.shell(
        """
        key = env["auth.integration.key"].browse(id)
        key.integration_id.policy_id = env["auth.integration.policy"].create(
            {"name": "fetches itself", "delivery": "self_service"})
        env["auth.integration.rotation"]._open(key, env.user)
        env.cr.execute("UPDATE auth_integration_key_address SET"
                       " first_seen = first_seen - interval '30 days' WHERE key_id = %s", [id])
        """,
        id=key.id,
    )
    server.expect_log(EXPECTED)
    for way in WAYS:  # each is a sibling, as none was used yet
        fetched = key.call(way, "auth.integration.key", "rotate")
        new = dataclasses.replace(key, secret=fetched["key"])
    assert new.call("json2", "auth.integration.key", "whoami")["access"] == "read_only"
    with pytest.raises(Rejected):
        new.call("json2", "access.probe", "write_plainly")


@pytest.mark.parametrize("way", WAYS)
def test_report_mode_rejects_nothing(server, way):
    key = make_key(server, f"reported_{way}", access="read_only")
    key.set(mode="report")
    before = rows(server)
    assert key.call(way, "access.probe", "write_plainly")
    assert rows(server) == before + 1
    assert rejected(server, key) == {}
    assert native_scope(server, key) == "rpc"


@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_in_force_on_the_next_call(server, way):
    """A change by set_access or by SQL applies in every worker that has accepted the key."""
    server.expect_log(EXPECTED)
    key = make_key(server, f"changed_{way}")
    steps = [
        (None, True, "rpc"),
        (lambda: key.set(access="read_only"), False, "auth_integration"),
        (lambda: key.set(access="full"), True, "rpc"),
        (lambda: by_sql(server, key, "access = 'read_only'"), False, "auth_integration"),
        (lambda: by_sql(server, key, "access_mode = 'report'"), True, None),
        (lambda: by_sql(server, key, "access_mode = 'enforce'"), False, "auth_integration"),
    ]
    for change, writes, scope in steps:
        if change:
            change()
        for _worker in each_worker(server):
            if writes:
                assert key.call(way, "access.probe", "write_plainly")
            else:
                with pytest.raises(Rejected):
                    key.call(way, "access.probe", "write_plainly")
        assert scope in (None, native_scope(server, key))


def test_an_unknown_access_opens_nothing(server):
    key = make_key(server, "unknown_access")
    by_sql(server, key, "access = 'everything'")
    server.expect_log(".")
    for way in WAYS:
        with pytest.raises((RuntimeError, xmlrpc.client.Fault), match="cannot be read at the mom"):
            key.call(way, "access.probe", "read_name")


def by_sql(server, key, change):
    server.sql(f"UPDATE auth_integration_key SET {change} WHERE id = %s", [key.id])


def native_scope(server, key):
    [row] = server.sql(
        "SELECT n.scope FROM res_users_apikeys n JOIN auth_integration_key k ON k.apikey_id = n.id"
        " WHERE k.id = %s", [key.id],
    )
    return row["scope"]


# A replica ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replica(live_server):
    """Provide a server that reads from a replica."""
    name = f"access_reader_{CHECKOUT_ID}"
    with contextlib.closing(postgres.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN SUPERUSER")
        yield live_server("replica", config={"dev_mode": "replica", "db_replica_user": name})
        cursor.execute(f"DROP ROLE {name}")


def test_replica(replica):
    """Reads stay where Odoo routes them; a change is rejected immediately, on either server."""
    server = replica
    server.expect_log(EXPECTED)
    key, full = make_key(server, "reader", access="read_only"), make_key(server, "writer")
    before = rows(server)
    for way in WAYS:
        for method in ("write_as_reader", "write_plainly", "write_on_own_cursor"):
            mark = server.log_mark()
            with pytest.raises(Rejected):
                key.call(way, "access.probe", method)
            assert "retrying with a read/write cursor" not in server.log_since(mark)
        assert key.call(way, "access.probe", "read_name") == "on"
    assert rows(server) == before
    for way in WAYS:
        assert full.call(way, "access.probe", "write_as_reader")
    assert rows(server) == before + len(WAYS)
