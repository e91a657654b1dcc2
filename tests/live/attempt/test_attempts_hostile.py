"""What callers send to harm the log: it keeps no secrets, stays small and cannot be forged."""

import re
import subprocess
import urllib.parse

import pytest

from dev.common import ROOT
from dev.environment import debian_archive, debian_programs
from evidence.secret_search import encodings, found
from worlds.attempt import WRONG_KEY, World
from worlds.attempts_kept import PASSWORD, SERVER

__all__ = ["SERVER"]  # conftest.py starts the servers as it says


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


@pytest.fixture
def calls(world):
    return world.calls()


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
