"""What must hold of the attempt log whatever happens around it.

Exactly once over retries and rollbacks, durable, bounded, without secrets, unforgeable, and never
in the way of a login.  On a server with two workers, with read-only cursors where routes say so.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pyotp
import pytest

from callers.clients import Session
from dev.common import ROOT, TEST_ADDONS
from dev.environment import debian_archive, debian_programs
from dev.servers import postgres, private_postgres
from evidence.secret_search import encodings, found
from processes import each_worker, only_worker, wait_for_locks
from worlds.attempt import TOTP_SECRET, WRONG_KEY, World, totals

PASSWORD = "a person's password"
SERVER = {
    "modules": ("auth_integration", "auth_totp", "attempt_probe"),
    "extra_addons": (TEST_ADDONS,),
    "config": {"dev_mode": "replica"},
    "workers": 2,
}


@pytest.fixture(scope="module")
def world(live_server):
    made = World(live_server("main"))
    made.once = []
    return made


@pytest.fixture
def calls(world):
    return world.calls()


def outcomes(rows):
    return [(row["outcome"], row["cause"], row["count"]) for row in rows]


def by_reference(world, reference):
    return world.server.sql("SELECT * FROM auth_attempt WHERE reference = %s", [reference])


# Exactly once


@pytest.mark.parametrize("what", ["ok", "fail", "repeat"])
def test_rpc_call_is_recorded_once_whatever_becomes_of_it(world, calls, what):
    """The called method succeeds, fails (all it wrote is rolled back), or runs twice."""
    for run in (calls.execute, calls.execute_json):
        reply = run(
            world.uids["worker"], world.keys["good"], "attempt.probe", "write_and",
            [], what, f"{what} {run.__name__}",
        )
        assert ("fault" in reply.detail or "error" in reply.detail) == (what == "fail")
    rows = calls.rows()
    assert outcomes(rows) == [("success", None, 1)] * 2
    assert {row["channel"] for row in rows} == {"xmlrpc", "jsonrpc"}
    world.once.append((calls, totals(rows)))


@pytest.mark.parametrize("path", ["/probe/repeat/a", "/probe/read_only/b"])
def test_bearer_request_is_recorded_once_over_its_retries(world, calls, path):
    """After a serialization failure, and after writing on a read-only cursor."""
    mark = world.server.log_mark()
    reply = calls.http("GET", path, headers={"Authorization": f"Bearer {world.keys['good']}"})
    assert reply.status == 200
    assert re.search("SERIALIZATION_FAILURE|read-only transaction", world.server.log_since(mark))
    assert outcomes(calls.rows()) == [("success", None, 1)]
    world.once.append((calls, totals(calls.rows())))


def test_no_success_is_counted_twice_or_lost(world, calls):
    """Successes that wait in a worker's memory are written when the server stops."""
    for _call in range(5):
        calls.json2(world.keys["good"])
        # From the second on, a worker knows that it has accepted these.
        calls.execute(world.uids["worker"], world.keys["good"])
        calls.execute_json(world.uids["person"], PASSWORD)
    world.server.restart()
    assert totals(calls.rows()) == [
        ("json2", None, 5), ("xmlrpc", None, 5), ("jsonrpc", None, 5),
    ]
    assert [totals(caller.rows()) for caller, _counted in world.once] == [
        counted for _caller, counted in world.once
    ]


def test_refusal_on_a_read_only_cursor_is_recorded(world, calls):
    """/json/2 authenticates on a read-only cursor, whose transaction is rolled back."""
    assert calls.json2(world.keys["expired"]).status == 401
    assert outcomes(calls.rows()) == [("failure", "key_expired", 1)]


@pytest.mark.parametrize(
    ("token", "status", "outcome"),
    [
        ("right", 200, ("success", None, 1)),
        ("wrong", 403, ("failure", "key_unknown", 1)),
        ("", 401, ("failure", "header_missing", 1)),
        ("error", 403, ("failure", "internal_error", 1)),
    ],
)
def test_authentication_method_of_another_module(world, calls, token, status, outcome):
    """A route's ``_auth_method_`` that we know nothing of is one attempt."""
    reply = calls.http("GET", "/probe/token", headers={"X-Probe-Token": token})
    assert reply.status == status
    [row] = calls.rows()
    assert outcomes([row]) == [outcome]
    assert (row["channel"], row["auth_type"]) == ("http", "probe_token")
    assert row["reference"] == reply.reference


