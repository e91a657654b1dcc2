"""An ended key is refused from the next call on: on every path, in every worker that accepted it.

Every worker, identified by its process ID in the access log, first accepts each key. Then the key
ends, and every worker is called again. ``stock_comparison.py`` measures stock Odoo.
"""

import contextlib
import functools
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Json2, Refused, Xmlrpc, accepted, administrator, ways
from dev.common import CHECKOUT_ID
from dev.servers import postgres
from evidence import stock_comparison
from evidence.stock_comparison import WAYS, Key
from processes import each_worker, wait_for_locks

# IPv6 and IPv4 on one socket: an IPv4 caller has the mapped address ::ffff:127.0.0.1.
SERVER = {"config": {"http_interface": "::"}}
NOW = "(now() AT TIME ZONE 'UTC')"


@pytest.fixture(scope="module", autouse=True)
def room_in_the_log(server):
    """All these tests call from one address, and their attempts must not share a row."""
    server.shell(
        "env['ir.config_parameter'].set_param("
        "'auth_integration.attempt_new_rows_per_minute', '100000')"
    )


@pytest.fixture(scope="module")
def admin(server):
    """The administrator, over XML-RPC."""
    return administrator(server)


@pytest.fixture
def integration(server, admin, request):
    """Return a function that makes an integration with a key and returns its ID and the key."""
    made = []

    def make(**values):
        code = re.sub(r"\W+", "_", request.node.name.lower()) + "_" * len(made)
        integration = admin.call(
            "auth.integration", "create", [{"name": code, "code": code, **values}]
        )[0]
        issued = admin.call("auth.integration", "issue_key", [integration])
        made.append(integration)
        [native] = server.sql(
            "SELECT n.id, u.id AS uid FROM res_users_apikeys n JOIN res_users u ON u.id = n.user_id"
            " WHERE u.login = %s",
            [code],
        )
        return integration, Key(native["uid"], code, native["id"], issued["key"])

    return make


def record_id(server, key):
    """Return the ID of the add-on's record of a native key."""
    [row] = server.sql("SELECT id FROM auth_integration_key WHERE apikey_id = %s", [key.native_id])
    return row["id"]


def outcome(server, key, worker=None, **line):
    """Return for each way whether the key is accepted, by the given worker if any."""
    calls = ways(server, key.uid, key.login, key.secret, **line)
    results = {name: accepted(call) for name, call in calls.items()}
    if worker and server.workers:
        assert {call.line.pid for call in calls.values()} == {worker}
    return results


def all_ways(server, key, **line):
    """Return the results of every worker on every way, as one set: {True}, {False} or both."""
    answers = set()
    for worker in each_worker(server):
        answers |= set(outcome(server, key, worker, **line).values())
    return answers


def causes(server, key, since):
    """Return the causes logged for a key's user after an attempt ID, by channel."""
    rows = server.sql(
        "SELECT channel, cause FROM auth_attempt WHERE id > %s AND outcome = 'failure'"
        " AND (login = %s OR key_id = %s OR user_id = %s)",
        [since, key.login, record_id(server, key), key.uid],
    )
    found = {}
    for row in rows:
        found.setdefault(row["channel"], set()).add(row["cause"])
    return found


def last_attempt(server):
    """Return the ID of the newest log row."""
    return server.sql("SELECT COALESCE(max(id), 0) AS id FROM auth_attempt")[0]["id"]


# Every end ---------------------------------------------------------------------------------------


def move_end(server, key):
    """Move the end in the add-on's record into the past; the native one stays."""
    server.sql(
        f"UPDATE auth_integration_key SET expires_at = {NOW} - interval '1 s' WHERE id = %s",
        [record_id(server, key)],
    )


def move_overlap(server, key):
    """Move the end of the key's overlap into the past, as if its replacement was long in use."""
    server.sql(
        f"UPDATE auth_integration_key SET retire_at = {NOW} - interval '1 s' WHERE id = %s",
        [record_id(server, key)],
    )


def revoke(server, key):
    """Revoke the key over the API."""
    administrator(server).call(
        "auth.integration.key", "revoke", [record_id(server, key)], "it leaked"
    )


def integration_id(server, key):
    """Return the ID of a key's integration."""
    [row] = server.sql("SELECT id FROM auth_integration WHERE user_id = %s", [key.uid])
    return row["id"]


def archive_integration(server, key):
    """Archive the key's integration over the API."""
    administrator(server).call(
        "auth.integration", "write", [integration_id(server, key)], {"active": False}
    )


