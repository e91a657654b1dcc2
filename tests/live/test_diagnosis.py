"""Diagnose, and the proof of all three readers: each cause is made to happen for real, and named
with its remedy by Diagnose, by doctor.py and by the form of the attempt."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import xmlrpc.client
from contextlib import suppress
from types import SimpleNamespace

import nginx
import pytest
from clients import Authenticate, Json2, Line, Refused, Session, Xmlrpc
from conftest import ROOT

from common import free_port

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
    """An integration with one key: ``(id, login, secret, key_id, uid)``."""
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
    """Have a diagnosis made in another process, as the scheduled job does; return its lines."""
    return server.shell(
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
        """,
        integration=integration.id,
    )


def found(lines, result="failed"):
    return {line["cause"]: line for line in lines if line["result"] == result}


def probes(server):
    return server.sql(
        "SELECT id FROM auth_integration_key WHERE scope = 'auth_integration.probe'"
        " UNION SELECT id FROM res_users_apikeys WHERE scope = 'auth_integration.probe'"
    )


def test_a_healthy_integration(server):
    """Nothing is found; every protocol was called for real; no trace of the probe is left."""
    shop = make(server, "healthy")
    mark = server.log_mark()
    lines = diagnose(server, shop)
    assert not found(lines), lines
    assert not [line for line in lines if line["result"] == "ok" and line["remedy"]]
    outside = {line["check_name"]: line["seen"] for line in lines if line["side"] == "outside"}
    assert {name for name, seen in outside.items() if seen.startswith("accepted")} == {
        "json2", "xmlrpc", "jsonrpc",
    }
    assert "the right proof" in outside["Identity"]
    assert not probes(server)
    log = server.log_since(mark)
    for path in ("/json/2/auth.integration.key/whoami", "/xmlrpc/2/object", "/jsonrpc"):
        assert path in log
    # Its calls are not the integration's.
    [row] = server.sql(
        "SELECT count(*) FROM auth_attempt WHERE integration_id = %s", [shop.id]
    )
    assert row["count"] == 0
    [key] = server.sql("SELECT use_count FROM auth_integration_key WHERE id = %s", [shop.key])
    assert not key["use_count"]


def test_every_cross_tells_its_source(server):
    """Each ✗ names the record it read, or comes from an exchange."""
    shop = make(server, "crossed")
    with suppress(Refused):
        Authenticate(server, shop.login, UNKNOWN_KEY).call()
    server.shell("env['auth.integration'].browse(i).user_id.action_archive(); result=1", i=shop.id)
    lines = diagnose(server, shop)
    assert found(lines)
    for line in found(lines).values():
        assert line["seen"] and line["meaning"] and line["remedy"], line
        assert line["side"] == "outside" or line["res_id"], line


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
    # Stock Odoo alone would accept it for nothing at all.
    [native] = server.sql(
        "SELECT scope, expiration_date <= now() AT TIME ZONE 'UTC' + interval '60 s' AS soon"
        " FROM res_users_apikeys WHERE scope LIKE 'auth_integration%%'"
    )
    assert native == {"scope": "auth_integration.probe", "soon": True}
    # A diagnosis that died leaves it to its end, and the next one clears it away.
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
    """web.base.url leads to another server: it gets no key, and the diagnosis says so."""
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
            """Say nothing."""

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


def test_the_nonce_is_answered_only_while_it_is_awaited(server):
    line = Line(server)
    for nonce in ("", "0" * 32, "x"):
        assert line.request("GET", f"/auth_integration/challenge?nonce={nonce}")[0] == 404