# What people do


def test_second_factor(world):
    """Each step is an attempt: password, wrong code, no code, right code, the same code again."""
    steps = world.calls()
    code = pyotp.TOTP(TOTP_SECRET).now()
    wrong = f"{(int(code) + 1) % 1000000:06}"
    steps.web_login("factor", PASSWORD)
    for typed in (wrong, "abc", code):
        steps.form("/web/login/totp", totp_token=typed)
    again = world.calls()
    again.web_login("factor", PASSWORD)
    again.form("/web/login/totp", totp_token=code)
    assert [(row["channel"], *outcomes([row])[0][:2]) for row in steps.rows()] == [
        ("web", "success", None),
        ("totp", "failure", "second_factor_wrong"),
        ("totp", "failure", "malformed_request"),
        ("totp", "success", None),
    ]
    assert [(row["channel"], row["cause"]) for row in again.rows()] == [
        ("web", None),
        ("totp", "second_factor_replayed"),
    ]
    assert {row["user_id"] for row in [*steps.rows(), *again.rows()]} == {world.uids["factor"]}


def test_limit_of_second_factors(world):
    """After five codes within an hour none is looked at, not even the right one."""
    world.server.sql("DELETE FROM auth_totp_rate_limit_log")
    person = world.calls()
    code = pyotp.TOTP(TOTP_SECRET).now()
    wrong = f"{(int(code) + 1) % 1000000:06}"
    person.web_login("factor", PASSWORD)
    for typed in (*[wrong] * 5, code):
        person.form("/web/login/totp", totp_token=typed)
    world.server.sql("DELETE FROM auth_totp_rate_limit_log")
    assert sorted(totals(person.rows()), key=str) == [
        ("totp", "cooldown", 1),
        ("totp", "second_factor_wrong", 5),
        ("web", None, 1),
    ]


def test_ended_session_names_its_user(world):
    """An API call on a session that a change of password has ended."""
    person = world.calls()
    assert person.session_login("person", PASSWORD).status == 200
    assert person.call_kw().detail == "dict"
    world.server.shell(
        "env['res.users'].browse(uid).password = 'another'; env.flush_all();"
        "env['res.users'].browse(uid).password = password",
        uid=world.uids["person"],
        password=PASSWORD,
    )
    reply = person.call_kw()
    assert reply.detail[2] == "odoo.http.SessionExpiredException"
    row = person.rows()[-1]
    assert (row["cause"], row["user_id"]) == ("session_expired", world.uids["person"])
    assert row["reference"] == reply.reference


def test_identity_check_and_change_of_password(world):
    """A wrong password within a session is an attempt, too."""
    person = world.calls()
    person.session_login("person", PASSWORD)
    person.call_kw("res.users", "change_password", "not it", "new password")
    [made] = world.server.shell(
        "result = env['res.users.identitycheck'].with_user(uid).sudo().create("
        "{'request': '[{}, [], \"res.users\", [], {}]'}).ids",
        uid=world.uids["person"],
    )
    person.call_kw("res.users.identitycheck", "run_check", [made], context={"password": "not it"})
    assert totals(person.rows()) == [
        ("session", None, 1),
        ("session", "password_wrong", 2),
    ]


def test_cooldown(world):
    """Core's limit refuses the right password; RPC never feeds it, and is never refused by it."""
    set_parameter(world, "base.login_cooldown_after", "2")
    try:
        for _worker in each_worker(world.server):
            person = world.calls("127.0.0.9")
            for _try in range(3):
                person.authenticate("person", "not it")
            for secret in ("not it", "not it", PASSWORD):
                person.session_login("person", secret)
            person.authenticate("person", PASSWORD)
            assert totals(person.rows()) == [
                ("xmlrpc", "password_wrong", 3),
                ("session", "password_wrong", 2),
                ("session", "cooldown", 1),
                ("xmlrpc", None, 1),
            ]
    finally:
        set_parameter(world, "base.login_cooldown_after", "0")