def archive_integration_by_sql(server, key):
    """Archive the integration by SQL, unnoticed by every process; the user stays active."""
    server.sql("UPDATE auth_integration SET active = FALSE WHERE user_id = %s", [key.uid])


def delete_integration(server, key):
    """Delete the key's integration."""
    administrator(server).call("auth.integration", "unlink", [integration_id(server, key)])


def restrict_networks(server, key):
    """Allow only another network."""
    values = {"allowed_networks": "192.0.2.0/24\n2001:db8::/32"}
    administrator(server).call("auth.integration", "write", [integration_id(server, key)], values)


OUR_ENDS = {
    "end moved": (move_end, "key_expired"),
    "superseded": (move_overlap, "key_superseded"),
    "revoked": (revoke, "key_revoked"),
    "integration archived": (archive_integration, "user_archived"),
    "integration archived by SQL": (archive_integration_by_sql, "user_archived"),
    "integration deleted": (delete_integration, "user_archived"),
    "address": (restrict_networks, "address_not_allowed"),
}
NATIVE_ENDS = {
    name: (stock_comparison.ENDS[name], cause)
    for name, cause in {
        "expired": "key_expired",
        "expired, vacuumed": "key_expired",
        "removed": "key_revoked",
        "removed by code": "key_revoked",
        "removed during a call": "key_revoked",
        "deleted by SQL": "key_revoked",
        "replaced by SQL": "key_revoked",
        "user archived": "user_archived",
        "user archived during a call": "user_archived",
        "user archived by SQL": "user_archived",
    }.items()
}


@pytest.mark.parametrize("end", OUR_ENDS | NATIVE_ENDS)
def test_ended_key_is_refused(server, integration, end):
    """No worker that had accepted a key accepts it after its end, and the log names the end.

    Native ends are tested with an ordinary user's key, those of the add-on with an integration's.
    """
    if end in OUR_ENDS:
        _integration, key = integration()
    else:
        [key] = stock_comparison.make_keys(server, f"{end} {server.workers}")
    change, cause = (OUR_ENDS | NATIVE_ENDS)[end]
    assert all_ways(server, key) == {True}
    before = last_attempt(server)
    if end.endswith("during a call"):
        # The row is locked for longer than the log waits.
        server.expect_log("Attempt not written|lock timeout")
    change(server, key)
    assert all_ways(server, key) == {False}
    assert causes(server, key, before) == dict.fromkeys(("xmlrpc", "jsonrpc", "json2"), {cause})


def test_key_of_deleted_user(server):
    """The record identifies the key of a deleted user, unless the call names the user first."""
    [key] = stock_comparison.make_keys(server, f"deleted {server.workers}")
    assert all_ways(server, key) == {True}
    before = last_attempt(server)
    stock_comparison.delete_user(server, key)
    assert all_ways(server, key) == {False}
    found = causes(server, key, before)
    assert found["json2"] == {"key_revoked"}
    rows = server.sql(
        "SELECT DISTINCT cause FROM auth_attempt WHERE id > %s AND channel <> 'json2'",
        [before],
    )
    assert [row["cause"] for row in rows] == ["user_unknown"]


# Networks and channels ---------------------------------------------------------------------------

IPV4, IPV4_OTHER = {"host": "127.0.0.1"}, {"host": "127.0.0.1", "source": "127.0.0.2"}
IPV6 = {"host": "::1"}