def test_who_may_ask(server):
    """An owner diagnoses his own integration, sees it, and nobody else does."""
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
    """An nginx that blocks /json/2, one that strips the key, one that redirects to https."""
    if not nginx.executable():
        pytest.skip("nginx is not installed, and only root may install it: apt-get install nginx")
    running = nginx.Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{server.port}")
    urls = {
        "path_blocked": running.site("location /json/2 { return 403; }"),
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
    """What stands before Odoo is seen by Diagnose, since it comes from outside."""
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


def doctor(server, login, secret, *options, database=None, path=""):
    """The cause that doctor.py names, with settings as they were used in the failed call."""
    doctor.number += 1
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "static" / "doctor.py", server.url + path, "--json",
         "--source-address", f"127.8.0.{doctor.number}", *options],
        env={"PATH": os.environ["PATH"], "ODOO_DB": database or server.db, "ODOO_KEY": secret,
             "ODOO_LOGIN": login},
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout)
    [first] = [step for step in told["steps"] if step["cause"] == told["cause"]][:1]
    assert first["remedy"]
    return told["cause"]


doctor.number = 0


def in_odoo(server, code, shop, **values):
    return server.shell(
        "from datetime import timedelta\nfrom odoo import fields\n"
        "now = fields.Datetime.now()\n"
        "key = env['auth.integration.key'].browse(k)\n"
        "integration = env['auth.integration'].browse(i)\nresult = 1\n" + code,
        k=shop.key,
        i=shop.id,
        **values,
    )


def json2(server, shop):
    Json2(server, shop.secret).call("res.users", "context_get")


def rpc(server, shop):
    Xmlrpc(server, shop.uid, shop.secret).call("res.users", "context_get")


EXPIRE = """
env.cr.execute("UPDATE auth_integration_key SET expires_at = %s WHERE id = %s",
               [now - timedelta(hours=1), k])
key.invalidate_recordset(); key._write_native_end()
"""
SCOPE = """
for table, number in (("auth_integration_key", k), ("res_users_apikeys", key.apikey_id.id)):
    env.cr.execute(f"UPDATE {table} SET scope = 'plugin' WHERE id = %s", [number])
"""
SUPERSEDE = """
_secret, new = env["auth.integration.key"]._issue(integration, "new")
key._retire(now - timedelta(hours=1), new)
"""

# What is done inside Odoo, how it is called then, and how the form of the attempt tells the case.
PROOF = {
    "key_expired": (EXPIRE, json2, "ended on"),
    "key_revoked": ("key.revoke('laptop stolen')", json2, "laptop stolen"),
    "key_superseded": (SUPERSEDE, rpc, "replaced by"),
    "key_wrong_scope": (SCOPE, json2, "plugin"),
    "user_archived": ("integration.user_id.action_archive()", rpc, "is archived"),
    "address_not_allowed": ("integration.allowed_networks = '192.0.2.0/24'", json2, "192.0.2.0/24"),
    "channel_not_allowed": ("integration.allowed_channels = 'http'", json2, "came over JSON-2"),
}


def attempt_of(server, shop, cause):
    """What the form of the newest attempt of a cause tells an administrator."""
    return server.shell(
        """
        attempt = env(user=2)["auth.attempt"].search(
            [("cause", "=", cause), ("integration_id", "=", i)], limit=1)
        result = [attempt.cause_remedy, attempt.case_explanation, attempt.fix_open]
        """,
        cause=cause,
        i=shop.id,
    )


@pytest.mark.parametrize("cause", PROOF)
def test_proof(server, cause):
    """An administrator and an integrator read the same cause in all three places."""
    change, call, case = PROOF[cause]
    shop = make(server, f"proof_{cause}")
    in_odoo(server, change, shop)
    with pytest.raises(Refused):
        call(server, shop)
    remedy, told, can_open = attempt_of(server, shop, cause)
    assert case in told and can_open, told
    diagnosed = found(diagnose(server, shop))
    assert diagnosed[cause]["remedy"] == remedy
    assert case in diagnosed[cause]["seen"] or cause == "user_archived"
    assert doctor(server, shop.login, shop.secret) == cause


