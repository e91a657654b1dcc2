"""Diagnose, and proof that three places agree: each cause is provoked for real.

Diagnose, doctor.py and the form of the attempt all name the cause and its remedy.
"""

import http.server
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from callers.clients import Authenticate, Json2, Line, Refused, Session, Xmlrpc
from dev.common import ROOT, free_port
from other_servers import nginx

UNKNOWN_KEY = "0123456789abcdef" * 2 + "01234567"
SERVER = {"config": {"proxy_mode": True}}


@pytest.fixture(scope="module")
def server(live_server):
    server = live_server("main")
    set_base_url(server, server.url)
    return server


def set_base_url(server, url):
    server.shell(
        "env['ir.config_parameter'].set_param('web.base.url', url)"
        "\nenv['ir.config_parameter'].set_param('web.base.url.freeze', 'True')\nresult = 1",
        url=url,
    )


def make(server, code, **values):
    """Create an integration with one key; return its id, login, secret, key and uid."""
    told = server.shell(
        """
        integration = env["auth.integration"].create(
            {"name": login.capitalize(), "code": login, "owner_ids": [2], **values})
        secret, key = env["auth.integration.key"]._issue(integration, login)
        result = [integration.id, integration.login, secret, key.id, integration.user_id.id]
        """,
        login=code,
        values=values,
    )
    return SimpleNamespace(**dict(zip(("id", "login", "secret", "key", "uid"), told, strict=True)))


def diagnose(server, integration):
    """Run a diagnosis in another process, as the cron job does, and return its lines."""
    lines = server.shell(
        """
        admin = env(user=2)
        action = admin["auth.integration"].browse(integration).action_diagnose()
        env.cr.commit()
        env["auth.integration.diagnosis"]._cron_run()
        diagnosis = env["auth.integration.diagnosis"].browse(action["res_id"])
        assert diagnosis.state == "done", diagnosis.state
        result = diagnosis.line_ids.read(
            ["side", "result", "check_name", "cause", "seen", "meaning", "remedy", "res_model",
             "res_id", "fix"])
        for line in result:
            record = line["res_id"] and env[line["res_model"]].browse(line["res_id"])
            line["record_exists"] = bool(record and record.exists())
        """,
        integration=integration.id,
    )
    for line in lines:
        if line["result"] == "failed":
            assert_it_tells_its_source(line)
    return lines


def assert_it_tells_its_source(line):
    """Each ✗ of a diagnosis names the record it is about, or a request and its response."""
    assert line["seen"] and line["meaning"] and line["remedy"], line
    if line["side"] == "inside":
        assert line["record_exists"], line
    else:
        assert re.search(r"\b(GET|POST) \S+ → (\d{3}|no answer|\S+ )", line["seen"]), line


def found(lines, result="failed"):
    return {line["cause"]: line for line in lines if line["result"] == result}


def probes(server):
    return server.sql(
        "SELECT id FROM auth_integration_key WHERE scope = 'auth_integration.probe'"
        " UNION SELECT id FROM res_users_apikeys WHERE scope = 'auth_integration.probe'"
    )


def test_a_healthy_integration(server):
    """Nothing is found, every protocol was really called, and the probe key leaves no trace."""
    shop = make(server, "healthy")
    mark = server.log_mark()
    lines = diagnose(server, shop)
    assert not found(lines), lines
    assert not [line for line in lines if line["result"] == "ok" and line["remedy"]]
    # The end of the probe key in a minute is not reported.
    assert not [line for line in lines if line["cause"] == "key_ending"]
    outside = {line["check_name"]: line["seen"] for line in lines if line["side"] == "outside"}
    assert {name for name, seen in outside.items() if seen.startswith("accepted")} == {
        "Test call through JSON-2", "Test call through XML-RPC", "Test call through JSON-RPC",
    }
    assert "the correct answer" in outside["Identity"]
    assert not probes(server)
    log = server.log_since(mark)
    for path in ("/json/2/auth.integration.key/whoami", "/xmlrpc/2/object", "/jsonrpc"):
        assert path in log
    # The probe's calls do not count as the integration's.
    [row] = server.sql(
        "SELECT count(*) FROM auth_attempt WHERE integration_id = %s", [shop.id]
    )
    assert row["count"] == 0
    [key] = server.sql("SELECT use_count FROM auth_integration_key WHERE id = %s", [shop.key])
    assert not key["use_count"]
    # Not even if the integration is known to call from the server's own address.
    Json2(server, shop.secret).call("res.users", "context_get")
    for _time in range(2):
        lines = diagnose(server, shop)
        assert {line["result"] for line in lines if line["side"] == "inside"} == {"ok"}, lines
    assert not server.sql(
        "SELECT cause FROM auth_attempt WHERE integration_id = %s AND cause IS NOT NULL", [shop.id]
    )