@pytest.mark.parametrize(
    ("networks", "allowed", "refused"),
    [
        ("127.0.0.1", [IPV4], [IPV4_OTHER, IPV6]),
        ("127.0.0.2/32 # the other one", [IPV4_OTHER], [IPV4, IPV6]),
        ("127.0.0.0/8", [IPV4, IPV4_OTHER], [IPV6]),
        ("::1", [IPV6], [IPV4, IPV4_OTHER]),
        ("::/0", [IPV6], [IPV4, IPV4_OTHER]),
        ("::ffff:127.0.0.2", [IPV4_OTHER], [IPV4, IPV6]),
        ("::ffff:127.0.0.0/104", [IPV4, IPV4_OTHER], [IPV6]),
        ("192.0.2.0/24\n::1\n127.0.0.2", [IPV4_OTHER, IPV6], [IPV4]),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_networks(server, admin, integration, networks, allowed, refused):
    """An integration's key only works from its networks, however an IPv4 address is written."""
    identifier, key = integration()
    admin.call("auth.integration", "write", [identifier], {"allowed_networks": networks})
    for line, expected in [(line, True) for line in allowed] + [(line, False) for line in refused]:
        calls = ways(server, key.uid, key.login, key.secret, **line)
        assert {accepted(calls[way]) for way in ("xmlrpc", "json2")} == {expected}, line


def test_mapped_address_is_recorded_as_ipv4(server, integration):
    """A caller has the same address on each socket."""
    _identifier, key = integration()
    outcome(server, key, **IPV4_OTHER)
    outcome(server, key, **IPV6)
    rows = server.sql(
        "SELECT address FROM auth_integration_key_address WHERE key_id = %s ORDER BY 1",
        [record_id(server, key)],
    )
    assert [row["address"] for row in rows] == ["127.0.0.2", "::1"]


@pytest.mark.parametrize("channels", ["xmlrpc", "jsonrpc", "json2", "xmlrpc, json2", "http"])
def test_channels(server, admin, integration, channels):
    """An integration's key only works on its channels."""
    identifier, key = integration()
    assert all_ways(server, key) == {True}
    admin.call("auth.integration", "write", [identifier], {"allowed_channels": channels})
    before = last_attempt(server)
    for worker in each_worker(server):
        for way, works in outcome(server, key, worker).items():
            # ``authenticate`` is called over XML-RPC.
            assert works == (way.replace("authenticate", "xmlrpc") in channels.split(", ")), way
    found = causes(server, key, before)
    assert set().union(*found.values()) == {"channel_not_allowed"}
    assert not set(found) & set(channels.split(", "))


def test_old_xmlrpc_path(server, integration):
    """/xmlrpc behaves like /xmlrpc/2."""
    _identifier, key = integration()
    client = Xmlrpc(server, key.uid, key.secret, version=1)
    for _worker in each_worker(server):
        assert client.call("res.users", "context_get")["uid"] == key.uid
    revoke(server, key)
    for _worker in each_worker(server):
        with pytest.raises(Refused):
            client.call("res.users", "context_get")


# Keys that were created in other ways ------------------------------------------------------------


def insert_by_sql(server, login):
    """Insert a key by SQL, unnoticed by every process, with a hash made by another one."""
    [key] = stock_comparison.make_keys(server, f"source of {login}")
    uid = server.shell(
        """
        user = env["res.users"].search([("login", "=", login)]) or env["res.users"].with_context(
            no_reset_password=True).create({"name": login, "login": login})
        result = user.id
        """,
        login=login,
    )
    [row] = server.sql(
        """
        WITH source AS (DELETE FROM res_users_apikeys WHERE id = %s RETURNING index, key)
        INSERT INTO res_users_apikeys (name, user_id, index, key)
        SELECT 'by SQL', %s, index, key FROM source RETURNING id
        """,
        [key.native_id, uid],
    )
    server.sql("DELETE FROM auth_integration_key WHERE apikey_id = %s", [key.native_id])
    return Key(uid, login, row["id"], key.secret)


def records_of(server, key):
    """Return the add-on's records of a native key."""
    return server.sql(
        "SELECT id, imported, expires_at, integration_id FROM auth_integration_key"
        " WHERE apikey_id = %s",
        [key.native_id],
    )


@pytest.mark.parametrize("way", ["xmlrpc", "jsonrpc", "json2", "authenticate"])
def test_key_inserted_by_sql(server, way):
    """A personal key that was not recorded works immediately, and then has exactly one record."""
    key = insert_by_sql(server, f"inserted {way} {server.workers}")
    assert accepted(ways(server, key.uid, key.login, key.secret)[way])
    [record] = records_of(server, key)
    assert record["imported"] and record["expires_at"] is None
    assert all_ways(server, key) == {True}
    assert records_of(server, key) == [record]
    # After Odoo has verified it once, it is recognized by its SHA-256, even after its end.
    [kept] = server.sql("SELECT digest FROM auth_integration_key WHERE id = %s", [record["id"]])
    assert kept["digest"] == hashlib.sha256(key.secret.encode()).hexdigest()
    assert server.sql(
        "SELECT use_count > 0 AS used FROM auth_integration_key WHERE id = %s", [record["id"]]
    ) == [{"used": True}]


def test_key_inserted_by_sql_comes_under_policy(server, integration):
    """A key without an end for an integration's user works, and the first use gives it an end."""
    identifier, first = integration()
    key = insert_by_sql(server, first.login)
    assert all_ways(server, key) == {True}
    [record] = records_of(server, key)
    assert record["integration_id"] == identifier
    # Keys imported on one day end on different days, none later than the policy allows.
    [ends] = server.sql(
        f"SELECT expiration_date, expiration_date - {NOW} BETWEEN '89 days' AND '120 days' AS fits"
        " FROM res_users_apikeys WHERE id = %s",
        [key.native_id],
    )
    assert ends["fits"] and ends["expiration_date"] == record["expires_at"]


def test_key_with_other_hash_by_sql(server, integration):
    """A row with another key's hash is that other key: the old one ends, the new one works."""
    _identifier, key = integration()
    assert all_ways(server, key) == {True}
    other = insert_by_sql(server, f"hash for {key.login}")
    server.sql(
        """
        WITH source AS (DELETE FROM res_users_apikeys WHERE id = %s RETURNING index, key)
        UPDATE res_users_apikeys n SET index = source.index, key = source.key FROM source
        WHERE n.id = %s
        """,
        [other.native_id, key.native_id],
    )
    assert all_ways(server, key) == {False}
    assert all_ways(server, key._replace(secret=other.secret)) == {True}
    states = server.shell(
        """
        result = env["auth.integration.key"].search([("apikey_id", "=", native_id)]).mapped("state")
        """,
        native_id=key.native_id,
    )
    assert sorted(states) == ["active", "revoked"]


@pytest.mark.parametrize("kind", ["personal", "integration"])
def test_workers_adopt_a_key_at_the_same_time(server, integration, kind):
    """Concurrent calls with an unknown key are both accepted and create one record."""
    if kind == "integration":
        _identifier, first = integration()
        key = insert_by_sql(server, first.login)
    else:
        key = insert_by_sql(server, f"raced {server.workers}")
    calls = ways(server, key.uid, key.login, key.secret)
    with contextlib.closing(postgres.connect(server.db)) as holder, ThreadPoolExecutor(2) as pool:
        cursor = holder.cursor()
        cursor.execute("BEGIN; LOCK TABLE auth_integration_key IN SHARE MODE")
        running = [pool.submit(accepted, calls[way]) for way in ("json2", "xmlrpc")]
        assert wait_for_locks(server, 2, *running)
        cursor.execute("ROLLBACK")
        assert [call.result() for call in running] == [True, True]
    assert len(records_of(server, key)) == 1
    if server.workers:
        assert len({calls[way].line.pid for way in ("json2", "xmlrpc")}) == 2


def test_scheduled_job_and_a_call_adopt_a_key_at_the_same_time(server):
    """The job that looks for such keys waits for the call, as another call would."""
    key = insert_by_sql(server, f"raced the job {server.workers}")
    call = ways(server, key.uid, key.login, key.secret)["json2"]
    admin = administrator(server)
    job = server.shell("result = env.ref('auth_integration.ir_cron_reconcile').id")
    with contextlib.closing(postgres.connect(server.db)) as holder, ThreadPoolExecutor(2) as pool:
        cursor = holder.cursor()
        cursor.execute("BEGIN; LOCK TABLE auth_integration_key IN SHARE MODE")
        running = [
            pool.submit(accepted, call),
            pool.submit(admin.call, "ir.cron", "method_direct_trigger", [job]),
        ]
        assert wait_for_locks(server, 2, *running)
        cursor.execute("ROLLBACK")
        assert running[0].result() is True
        running[1].result()  # raises if the job failed
    assert len(records_of(server, key)) == 1
    [progress] = server.sql(
        "SELECT done, remaining FROM ir_cron_progress WHERE cron_id = %s ORDER BY id DESC LIMIT 1",
        [job],
    )
    assert progress["remaining"] == 0


def test_what_core_decides_alone_is_not_remembered(server, integration):
    """While the add-on fails, Odoo decides, and nothing of that is cached afterwards."""
    _identifier, key = integration()
    server.sql("ALTER TABLE auth_integration_key RENAME COLUMN hash TO hash_away")
    server.expect_log("hash")
    try:
        assert all_ways(server, key) == {True}
    finally:
        server.sql("ALTER TABLE auth_integration_key RENAME COLUMN hash_away TO hash")
    stock_comparison.expire(server, key)
    assert all_ways(server, key) == {False}


def test_failure_of_ours_keeps_no_key_from_ending(server):
    """While the add-on fails, keys can be made and removed; they are recorded afterwards."""
    old, spent = stock_comparison.make_keys(
        server, f"old {server.workers}", f"spent {server.workers}"
    )
    session = stock_comparison.admin_session(server)
    administrator(server)
    server.sql("ALTER TABLE auth_integration_key RENAME COLUMN hash TO hash_away")
    server.expect_log("hash")
    try:
        stock_comparison.expire(server, spent)
        stock_comparison.vacuum(server, spent)
        stock_comparison.remove(server, old)
        [wizard] = session.call(
            "res.users.apikeys.description", "create", [{"name": "new", "duration": "0"}]
        )
        shown = session.call_checked("res.users.apikeys.description", "make_key", [wizard])
    finally:
        server.sql("ALTER TABLE auth_integration_key RENAME COLUMN hash_away TO hash")
    for key in (old, spent):
        assert all_ways(server, key) == {False}
    new = Key(2, "admin", 0, shown["context"]["default_key"])
    assert all_ways(server, new) == {True}
    [row] = server.sql(
        "SELECT count(*) FROM auth_integration_key WHERE prefix = %s", [new.secret[:8]]
    )
    assert row["count"] == 1


# Stock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2], ids=["threaded", "workers2"])
def test_what_stock_accepts(live_server, workers):
    """On Odoo alone, RPC calls continue to work in every worker that has cached the key."""
    stock = live_server(f"stock{workers}", with_addon=False, workers=workers)
    # ``authenticate`` uses no cache, so one mode is enough; stock takes half a second for it.
    measured = stock_comparison.measure(stock, WAYS if workers else WAYS[:3])
    everywhere = workers or 1
    outlive = {
        "expired",
        "expired, vacuumed",
        "removed",
        "removed by code",
        "removed during a call",
        "deleted by SQL",
        "replaced by SQL",
        "user archived by SQL",
    }
    if not workers:
        outlive.add("user archived during a call")
    for name, row in measured.items():
        count = everywhere if name in outlive else 0
        expected = {"xmlrpc": count, "jsonrpc": count, "json2": 0, "authenticate": 0}
        assert row == {way: expected[way] for way in row}, name


# A read-only replica -----------------------------------------------------------------------------


@pytest.fixture
def replica_reader():
    """The name of a database user whose reads can be redirected to copies of some tables."""
    name = f"stale_reader_{CHECKOUT_ID}"
    with contextlib.closing(postgres.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN SUPERUSER")
        yield name
        cursor.execute(f"DROP ROLE {name}")


def lag_behind(server, reader):
    """Make a database user read the current content of the tables from now on."""
    for table in ("res_users_apikeys", "res_users", "auth_integration_key", "auth_integration"):
        server.sql(
            f"CREATE SCHEMA IF NOT EXISTS stale; CREATE TABLE stale.{table} AS TABLE public.{table}"
        )
    server.sql(f"ALTER ROLE {reader} IN DATABASE {server.db} SET search_path = stale, public")
    server.restart()


def answers_on_the_replica(server, key):
    """Return the answers of the workers to a call on a read-only cursor."""
    client = Json2(server, key.secret)
    count = functools.partial(
        client.call, "res.users", "search_count", domain=[("login", "=", "witness")]
    )
    answers = set()
    for worker in each_worker(server):
        answers.add(accepted(count))
        assert client.line.pid == worker
    return answers


def test_replica_that_lags_behind(live_server, replica_reader):
    """With a read-only replica, the primary decides: ended keys are refused, new ones accepted.

    Odoo opens its read-only cursors as another database user, who reads copies of the tables from
    before the keys ended.
    """
    server = live_server(
        "replica",
        workers=2,
        config={"dev_mode": "replica", "db_replica_user": replica_reader},
    )
    ends = {"expired": "key_expired", "removed": "key_revoked", "user archived": "user_archived"}
    *made, witness = stock_comparison.make_keys(server, *ends, "witness")
    keys = dict(zip(ends, made, strict=True))
    lag_behind(server, replica_reader)
    reads = functools.partial(answers_on_the_replica, server)
    for key in (*keys.values(), witness):
        assert reads(key) == {True}
    before = last_attempt(server)
    for end, key in keys.items():
        stock_comparison.ENDS[end](server, key)
        assert reads(key) == {False}
        assert causes(server, key, before) == {"json2": {ends[end]}}
    # A key that the replica does not have yet.
    secret = server.shell(
        "result = env['res.users.apikeys'].with_user(uid).sudo()._generate(None, 'new', end)",
        uid=witness.uid,
        end="2099-01-01 00:00:00",
    )
    assert reads(witness._replace(secret=secret)) == {True}
    # Prove that the replica did the count.
    server.sql("UPDATE res_users SET login = 'renamed' WHERE id = %s", [witness.uid])
    assert reads(witness) == {True}
