"""A read-only key cannot change anything, whatever a method does."""

import contextlib
import dataclasses
import xmlrpc.client

import pytest

from callers.clients import Json2, Jsonrpc, Xmlrpc
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
    return make_reader(server, "reader")


def make_reader(server, code):
    """Make a read-only key that may call the probe's methods by name: the database holds it."""
    operations = [["access.probe", method] for method in (*WRITING, "swallow", "write_lazily")]
    return make_key(server, code, access="read_only", operations=operations)


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
    words = f"can only read data. access.probe.{method} was rejected because it changes or locks"
    with pytest.raises(Rejected, match=words):
        reader.call(way, "access.probe", method)
    assert (rows(server), rejected(server, reader)[place]) == (before[0], before[1] + 1)


@pytest.mark.parametrize("way", WAYS)
def test_it_calls_nothing_that_is_not_known_to_read(server, way):
    """Not even a method that would change nothing."""
    key = make_key(server, f"unnamed_{way}", access="read_only")
    for model, method in (
        ("access.probe", "swallow"),
        ("access.probe", "call_another"),
        ("res.partner", "onchange"),
        ("res.partner", "default_get"),
        ("ir.actions.server", "run"),
        ("mail.template", "write"),
        ("mail.compose.message", "create"),
    ):
        place = CHANNEL_OF_WAY[way], f"{model}.{method}"
        before = rejected(server, key).get(place, 0)
        words = f"{model}.{method} was rejected because it is not known"
        with pytest.raises(Rejected, match=words):
            key.call(way, model, method)
        assert rejected(server, key)[place] == before + 1


NOT_STORED = {
    "no record": ([0], {}, {}),
    "a negative id": ([-1], {}, {}),
    "an id that is text": (["1"], {}, {}),
    "an id that is a truth value": ([True], {}, {}),
    "a default": ([1], {"default_name": "x"}, {}),
    "a default among others": ([1], {"lang": "en_US", "default_list_ids": [1]}, {}),
    "an unknown key": ([1], {"params": {}}, {}),
    "a nested default": ([1], {}, {"child_ids": {"context": {"default_name": "x"}}}),
    "a deeply nested default": (
        [1], {}, {"child_ids": {"fields": {"child_ids": {"context": {"default_name": "x"}}}}},
    ),
}


def read_partner(key, protocol, ids, context, specification):
    arguments = {"specification": {"name": {}} | specification, "context": context}
    if protocol == "json2":
        return Json2(key.server, key.secret).call("res.partner", "web_read", ids=ids, **arguments)
    client = (Xmlrpc if protocol == "xmlrpc" else Jsonrpc)(key.server, key.uid, key.secret)
    return client.call("res.partner", "web_read", ids, **arguments)


@pytest.mark.parametrize("protocol", ["xmlrpc", "jsonrpc", "json2"])
@pytest.mark.parametrize("access", ["read_only", "listed"])
def test_it_reads_only_what_is_stored(server, protocol, access):
    """A record that is not stored has the values that the caller chose for it."""
    operations = [["res.partner", "web_read"]] if access == "listed" else False
    key = make_key(server, f"stored_{protocol}_{access}", access=access, operations=operations)
    place, count = (protocol, "res.partner.web_read"), 0
    for name, (ids, context, specification) in NOT_STORED.items():
        with pytest.raises((RuntimeError, xmlrpc.client.Fault), match="only read stored records"):
            read_partner(key, protocol, ids, context, specification)
        count += 1
        assert rejected(server, key)[place] == count, name
    context = {"lang": "en_US", "tz": "Europe/Brussels", "uid": key.uid, "active_test": False}
    nested = {"child_ids": {"context": context, "fields": {"name": {}}}}
    for allowed in ({}, context, {"allowed_company_ids": [1]}):
        assert read_partner(key, protocol, [1], allowed, nested)[0]["name"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("access", [
    {"access": "read_only"},
    {"operations": [["ir.config_parameter", name] for name in ("search_read", "get_param")]},
])
def test_it_reads_no_secret_of_the_database(server, way, access):
    """Not even if its user became an administrator after the key was limited."""
    name = f"secrets_{way}_{next(iter(access))}"
    key = make_key(server, name, later_groups=["base.group_system"], **access)
    with pytest.raises(Rejected, match="ir.config_parameter"):
        key.call(way, "ir.config_parameter", "search_read")
    if way != "json2":  # it names the arguments
        with pytest.raises(Rejected):
            key.call(way, "ir.config_parameter", "get_param", "database.secret")


def test_a_full_key_reads_what_it_likes(server, writer):
    for protocol in ("xmlrpc", "jsonrpc", "json2"):
        assert read_partner(writer, protocol, [1], {"default_name": "x"}, {})[0]["name"]


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
    """Whatever verifies the key, a read-only key writes nothing, and a full key writes.

    A route must be declared to only read, or allowed by its path.
    """
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
    named = make_key(server, "reader_of_a_route", access="read_only",
                     operations=[["http", "/access_probe/bearer/<name>"]])
    before = rows(server)
    answer = get(
        server, "/access_probe/bearer/name", {"Authorization": f"Bearer {named.secret}"}
    )
    assert (answer[0], rows(server)) == (403, before) and "changes or locks data" in answer[1]
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
    named = [["access.probe", "write_plainly"]]
    steps = [
        (None, True, "rpc"),
        (lambda: key.set(access="read_only", operations=named), False, "auth_integration"),
        (lambda: key.set(access="full", operations=[]), True, "rpc"),
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
    key, full = make_reader(server, "reader"), make_key(server, "writer")
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
