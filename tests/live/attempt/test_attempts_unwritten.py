"""What becomes of an attempt that cannot be written, or whose server dies: no login waits for it,
and no failure is lost.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import pytest

from dev.servers import postgres, private_postgres
from processes import only_worker
from worlds.attempt import WRONG_KEY, World, totals
from worlds.attempts_kept import SERVER, outcomes

__all__ = ["SERVER"]  # conftest.py starts the servers as it says


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


@pytest.fixture
def calls(world):
    return world.calls()


@contextlib.contextmanager
def locked_log(world):
    with contextlib.closing(psycopg2.connect(dbname=world.db)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE auth_attempt IN SHARE MODE")
        yield


@contextlib.contextmanager
def read_only_log(world):
    """The server says what PostgreSQL says of a database that is a standby or set read-only."""
    world.server.sql(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE read_only_sql_transaction; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON auth_attempt EXECUTE FUNCTION refuse()
        """
    )
    try:
        yield
    finally:
        world.server.sql("DROP FUNCTION refuse() CASCADE")


@contextlib.contextmanager
def full_disk(world):
    """The table lies on a small disk of its own, on which nothing has room any more."""
    if not postgres.is_private() or os.geteuid() != 0:
        pytest.skip("a disk can be mounted for the private PostgreSQL by root only")
    owner, disk = private_postgres.PrivateServer().owner, Path(tempfile.mkdtemp(dir="/var/tmp"))
    options = f"size=8m,mode=0700,uid={owner.pw_uid},gid={owner.pw_gid}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk])
    if mounted.returncode:
        pytest.skip("this root may not mount a disk")
    sql = world.server.sql
    try:
        sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        sql("ALTER TABLE auth_attempt SET TABLESPACE small")
        # The room of dead rows is found now, and not in the midst of the test.
        sql("ALTER TABLE auth_attempt SET (autovacuum_enabled = off)")
        sql("VACUUM auth_attempt")
        with contextlib.suppress(OSError), open(disk / "others", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        # What room there is in the table itself.
        with contextlib.suppress(psycopg2.errors.DiskFull):
            for number in range(10_000):
                sql(
                    "INSERT INTO auth_attempt (bucket, outcome, channel, user_agent, first_seen,"
                    " last_seen) VALUES (%s, 'success', 'web', 'filling', now(), now())",
                    [f"filling {number}".encode()],
                )
        yield
    finally:
        (disk / "others").unlink(missing_ok=True)
        sql("DELETE FROM auth_attempt WHERE user_agent = 'filling'")
        sql("ALTER TABLE auth_attempt SET TABLESPACE pg_default")
        sql("ALTER TABLE auth_attempt RESET (autovacuum_enabled)")
        sql("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


CALLS_OF_ALL_KINDS = (
    lambda c, w: c.json2(w.keys["expired"]),
    lambda c, w: c.authenticate("nobody here", "x"),
    lambda c, w: c.execute(w.uids["worker"], WRONG_KEY),
    lambda c, w: c.json2(w.keys["good"]),
)


@pytest.mark.parametrize("broken", [locked_log, read_only_log, full_disk])
def test_unwritable_attempt_is_in_the_server_log(world, broken):
    """As one JSON line, with all of it; the client gets the same answer as ever.

    A success is written later, so it is no error.
    """
    world.server.expect_log("Attempt not written|Attempt waits to be written")
    usual = [called(world, call) for call in CALLS_OF_ALL_KINDS]
    with broken(world):
        unwritten = [called(world, call) for call in CALLS_OF_ALL_KINDS]
    for (before, reply_before, _lines), (caller, reply, lines) in zip(
        usual, unwritten, strict=True
    ):
        [line] = lines
        check_unwritten(world, caller, reply, line)
        assert reply == reply_before
        if line["outcome"] == "failure":
            assert line["cause"] == before.rows()[0]["cause"]
            assert not caller.rows()


def called(world, call):
    """Make a call; return the caller, the reply and the JSON lines about it in the server log."""
    mark = world.server.log_mark()
    caller = world.calls()
    reply = call(caller, world)
    lines = re.findall(
        r" (ERROR .*: Attempt not written|WARNING .*: Attempt waits to be written): (.*)",
        world.server.log_since(mark),
    )
    return caller, reply, [
        json.loads(line) | {"is_lost": kind.startswith("ERROR")} for kind, line in lines
    ]


def check_unwritten(world, caller, reply, line):
    assert line["agent"] == caller.agent
    assert line["address"] == "127.0.0.1"
    assert line["database"] == world.db
    assert line["reference"] == reply.reference
    assert line["outcome"] == ("success" if reply.reference is None else "failure")
    assert line["is_lost"] == (line["outcome"] == "failure")
    assert "nobody here" not in json.dumps(line)


def test_attempt_for_which_there_is_no_connection(world):
    """Other calls hold every connection that the process may have but the one of this call."""
    world.server.expect_log("Attempt not written|Attempt waits|Connection Pool Is Full")
    calls = [
        lambda c, w: c.authenticate("nobody here", "x"),
        lambda c, w: c.execute(w.uids["worker"], WRONG_KEY),
        lambda c, w: c.execute(w.uids["worker"], w.keys["good"]),
    ]
    usual = [called(world, call)[:2] for call in calls]
    world.server.stop()
    world.server.config["db_maxconn"] = 5
    world.server.start()
    try:
        with only_worker(world.server, world.server.worker_pids()[-1]):
            held = world.calls()
            assert int(held.raw("GET", "/probe/borrow/1")[2]) == 4
            unwritten = [called(world, call) for call in calls]
            held.raw("GET", "/probe/give_back")
            after = [called(world, call) for call in calls]
    finally:
        world.server.stop()
        del world.server.config["db_maxconn"]
        world.server.start()
    for (_caller, reply_before), (caller, reply, lines) in zip(usual, unwritten, strict=True):
        [line] = lines
        check_unwritten(world, caller, reply, line)
        assert line["error"] == "PoolError"
        assert reply == reply_before
        # Failures stay in the server log; a success waits for its row until there is one.
        expected = [] if line["outcome"] == "failure" else [("xmlrpc", None, 1)]
        assert totals(caller.rows()) == expected
    assert [outcomes(caller.rows())[0][0] for caller, _reply, _lines in after] == [
        "failure", "failure", "success",
    ]


def test_lock_timeout_is_in_force(world):
    """No statement of ours waits longer for a lock than we say."""
    in_force = world.server.shell(
        """
        from odoo.addons.auth_integration.tools.hook_queries import LOCK_TIMEOUT_MS
        with env["auth.attempt"]._own_cursor(registry) as own:
            own.execute("SHOW lock_timeout")
            [timeout] = own.fetchone()
            own.execute("SHOW transaction_isolation")
            result = [timeout, *own.fetchone(), f"{LOCK_TIMEOUT_MS}ms"]
        from odoo.tools import SQL
        with env["auth.attempt"]._log_cursor(registry) as own:
            [row] = env(cr=own)["auth.attempt"]._query_first(
                SQL("SELECT current_setting('lock_timeout'),"
                    " current_setting('transaction_isolation')"))
            result += row
        """
    )
    assert in_force == ["500ms", "read committed", "500ms", "500ms", "read committed"]


COMMITS = """
    CREATE TABLE attempt_commit (place text, setting text);
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO attempt_commit VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE TRIGGER note_commit AFTER INSERT OR UPDATE ON auth_attempt
        FOR EACH ROW EXECUTE FUNCTION note_commit();
    CREATE CONSTRAINT TRIGGER note_commit AFTER UPDATE OF retire_at, ended_at
        ON auth_integration_key DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION note_commit();
    CREATE CONSTRAINT TRIGGER note_commit AFTER DELETE OR UPDATE
        ON res_users_apikeys DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION note_commit()
"""


def test_only_what_ends_a_key_waits_for_the_disk(world, calls):
    """The log does not, nor do uses; the first use of a replacement ends another key, and does."""
    new = world.server.shell(
        """
        made = env["auth.integration"].create(
            {"name": "replaced", "code": "replaced", "owner_ids": [(6, 0, [2])]})
        result = []
        for number in range(2):
            result.append(made.issue_key()["key"])
        keys = made.key_ids.sorted("id")
        cr.execute("UPDATE auth_integration_key SET replaces_id = %s WHERE id = %s",
            [keys[0].id, keys[1].id])
        """
    )
    world.server.sql(COMMITS)
    try:
        calls.json2(WRONG_KEY)
        calls.json2(world.keys["good"])
        of_the_log = world.server.sql("SELECT * FROM attempt_commit")
        calls.json2(new[1])
        commits = world.server.sql("SELECT * FROM attempt_commit")[len(of_the_log):]
    finally:
        world.server.sql("DROP FUNCTION note_commit CASCADE; DROP TABLE attempt_commit")
    assert [tuple(commit.values()) for commit in of_the_log] == [("auth_attempt", "off")] * 2
    assert {"auth_integration_key", "res_users_apikeys"} <= {c["place"] for c in commits}
    assert {commit["setting"] for commit in commits} == {"on"}


def test_locked_key_keeps_back_its_own_uses_only(world):
    """Whoever works on a key has its record locked for a while: its uses are written later."""
    meanwhile, waiting, afterwards = world.server.shell(
        """
        import time
        from odoo.addons.auth_integration.tools.key.usage_writer import (
            Batch, SuccessfulUse, UsageWriter)

        def counted():
            cr.execute("SELECT key_id, use_count FROM auth_integration_key_address"
                " WHERE address = '192.0.2.77' ORDER BY key_id")
            return cr.fetchall()

        def used(key_id):
            use = SuccessfulUse(dbname=cr.dbname, channel="json2", auth_type=None, login="x",
                user_id=None, integration_id=None, attribution=None, key_id=key_id,
                remote_addr="192.0.2.77", user_agent="locked/1")
            return Batch(use, 3, time.time(), time.time())

        writer = UsageWriter()
        with registry.cursor() as other:
            other.execute("SELECT id FROM auth_integration_key WHERE id = %s FOR UPDATE", [locked])
            for batch in (used(locked), used(free)):
                writer._buffer.put_back(batch)
            writer.write_waiting()
            other.rollback()
        result = [counted(), writer.waiting]
        cr.rollback()
        writer.flush()
        result.append(counted())
        """,
        locked=world.key_ids["good"],
        free=world.key_ids["personal"],
    )
    assert meanwhile == [[world.key_ids["personal"], 3]]
    assert waiting == 3
    assert afterwards == sorted([[world.key_ids["good"], 3], [world.key_ids["personal"], 3]])


def test_kill_9_loses_no_failure_and_no_first_success(world):
    """What the client was told is on record, when the server dies the moment after."""
    callers = [world.calls() for _ in range(3)]
    assert callers[0].json2(WRONG_KEY).status == 401
    assert callers[1].json2(world.keys["good"]).status == 200
    assert callers[2].authenticate("person", "not it").detail is False
    world.server.kill9()
    try:
        assert [outcomes(caller.rows()) for caller in callers] == [
            [("failure", "key_unknown", 1)],
            [("success", None, 1)],
            [("failure", "password_wrong", 1)],
        ]
    finally:
        world.server.start()
