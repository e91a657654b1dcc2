"""Diagnose on a real server: what it finds within, what it sees from outside, and who may ask."""

import http.server
import re
import threading
from types import SimpleNamespace

import pytest

from callers.clients import Authenticate, Json2, Line, Refused, Session, Xmlrpc
from dev.common import free_port
from other_servers import nginx
from worlds.diagnosis import SERVER, UNKNOWN_KEY, diagnose, doctor, found, make, set_base_url

__all__ = ["SERVER"]  # conftest.py starts the servers as it says


@pytest.fixture(scope="module")
def server(live_server):
    server = live_server("main")
    set_base_url(server, server.url)
    return server


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


# What the server itself has to say


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