def set_parameter(world, name, value):
    world.server.shell(
        "env['ir.config_parameter'].set_param(name, value)", name=name, value=value
    )


# References


def test_reference_is_the_same_for_known_and_unknown_logins(world):
    """Or it would tell which logins exist."""
    for _minute in range(3):  # both in one minute, at the second or third try at the latest
        login = f"later {_minute}"
        before = world.calls().authenticate(login, "x").reference
        world.server.shell("env['res.users'].create({'name': login, 'login': login})", login=login)
        after = world.calls().authenticate(login, "x").reference
        rows = [by_reference(world, reference) for reference in (before, after)]
        if rows[0][0]["first_seen"].minute == rows[1][-1]["first_seen"].minute:
            break
    assert before == after
    assert {row["cause"] for row in by_reference(world, before)} == {
        "user_unknown", "password_wrong",
    }
    assert world.calls().authenticate("somebody else", "x").reference != before


def test_reference_can_be_looked_up(world):
    """By whoever has it, however typed; the log itself stays closed to him."""
    # From an address of its own: all keys refused from one address in a minute share a reference.
    reference = world.calls("127.0.0.77").json2(world.keys["expired"]).reference
    typed = reference.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    person = world.calls()
    person.session_login("person", PASSWORD)
    _status, _headers, answer = person.raw(
        "POST",
        "/web/dataset/call_kw",
        json.dumps({"params": {"model": "auth.attempt", "method": "explain_reference",
                               "args": [typed], "kwargs": {}}}),
        {"Content-Type": "application/json"},
    )
    [told] = json.loads(answer)["result"]
    assert (told["cause"], told["channel"], told["count"]) == ("key_expired", "json2", 1)
    assert told["title"] and told["remedy"]
    assert not {"login", "user_id", "remote_addr"} & told.keys()
    refused = person.call_kw("auth.attempt", "search_read", [["reference", "=", typed]])
    assert refused.detail[2] == "odoo.exceptions.AccessError"
    found = world.server.shell(
        "result = env['auth.attempt'].search([('reference', '=', typed)]).mapped('cause')",
        typed=typed,
    )
    assert found == ["key_expired"]


# When the row cannot be written


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


# Hostile input

FORGED = (
    "x\n2026-01-01 00:00:00,000 1 INFO db odoo.addons.auth_integration.models.auth_attempt:"
    " Authentication refused: address=203.0.113.66 cause=password_wrong channel=web\n"
)
HOSTILE_TEXTS = {
    "300 characters": "x" * 300,
    "10 MB": "x" * 10_000_000,
    "lines": FORGED,
    "carriage returns": FORGED.replace("\n", "\r\n"),
    "control characters": "\x1b[31mred\x08\x07",
    "right to left": "\u202eadmin\u202c",
    "invisible": "ad\u200bmin\ufeff",
    "percent": "%s %(x)s %n {0} {x.__class__}",
    "SQL": "'; DROP TABLE auth_attempt; --",
    "markup": "<script>alert(1)</script>",
    "NUL": "admin\x00",
    "half a surrogate pair": "\ud800",
}
HOSTILE_TYPES = {
    "number": 17, "large number": 10**30, "float": 1.5, "true": True, "list": ["a", ["b"]],
    "object": {"a": {"b": None}}, "null": None,
}


