"""What must hold of the attempt log whatever happens around it: exactly once over retries and
rollbacks, bounded, and found by a reference.

On a server with two workers, with read-only cursors where routes say so.
"""

import contextlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pyotp
import pytest

from callers.clients import Session
from processes import each_worker, wait_for_locks
from worlds.attempt import TOTP_SECRET, World, totals
from worlds.attempts_kept import PASSWORD, SERVER, outcomes, set_parameter

__all__ = ["SERVER"]  # conftest.py starts the servers as it says


@pytest.fixture(scope="module")
def world(live_server):
    made = World(live_server("main"))
    made.once = []
    return made


@pytest.fixture
def calls(world):
    return world.calls()


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
    # Past 5/4 of the limit, one row per cause is left; each worker may be late by one.
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