def test_a_mistyped_key(server):
    """The end of the key is wrong; on each protocol, the log knows which key was meant."""
    shop = make(server, "mistyped")
    wrong = shop.secret[:-1] + ("0" if shop.secret[-1] != "0" else "1")
    calls = {
        "json2": lambda: Json2(server, wrong).call("res.users", "context_get"),
        "xmlrpc": lambda: Xmlrpc(server, shop.uid, wrong).call("res.users", "context_get"),
    }
    for channel, call in calls.items():
        with pytest.raises(Refused):
            call()
        [row] = server.sql(
            "SELECT cause, key_id, similar_key_id FROM auth_attempt"
            " WHERE channel = %s AND outcome = 'failure' ORDER BY id DESC LIMIT 1", [channel]
        )
        assert row == {"cause": "key_unknown", "key_id": None, "similar_key_id": shop.key}, channel
    with pytest.raises(Refused):
        Authenticate(server, shop.login, wrong).call()
    rows = server.sql("SELECT cause FROM auth_attempt WHERE similar_key_id = %s", [shop.key])
    assert len(rows) == 3 and {row["cause"] for row in rows} == {"key_unknown"}
    lines = diagnose(server, shop)
    assert any("Probably mistyped" in line["seen"] for line in lines), lines


def test_a_probe_key_opens_whoami_only(server):
    shop = make(server, "probed")
    [secret, key] = server.shell(
        """
        diagnosis = env["auth.integration.diagnosis"].create({"integration_id": i})
        result = diagnosis._issue_probe()
        """,
        i=shop.id,
    )
    whoami = ("auth.integration.key", "whoami")
    assert Json2(server, secret).call(*whoami)["integration"] == "probed"
    assert Xmlrpc(server, shop.uid, secret).call(*whoami)["integration"] == "probed"
    assert Authenticate(server, shop.login, secret).call() == shop.uid
    for call in (
        lambda: Json2(server, secret).call("res.users", "context_get"),
        lambda: Xmlrpc(server, shop.uid, secret).call("res.users", "context_get"),
        lambda: Xmlrpc(server, shop.uid, secret).call("auth.integration.key", "rotate"),
        lambda: Session(server, shop.login, secret),
    ):
        with pytest.raises(Refused):
            call()
    # Stock Odoo without the add-on would accept it for nothing.
    [native] = server.sql(
        "SELECT scope, expiration_date <= now() AT TIME ZONE 'UTC' + interval '60 s' AS soon"
        " FROM res_users_apikeys WHERE scope LIKE 'auth_integration%%'"
    )
    assert native == {"scope": "auth_integration.probe", "soon": True}
    # A killed diagnosis leaves the probe key until it expires; the next diagnosis removes it.
    server.sql(
        "UPDATE auth_integration_key SET expires_at = now() - interval '1 h' WHERE id = %s", [key]
    )
    server.sql(
        "UPDATE res_users_apikeys SET expiration_date = now() - interval '1 h' WHERE scope = %s",
        ["auth_integration.probe"],
    )
    with pytest.raises(Refused):
        Json2(server, secret).call(*whoami)
    server.shell("env['auth.integration.diagnosis']._cron_run(); result = 1")
    assert not probes(server)