@pytest.mark.parametrize("name", [*HOSTILE_TEXTS, *HOSTILE_TYPES])
def test_hostile_login(world, name):
    """One attempt, nothing of it in the log, no line forged."""
    login = {**HOSTILE_TEXTS, **HOSTILE_TYPES}[name]
    world.server.expect_log("odoo.http: Exception during request handling|Error on request")
    mark = world.server.log_mark()
    callers = [world.calls() for _ in range(3)]
    callers[0].json("common", "authenticate", world.db, login, "x", {})
    callers[1].session_login(login, "x")
    if name in ("NUL", "half a surrogate pair", "control characters", "large number"):
        del callers[2]  # XML has no way to say it
    else:
        callers[2].authenticate(login, "x")
    for caller in callers:
        [row] = caller.rows()
        assert row["outcome"] == "failure" and row["count"] == 1
        assert row["cause"] in ("user_unknown", "malformed_request", "login_missing")
        assert len(row["login"] or "") < 200
    log = world.server.log_since(mark)
    if name in ("lines", "carriage returns"):
        assert "203.0.113.66" not in log
    assert len(log) < 200_000
    assert len(re.findall("^.*Authentication refused: address=", log, re.M)) == len(callers)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", re.sub(r"\x1b\[[\d;]*m", "", log))


@pytest.mark.parametrize("name", [*HOSTILE_TEXTS, *HOSTILE_TYPES])
def test_hostile_secret(world, name):
    """One attempt, whatever core makes of it; nothing of it makes our code fail."""
    secret = {**HOSTILE_TEXTS, **HOSTILE_TYPES}[name]
    world.server.expect_log("odoo.http: Exception during request handling|Error on request")
    for login in ("person", "worker"):
        callers = [world.calls() for _ in range(3)]
        callers[0].json("common", "authenticate", world.db, login, secret, {})
        callers[1].session_login(login, secret)
        callers[2].json(
            "object", "execute_kw", world.db, world.uid(login), secret, "res.users", "read", []
        )
        for caller in callers:
            [row] = caller.rows()
            assert (row["outcome"], row["count"], row["login"]) == ("failure", 1, login)
            assert row["cause"] != "internal_error"


def test_secret_that_begins_like_a_key_and_is_too_long_to_be_hashed(world, calls):
    """It is no key, and nobody is told more."""
    secret = world.keys["good"][:8] + "0" * 5000
    assert calls.json2(secret).status == 401
    calls.execute_json(world.uid("worker"), secret)
    assert {row["cause"] for row in calls.rows()} == {"header_malformed", "malformed_request"}


@pytest.mark.parametrize("name", ["300 characters", "percent", "control characters", "60 kB"])
def test_hostile_agent(world, name):
    """An agent is kept in a harmless form."""
    agent = {**HOSTILE_TEXTS, "60 kB": "A b/1.0 " * 7500}[name]
    agent = agent.replace("\x1b", "").replace("\x08", "\x01")
    mark = world.server.log_mark()
    [last] = world.server.sql("SELECT max(id) FROM auth_attempt")
    status, headers, _body = world.calls().line.post(
        "/json/2/res.users/context_get",
        "{}",
        {"User-Agent": agent, "Content-Type": "application/json"},
    )
    assert status == 401
    [row] = world.server.sql("SELECT * FROM auth_attempt WHERE id > %s", [last["max"]])
    assert row["reference"] == headers["X-Auth-Reference"]
    assert len(row["user_agent"]) <= 200 and row["user_agent"].isprintable()
    assert "60 kB" != name or row["user_agent"].startswith("A b/1.0 ")
    assert len(world.server.log_since(mark)) < 10_000


def test_hostile_bodies(world):
    """Bodies that cannot be read: bad UTF-8, bad XML and JSON, wrong shapes."""
    world.server.expect_log("odoo.http: Exception during request handling")
    for body in (b"\xff\xfe\x80", b"<methodCall>", b"<a>" * 1000, b"", b"\x00"):
        caller = world.calls()
        reply = caller.xml("common", "", body=body)
        [row] = caller.rows()
        assert (row["cause"], row["reference"]) == ("malformed_request", reply.reference), body
    for body in (b"\xff\xfe", b"[", b"[]", b"17", b'{"params": []}', b'{"params": {"a": 1}}'):
        caller = world.calls()
        reply = caller.http("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
        [row] = caller.rows()
        assert (row["cause"], row["reference"]) == ("malformed_request", reply.reference), body


def test_hostile_database_name(world):
    """Core makes it part of every line of the log until the request ends."""
    world.server.expect_log("odoo.http: Exception during request handling")
    mark = world.server.log_mark()
    for name in (FORGED, "x" * 10_000, "\x1b[31m"):
        for params in (("common", "login", name, "person", "x"),
                       ("object", "execute_kw", name, 2, "x", "res.users", "read", [])):
            caller = world.calls()
            caller.json(*params)
            assert [row["cause"] for row in caller.rows()] == ["database_unknown"]
    log = world.server.log_since(mark)
    assert "203.0.113.66" not in log and "xxxxx" not in log and "\x1b[31m" not in log


def test_forged_line_is_no_match_for_fail2ban(world):
    """Debian's fail2ban-regex finds every guess in this server's log, and nothing else."""
    try:
        fail2ban_regex = debian_programs.fail2ban_regex()
    except debian_archive.Unavailable as error:
        pytest.skip(f"fail2ban-regex is not installed: {error.args[0]}")
    world.calls().authenticate("worker", "no key")
    world.calls().execute(world.uids["worker"], WRONG_KEY)
    world.calls("127.0.0.66").authenticate("person", FORGED)
    world.calls("127.0.0.66").authenticate(FORGED, "x")
    forge_lines_of_core(world)
    log = world.server.log_since()
    guesses = re.findall(
        r"Authentication refused: address=\S+ cause=(?:user_unknown|password_not_allowed"
        r"|password_wrong|key_unknown|second_factor_wrong|second_factor_replayed"
        r"|webhook_unknown) ", log
    )
    done = subprocess.run(
        [*fail2ban_regex, "--print-all-matched", world.server.log_path,
         ROOT / "data/fail2ban/auth_integration.conf"],
        capture_output=True, text=True, check=True,
    )
    assert f" {len(guesses)} matched" in done.stdout
    assert "127.0.0.66" in done.stdout
    assert "203.0.113.66" not in done.stdout


def forge_lines_of_core(world):
    """Have core log a text with line ends: of anybody in a message, of a user in an error."""
    world.server.expect_log("Exception during request handling|reset_password|RPC_ERROR")
    world.server.shell(
        "env['ir.config_parameter'].set_param('auth_signup.reset_password', 'True')"
    )
    mark = world.server.log_mark()
    world.calls().form("/web/reset_password", login=FORGED)
    in_message = world.server.log_since(mark)
    mark = world.server.log_mark()
    world.calls().execute_json(world.uids["person"], PASSWORD, FORGED)
    in_error = world.server.log_since(mark)
    for text in (in_message, in_error):
        assert "\n2026-01-01 00:00:00,000 1 INFO db odoo.addons.auth_integration" in text


def test_secrets_in_wrong_fields_are_found_nowhere(world):
    """A password or key typed as login, agent, in the query string, a header or a database name."""
    key = "c0ffee" * 6 + "1234"
    password = 'Tr0ub4dor&3/"correct"'
    spoken = "Horse7Battery9Staple"
    world.server.expect_log("odoo.http: Exception during request handling")
    for secret in (key, password, spoken):
        world.calls().authenticate(secret, "x")
        world.calls().authenticate("person", secret)
        world.calls().execute(world.uids["worker"], secret)
        world.calls().json("common", "login", world.db, secret, secret)
        world.calls().json("common", "login", secret, "person", "x")
        world.calls().json("object", "execute_kw", secret, 2, "x", "res.users", "read", [])
        world.calls().json("object", "execute_kw", world.db, secret, 2, "res.users", "read", [])
        world.calls().session_login(secret, secret)
        world.calls().web_login(secret, secret)
        world.calls().json2(secret, X_Api_Key=secret, Authorization=f"Basic {secret}")
        world.calls().json2(secret)
        world.calls().json2(secret, X_Odoo_Database=secret)
        world.calls().http("GET", "/probe/token", headers={"X-Probe-Token": secret})
        quoted = urllib.parse.quote(secret)
        world.calls().json2(None, f"res.users/context_get?api_key={quoted}&password={quoted}")
        agent = world.calls()
        agent.line.agent = secret
        agent.json2(WRONG_KEY)
        agent.authenticate("person", "x")
        assert agent.json2(world.keys["good"]).status == 200
    assert found(world.server, (key, password, spoken)) == set()

    # The search itself finds what is there.
    for form in encodings(password):
        planted = form.decode()
        world.server.sql(
            "INSERT INTO ir_config_parameter (key, value) VALUES ('planted', %s)", [planted]
        )
        places = {place for place, _secret in found(world.server, [password])}
        assert places == {"table ir_config_parameter"}
        world.server.sql("DELETE FROM ir_config_parameter WHERE key = 'planted'")
    with open(world.server.log_path, "ab") as log:
        log.write(key.encode() + b"\n")
    assert found(world.server, [key]) == {("server log", key)}


# Counts


def test_two_workers_that_meet_at_a_row_both_count(world):
    """The second waits for the first, and counts on from what that one has written."""
    for _minute in range(2):  # a call after the turn of the minute has a row of its own
        calls = world.calls()
        calls.json2(world.keys["expired"])
        [row] = calls.rows()
        with ThreadPoolExecutor(1) as pool, counting(world, row):
            second = pool.submit(calls.json2, world.keys["expired"])
            met = wait_for_locks(world.server, 1, second)
        if met:
            break
    assert totals(calls.rows()) == [("json2", "key_expired", 3)]


@contextlib.contextmanager
def counting(world, row):
    """Another worker is about to commit one more of the same attempt."""
    with contextlib.closing(psycopg2.connect(dbname=world.db)) as other, other.cursor() as cursor:
        cursor.execute("UPDATE auth_attempt SET count = count + 1 WHERE id = %s", [row["id"]])
        yield
        other.commit()


# Floods


def test_flood_is_bounded_and_counted_exactly(world):
    """Random logins and agents from parallel callers: few rows, and no attempt is missing."""
    limit, callers, tries = 5, 4, 25
    set_parameter(world, "auth_integration.attempt_new_rows_per_minute", str(limit))
    mark = world.server.sql("SELECT coalesce(max(id), 0) AS id FROM auth_attempt")[0]["id"]
    try:

        def attack(number):
            for turn in range(tries):
                world.calls(f"127.0.1.{number + 1}").authenticate(f"{number} {turn}", "x")
                world.calls().json2(world.keys["expired"])

        threads = [threading.Thread(target=attack, args=(number,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        set_parameter(world, "auth_integration.attempt_new_rows_per_minute", "100000")
    rows = world.server.sql("SELECT * FROM auth_attempt WHERE id > %s", [mark])
    by_cause = {}
    for row in rows:
        by_cause[row["cause"]] = by_cause.get(row["cause"], 0) + row["count"]
    assert by_cause == {"user_unknown": callers * tries, "key_expired": callers * tries}
    minutes = len({row["first_seen"].replace(second=0) for row in rows})
    # Past the second limit one row per cause is left; each worker may be late by one.
    assert len(rows) <= minutes * (2 * limit + 2 + 2 * callers)
    expired = [row for row in rows if row["cause"] == "key_expired"]
    assert {row["key_id"] for row in expired} == {world.key_ids["expired"]}
    assert {row["integration_id"] for row in expired} == {world.integrations["worker"]}
    collapsed = [row for row in rows if row["remote_addr"] == "(many)"]
    assert sum(row["count"] for row in collapsed) > callers * tries
    assert all(row["reference"] is None for row in collapsed)


def test_a_request_that_core_refuses_before_it_has_a_database(world, calls):
    """A session of one database and a header that names another: nothing of ours stumbles."""
    session = Session(world.server, "admin", "admin")
    cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
    mark = world.server.log_mark()
    for path in ("/web/login", "/json/2/res.users/context_get", "/web/login/totp"):
        headers = {"Cookie": cookie, "X-Odoo-Database": "another", "Content-Length": "0"}
        status, _headers, _body = session.line.request("POST", path, None, headers)
        assert status == 403
    assert "AttributeError" not in world.server.log_since(mark)
    assert calls.rows() == []