def test_proof_key_wrong(server):
    """A key that never was: known as the integration's by its login, over RPC."""
    shop = make(server, "proof_wrong")
    with pytest.raises(Refused):
        Authenticate(server, shop.login, UNKNOWN_KEY).call()
    remedy, told, _open = attempt_of(server, shop, "key_unknown")
    assert "What works now" in told
    assert found(diagnose(server, shop))["key_unknown"]["remedy"] == remedy
    assert doctor(server, shop.login, UNKNOWN_KEY) == "key_unknown"


def test_proof_password_instead_of_a_key(server):
    shop = make(server, "proof_password")
    with pytest.raises(Refused):
        Authenticate(server, shop.login, "a password").call()
    _remedy, told, _open = attempt_of(server, shop, "password_not_allowed")
    assert "technical user" in told
    assert "password_not_allowed" in found(diagnose(server, shop))
    assert doctor(server, shop.login, "a password") == "login_or_secret_wrong"


def test_proof_login_wrong(server):
    """A slip in the login: nobody's attempt, and it leads to the integration that was meant."""
    shop = make(server, "proof_login")
    with pytest.raises(Refused):
        Authenticate(server, "prof_login", shop.secret).call()
    told = server.shell(
        """
        attempt = env(user=2)["auth.attempt"].search([("cause", "=", "user_unknown")], limit=1)
        result = [attempt.case_explanation, attempt.fix_open]
        """
    )
    assert "“proof_login”" in told[0] and told[1]
    assert "user_unknown" in found(diagnose(server, shop))
    assert doctor(server, "prof_login", shop.secret) == "login_wrong"


def test_proof_password_changed_a_minute_ago(server):
    """A person's password: the form dates the change, the doctor says what it may be."""
    server.shell(
        """
        user = env["res.users"].create({"name": "Pat", "login": "pat", "password": "the old one"})
        user.password = "the new one"
        env.cr.commit()
        env.cr.execute("UPDATE auth_integration_password_change SET changed_at = %s"
                       " WHERE user_id = %s", ["2026-03-04 05:06:07", user.id])
        result = 1
        """
    )
    with pytest.raises(Refused):
        Authenticate(server, "pat", "the old one").call()
    [told] = server.shell(
        """
        attempt = env(user=2)["auth.attempt"].search([("cause", "=", "password_wrong")], limit=1)
        result = [attempt.case_explanation]
        """
    )
    assert "last changed on 4 Mar 2026 05:06:07" in told
    assert doctor(server, "pat", "the old one") == "login_or_secret_wrong"


def test_proof_authentication_skipped(server):
    """False is used as the user id: the form leads to the refusal whose answer was ignored."""
    shop = make(server, "proof_skipped")
    at = Line(server, source="127.8.1.1")
    with pytest.raises(Refused):
        Authenticate(server, shop.login, UNKNOWN_KEY, at).call()
    with suppress(Refused, xmlrpc.client.Fault):
        Xmlrpc(server, False, UNKNOWN_KEY, at).call("res.users", "context_get")
    [told] = server.shell(
        """
        attempt = env(user=2)["auth.attempt"].search(
            [("cause", "=", "authenticate_skipped"), ("remote_addr", "=", "127.8.1.1")], limit=1)
        result = [attempt.case_explanation]
        """
    )
    assert "proof_skipped" in told and "Unknown key" in told
    assert "key_unknown" in found(diagnose(server, shop))
    assert doctor(server, shop.login, UNKNOWN_KEY) == "key_unknown"


def test_proof_of_what_never_reaches_a_user(server):
    """A wrong database and a wrong path reach no integration: the doctor names them."""
    server.expect_log(r'FATAL:  database "\w+" does not exist')
    shop = make(server, "proof_way")
    assert doctor(server, shop.login, shop.secret, database="nowhere") == "database_unknown"
    assert doctor(server, shop.login, shop.secret, path="/xmlrpc/2/xmlrpc/2") == "path_doubled"
    lines = diagnose(server, shop)
    assert any(line["check_name"] == "database" and line["result"] == "ok" for line in lines)