def test_no_probe_for_a_stranger(server):
    """web.base.url leads to another server, which gets no key; the diagnosis reports it."""
    heard = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
            heard.append(f"{self.path} {self.headers} {body}")
            text = b'{"proof": "no", "version": "19.0", "message": "x", "name": "y"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *_args):
            """Do not log."""

    shop = make(server, "strange")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        set_base_url(server, f"http://127.0.0.1:{stranger.server_port}")
        try:
            lines = diagnose(server, shop)
        finally:
            set_base_url(server, server.url)
            stranger.shutdown()
    assert "not_this_database" in found(lines)
    assert heard
    assert not [text for text in heard if re.search(r"(?i)bearer [0-9a-f]{40}", text)]


def test_the_probe_ends_whatever_happens(server):
    """If the outside checks fail, the page says so, keeps the other results, and no key is left."""
    shop = make(server, "broken")
    told = server.shell(
        """
        import sys
        diagnoses = type(env["auth.integration.diagnosis"])
        doctor, executable = diagnoses._doctor, sys.executable
        secrets, result = [], []

        def fail(self, url, secret):
            secrets.append(secret)
            raise ZeroDivisionError("planted")

        def run():
            action = env(user=2)["auth.integration"].browse(i).action_diagnose()
            env.cr.commit()
            env["auth.integration.diagnosis"]._cron_run()
            diagnosis = env["auth.integration.diagnosis"].browse(action["res_id"])
            result.append([diagnosis.state, diagnosis.line_ids.mapped("cause"),
                           len(diagnosis.line_ids), bool(diagnosis.finished_at)])

        try:
            diagnoses._doctor = fail
            run()
            diagnoses._doctor, sys.executable = doctor, "/bin/false"
            run()
        finally:
            diagnoses._doctor, sys.executable = doctor, executable
        assert len(secrets) == 1 and len(secrets[0]) == 40
        """,
        i=shop.id,
    )
    assert not probes(server)
    [broken_off, without_doctor] = told
    assert broken_off[0] == "failed" and broken_off[2] > 5 and broken_off[3]
    assert without_doctor[0] == "done" and "doctor_failed" in without_doctor[1]


def test_the_nonce_is_answered_only_while_it_is_awaited(server):
    line = Line(server)
    for nonce in ("", "0" * 32, "x"):
        assert line.request("GET", f"/auth_integration/challenge?nonce={nonce}")[0] == 404


def test_who_may_ask(server):
    """An owner can diagnose their own integration and see the result; no one else can."""
    told = server.shell(
        """
        from odoo.exceptions import AccessError
        users = {
            name: env["res.users"].create({"name": name, "login": name})
            for name in ("dora", "dirk")
        }
        integration = env["auth.integration"].create(
            {"name": "Asked", "code": "asked", "owner_ids": [(6, 0, users["dora"].ids)]})
        env["auth.integration"].create(
            {"name": "Other", "code": "other", "owner_ids": [(6, 0, users["dirk"].ids)]})
        result = []
        action = integration.with_user(users["dora"]).action_diagnose()
        for name, user in users.items():
            seen = env["auth.integration.diagnosis"].with_user(user).search(
                [("id", "=", action["res_id"])])
            result.append([name, bool(seen)])
        try:
            integration.with_user(users["dirk"]).action_diagnose()
            result.append("asked")
        except AccessError:
            result.append("refused")
        env["auth.integration.diagnosis"].browse(action["res_id"]).unlink()
        """
    )
    assert told == [["dora", True], ["dirk", False], "refused"]


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    """nginx proxies that block the API, strip a header, or hide the caller's address."""
    if not nginx.executable():
        pytest.skip("nginx is not installed, and only root may install it: apt-get install nginx")
    running = nginx.Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{server.port}")
    urls = {
        "path_blocked": running.site("location ~ ^/(json|jsonrpc|xmlrpc) { return 403; }"),
        "authorization_stripped": running.site(headers='proxy_set_header Authorization "";'),
        "database_header_stripped": running.site(headers='proxy_set_header X-Odoo-Database "";'),
        "address_is_the_proxys": running.site(forward="", headers="proxy_bind 127.0.0.9;"),
    }
    running.start()
    yield {cause: f"http://127.0.0.1:{port}" for cause, port in urls.items()}
    running.stop()


@pytest.mark.parametrize(
    "cause",
    ["path_blocked", "authorization_stripped", "database_header_stripped",
     "address_is_the_proxys"],
)
def test_what_a_proxy_does(server, proxy, cause):
    """Diagnose detects the faults of a proxy, since it calls from outside."""
    shop = make(server, f"behind_{cause}")
    set_base_url(server, proxy[cause])
    try:
        lines = diagnose(server, shop)
    finally:
        set_base_url(server, server.url)
    named = {**found(lines), **found(lines, "warning")}
    assert cause in named, lines
    assert named[cause]["side"] == "outside"
    assert named[cause]["remedy"]


def test_nothing_listens_at_web_base_url(server):
    shop = make(server, "nowhere")
    set_base_url(server, f"http://127.0.0.1:{free_port()}")
    try:
        lines = diagnose(server, shop)
    finally:
        set_base_url(server, server.url)
    assert {"connection_refused", "not_this_database"} <= set(found(lines))


# The proof


@dataclass(frozen=True)
class Case:
    """A way to fail, provoked for real, and what the three places say about it.

    :ivar call: takes the server, the integration and a :class:`Line` from its own address
    :ivar cause: the cause in the log; by default the name of the case
    :ivar change: code that runs in Odoo before the call, with ``integration``, ``key`` and ``now``
    :ivar told: part of what the attempt's form says about this case
    :ivar fix: the button that Diagnose offers
    :ivar settings: the settings of the failing program, for doctor.py
    :ivar doctor: the cause that doctor.py names; by default the same
    :ivar remedy: part of the remedy that doctor.py shows
    :ivar certain: whether the log knows for sure that it was this integration
    """

    call: object
    remedy: str
    cause: str | None = None
    change: str = ""
    told: str = ""
    fix: str = "open"
    settings: dict | None = None
    doctor: str | None = None
    certain: bool = True


def json2(server, shop, at):
    Json2(server, shop.secret, at).call("res.users", "context_get")


def rpc(server, shop, at):
    Xmlrpc(server, shop.uid, shop.secret, at).call("res.users", "context_get")


def wrong_database(server, shop, at):
    params = ("nowhere", shop.login, shop.secret, {})
    Xmlrpc(server, None, None, at).service("common", "authenticate", params)


def wrong_endpoint(server, shop, at):
    status, headers, _answer = at.post("/xmlrpc/2/xmlrpc/2/common", b"")
    raise Refused(status, "", headers)


def skipped(server, shop, at):
    """Use False as the user ID, as a program does that ignores the result of authenticate."""
    with suppress(Refused):
        Authenticate(server, shop.login, UNKNOWN_KEY, at).call()
    Xmlrpc(server, False, UNKNOWN_KEY, at).call("res.users", "context_get")


def log_in(login, password):
    return lambda server, shop, at: Authenticate(server, login or shop.login, password, at).call()


def ended_session(server, shop, at):
    """Continue in a session that was logged out."""
    session = Session(server, "pat", "the new one", at)
    held = dict(session.cookies)
    session.post("/web/session/destroy", {})
    session.cookies = held
    shop.session_id = held["session_id"]
    session.call("res.users", "context_get")


EXPIRE = """
env.cr.execute("UPDATE auth_integration_key SET expires_at = %s WHERE id = %s",
               [now - timedelta(hours=1), key.id])
key.invalidate_recordset(); key._write_native_end()
"""
SCOPE = """
for table, number in (("auth_integration_key", key.id), ("res_users_apikeys", key.apikey_id.id)):
    env.cr.execute(f"UPDATE {table} SET scope = 'plugin' WHERE id = %s", [number])
"""
SUPERSEDE = """
_secret, new = env["auth.integration.key"]._issue(integration, "new")
new.write({"first_used_at": now - timedelta(hours=2), "last_used_at": now - timedelta(hours=2)})
key._retire(now - timedelta(hours=1), new)
"""
# The system uses a person's account, whose password has just been changed.
CHANGE_PASSWORD = """
pat = env["res.users"].search([("login", "=", "pat")])
pat.password = "the new one"
env.flush_all()
env.cr.execute(
    "UPDATE auth_integration_password_change SET changed_at = '2026-03-04 05:06:07'"
    " WHERE user_id = %s", [pat.id])
"""
PROOF = {
    "wrong database": Case(
        wrong_database, cause="database_unknown", told="last successful call",
        settings={"database": "nowhere"}, remedy="uppercase letters",
    ),
    "wrong endpoint": Case(
        wrong_endpoint, cause="endpoint_unknown", told="last successful call",
        settings={"path": "/xmlrpc/2/xmlrpc/2/common"}, doctor="path_doubled",
        remedy="base URL only",
    ),
    "skipped authentication": Case(
        skipped, cause="authenticate_skipped", told="rejected for",
        settings={"secret": UNKNOWN_KEY, "options": ["--uid", "False"]},
        remedy="Call authenticate first",
    ),
    "wrong password": Case(
        log_in("pat", "not hers"), cause="password_wrong", told="last changed on",
        settings={"login": "pat", "secret": "not hers"}, remedy="current password", certain=False,
    ),
    "password changed a minute ago": Case(
        log_in("pat", "the old one"), cause="password_wrong", change=CHANGE_PASSWORD,
        told="last changed on 4 Mar 2026 05:06:07",
        settings={"login": "pat", "secret": "the old one"}, remedy="may have changed",
        certain=False,
    ),
    "ended session": Case(
        ended_session, cause="session_expired", told="last successful call",
        settings={"login": "", "secret": ""}, remedy="Authenticate again",
    ),
    "password instead of a key": Case(
        log_in(None, "a password"), cause="password_not_allowed", told="integration user",
        fix="issue_key", settings={"secret": "a password"}, doctor="password_wrong",
        remedy="Integrations and users with a second factor need one",
    ),
    "wrong key": Case(
        log_in(None, UNKNOWN_KEY), cause="key_unknown", told="Working keys", fix="issue_key",
        settings={"secret": UNKNOWN_KEY}, remedy="Compare its first 8 characters",
    ),
    "revoked key": Case(
        json2, cause="key_revoked", change="key.revoke('laptop stolen')", told="laptop stolen",
        fix="issue_key", remedy="a new key",
    ),
    "expired key": Case(
        json2, cause="key_expired", change=EXPIRE, told="stopped working on", fix="issue_key",
        remedy="a new key",
    ),
    "key of another scope": Case(
        json2, cause="key_wrong_scope", change=SCOPE, told="plugin", fix="issue_key",
        remedy="valid for API calls",
    ),
    "key rotated out": Case(
        rpc, cause="key_superseded", change=SUPERSEDE, told="replaced by",
        remedy="Install the new key",
    ),
    "archived user": Case(
        rpc, cause="user_archived", change="integration.user_id.action_archive()",
        told="is archived", fix="restore_user", remedy="restore the user",
    ),
    "address blocked by us": Case(
        json2, cause="address_not_allowed", change="integration.allowed_networks = '192.0.2.0/24'",
        told="192.0.2.0/24", fix="add_network", remedy="allow the address",
    ),
    "protocol not allowed": Case(
        json2, cause="channel_not_allowed", change="integration.allowed_channels = 'http'",
        told="used JSON-2", remedy="another protocol",
    ),
}
_addresses = itertools.count(1)


@pytest.fixture(scope="module")
def pat(server):
    """A person whose password a system uses."""
    server.shell(
        """
        env["res.users"].create({"name": "Pat", "login": "pat", "password": "the old one"})
        env["ir.config_parameter"].set_param("base.login_cooldown_after", "0")
        result = 1
        """
    )


def doctor(server, login, secret, *, database=None, path="", url=None, options=(), session_id=""):
    """Run doctor.py with the failing program's settings; return the step that names the cause."""
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "static" / "doctor.py", (url or server.url) + path, "--json",
         "--source-address", f"127.8.0.{next(_addresses)}", *options],
        env={"PATH": os.environ["PATH"], "ODOO_DB": database or server.db, "ODOO_KEY": secret,
             "ODOO_LOGIN": login, "ODOO_SESSION_ID": session_id},
        capture_output=True,
        text=True,
    )
    for hidden in (secret, session_id):
        assert not hidden or hidden not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    return next(step for step in told["steps"] if step["cause"] == told["cause"])


def attempt_of(server, cause, address):
    """Return what the form shows an administrator of the newest attempt of a cause and address."""
    return SimpleNamespace(
        **server.shell(
            """
            attempt = env(user=2)["auth.attempt"].search(
                [("cause", "=", cause), ("remote_addr", "=", address)], limit=1)
            result = {
                "id": attempt.id, "remedy": attempt.cause_remedy, "can_open": attempt.fix_open,
                "told": attempt.case_explanation, "integration": attempt.integration_id.id}
            """,
            cause=cause,
            address=address,
        )
    )


@pytest.mark.parametrize("name", PROOF)
def test_proof(server, pat, name):
    """An administrator and an integrator see the same cause in all three places."""
    case = PROOF[name]
    server.expect_log(r'FATAL:  database "\w+" does not exist')
    number = next(_addresses)
    shop = make(server, f"proof_{number}")
    at = Line(server, source=f"127.8.1.{number}")
    rpc(server, shop, at)  # it has worked from this address
    server.shell(
        "from datetime import timedelta\nfrom odoo import fields\n"
        "now = fields.Datetime.now()\nkey = env['auth.integration.key'].browse(k)\n"
        "integration = env['auth.integration'].browse(i)\nresult = 1\n" + case.change,
        k=shop.key,
        i=shop.id,
    )
    with pytest.raises((Refused, xmlrpc.client.Fault)):
        case.call(server, shop, at)
    # The form of the attempt
    attempt = attempt_of(server, case.cause, at.source)
    assert case.told in attempt.told, attempt
    assert (attempt.integration == shop.id) == case.certain == attempt.can_open, attempt
    # Diagnose
    lines = diagnose(server, shop)
    diagnosed = found(lines, "failed" if case.certain else "warning")[case.cause]
    assert diagnosed["remedy"] == attempt.remedy
    assert case.told in found_attempt(lines, attempt.id)["seen"]
    assert diagnosed["fix"] == case.fix
    # doctor.py
    settings = {"login": shop.login, "secret": shop.secret, **(case.settings or {})}
    step = doctor(server, **settings, session_id=getattr(shop, "session_id", ""))
    assert step["cause"] == (case.doctor or case.cause), step
    assert case.remedy in step["remedy"], step


def found_attempt(lines, attempt_id):
    """The line of Diagnose that leads to an attempt."""
    [line] = [
        line for line in lines
        if (line["res_model"], line["res_id"]) == ("auth.attempt", attempt_id)
    ]
    return line


def test_proof_path_blocked(server, proxy):
    """nginx blocks the call, so there is no attempt; Diagnose and doctor.py detect it."""
    shop = make(server, "proof_blocked")
    at = Line(SimpleNamespace(port=int(proxy["path_blocked"].rpartition(":")[2]),
                              log_mark=server.log_mark))
    assert at.post("/json/2/res.users/context_get", b"{}")[0] == 403
    set_base_url(server, proxy["path_blocked"])
    try:
        lines = diagnose(server, shop)
    finally:
        set_base_url(server, server.url)
    [attempts] = [line for line in lines if line["check_name"] == "Attempts"]
    assert attempts["seen"] == "no rejected attempts in the last 24 hours"
    blocked = [line for line in lines if line["cause"] == "path_blocked"]
    assert [line["check_name"] for line in blocked] == [
        "Endpoint of JSON-2", "Endpoint of XML-RPC", "Endpoint of JSON-RPC"]
    assert all("→ 403" in line["seen"] and "allow POST" in line["remedy"] for line in blocked)
    step = doctor(server, shop.login, shop.secret, url=proxy["path_blocked"])
    assert (step["cause"], step["remedy"]) == ("path_blocked", blocked[0]["remedy"])


def test_proof_login_wrong(server):
    """The attempt of a misspelled login has no integration, but leads to the one that was meant."""
    shop = make(server, "proof_login")
    with pytest.raises(Refused):
        Authenticate(server, "prof_login", shop.secret, Line(server, source="127.8.2.1")).call()
    attempt = attempt_of(server, "user_unknown", "127.8.2.1")
    assert "“proof_login”" in attempt.told and attempt.can_open
    assert "“proof_login”" in found(diagnose(server, shop))["user_unknown"]["seen"]
    step = doctor(server, "prof_login", shop.secret)
    assert step["cause"] == "login_wrong" and "proof_login" in step["meaning"]


def test_the_button_allows_the_refused_address(server):
    """Integration administrators can use it; the next call is accepted, the history shows it."""
    shop = make(server, "proof_button", allowed_networks="192.0.2.0/24")
    at = Line(server, source="127.8.2.2")
    with pytest.raises(Refused):
        json2(server, shop, at)
    line = found(diagnose(server, shop))["address_not_allowed"]
    assert line["fix"] == "add_network"
    history = server.shell(
        """
        from odoo.exceptions import AccessError, UserError
        owner = env["res.users"].create({"name": "Otto", "login": "otto"})
        integration = env["auth.integration"].browse(i)
        integration.owner_ids += owner
        line = env["auth.integration.diagnosis.line"].browse(line)
        try:
            line.with_user(owner).action_fix()
            result = "an owner allowed an address"
        except (AccessError, UserError):
            line.with_user(2).action_fix()
            result = " ".join(integration.message_ids.mapped("body"))
        """,
        i=shop.id,
        line=line["id"],
    )
    assert "allowed calls from 127.8.2.2" in history
    json2(server, shop, at)


# What the server itself records


def facts(server):
    rows = server.sql(
        "SELECT replace(key, 'auth_integration.server.', '') AS name, value"
        " FROM ir_config_parameter WHERE key IN ('auth_integration.server.secret_key',"
        " 'auth_integration.server.proxy_mode')"
    )
    return {row["name"]: row["value"] for row in rows}


def server_findings(server):
    return {
        row["code"]
        for row in server.sql(
            "SELECT code FROM auth_integration_finding WHERE integration_id IS NULL"
            " AND key_id IS NULL AND user_id IS NULL"
        )
    }


def test_what_is_written_down_of_the_server(server, monkeypatch):
    """The server records facts at its start and at the first call that shows them.

    Both findings appear, and both disappear.
    """
    assert facts(server) == {"secret_key": "missing", "proxy_mode": "on"}
    assert not server_findings(server), "no integration needs the key"
    shop = make(server, "served")
    server.shell(
        """
        policy = env["auth.integration.policy"].create({"name": "Sent", "delivery": "webhook"})
        env["auth.integration"].browse(i).policy_id = policy
        result = 1
        """,
        i=shop.id,
    )
    assert server_findings(server) == {"secrets_not_encrypted"}
    monkeypatch.setenv("AUTH_INTEGRATION_SECRET_KEY", "A" * 43 + "=")
    server.config["proxy_mode"] = False
    server.restart()
    forwarded = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "erp.example.com"}
    with pytest.raises(Refused):
        Json2(server, UNKNOWN_KEY, headers=forwarded).call("res.users", "context_get")
    Json2(server, shop.secret).call("res.users", "context_get")
    assert facts(server) == {"secret_key": "present", "proxy_mode": "on"}
    assert not server_findings(server), "anybody can send the header"
    Json2(server, shop.secret, headers=forwarded).call("res.users", "context_get")
    assert server_findings(server) == {"proxy_mode_off"}
    named = found(diagnose(server, shop))["proxy_mode_off"]
    assert named["res_model"] == "ir.config_parameter" and not named["fix"]
    # If the proxy was removed, the finding disappears after a week.
    server.sql("UPDATE ir_config_parameter SET write_date = now() - interval '8 days'"
               " WHERE key = 'auth_integration.server.proxy_mode'")
    assert not server_findings(server)
    server.config["proxy_mode"] = True
    server.restart()
    assert facts(server)["proxy_mode"] == "on"
