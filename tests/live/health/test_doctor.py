"""static/doctor.py on the integrator's machine: each cause made for real, named, and left by its
exit code; through a real nginx that gets in the way; and never the key in what it prints."""

import ast
import copy
import http.server
import importlib.util
import itertools
import json
import os
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from callers.clients import Session, Xmlrpc
from dev.common import CHECKOUT_ID, ROOT
from dev.servers import templates
from other_servers import nginx

DOCTOR = ROOT / "static" / "doctor.py"
DATABASE = f"live_{CHECKOUT_ID}_doctor_main"
OTHER = f"live_{CHECKOUT_ID}_doctor_other"
# Direct callers are served one database. A host "<name>.test" is served the one of its name too.
SERVER = {"config": {"proxy_mode": True, "dbfilter": f"^({DATABASE}|%d)$"}}


def _python_3_8():
    """Return a Python 3.8 that works, or None: a name on PATH may be no more than a signpost."""
    for name in filter(None, (os.environ.get("PYTHON38"), "python3.8")):
        if shutil.which(name) and not subprocess.run([name, "-V"], capture_output=True).returncode:
            return name
    return None


PYTHON = _python_3_8() or sys.executable
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(live_server):
    """Give one threaded server: the doctor sees it from outside only."""
    templates.discard(OTHER)
    server = live_server("main")
    assert server.db == DATABASE
    yield server
    templates.discard(OTHER)


@pytest.fixture(scope="module")
def world(server):
    """Integrations and keys in every state, by name: ``(login, secret)``."""
    return server.shell(
        """
        from datetime import timedelta
        from odoo import fields
        now = fields.Datetime.now()
        Integration, Key = env["auth.integration"], env["auth.integration.key"]

        def make(code, **values):
            values |= {"name": code, "code": code, "owner_ids": [2]}
            integration = Integration.create(values)
            secret, key = Key._issue(integration, code)
            return integration, secret, key

        made = {}
        for code in ("good", "expired", "revoked", "superseded", "scoped", "archived"):
            made[code] = make(code)
        made["elsewhere"] = make("elsewhere", allowed_networks="192.0.2.0/24")
        made["xmlrpconly"] = make("xmlrpconly", allowed_channels="xmlrpc")
        keys = {name: key for name, (_integration, _secret, key) in made.items()}
        env.cr.execute(
            "UPDATE auth_integration_key SET expires_at = %s WHERE id = %s",
            [now - timedelta(days=1), keys["expired"].id])
        keys["expired"].invalidate_recordset()
        keys["expired"]._write_native_end()
        keys["revoked"].revoke("no longer needed")
        _secret, new = Key._issue(made["superseded"][0], "new")
        keys["superseded"]._retire(now - timedelta(hours=1), new)
        env.cr.execute(
            "UPDATE auth_integration_key SET scope = 'plugin' WHERE id = %s", [keys["scoped"].id])
        env.cr.execute(
            "UPDATE res_users_apikeys SET scope = 'plugin' WHERE id = %s",
            [keys["scoped"].apikey_id.id])
        made["archived"][0].user_id.action_archive()
        env["res.users"].create({"name": "Paula", "login": "paula", "password": "paula's own"})
        result = {name: (name, secret) for name, (_i, secret, _k) in made.items()}
        """
    )


@pytest.fixture(scope="module")
def stock_server(live_server):
    """Give an Odoo without the add-on, with a database filter as anybody has it."""
    return live_server("stock", with_addon=False, config={})


@pytest.fixture(autouse=True)
def odoo_reports_unknown_databases(server):
    """Let Odoo log what it always logs when RPC names a database that there is not."""
    server.expect_log(r'FATAL:  database "\w+" does not exist')


class Visit:
    """What the doctor said: ``cause``, ``code``, ``steps`` by check, and the whole ``text``."""

    def __init__(self, done):
        self.code, self.text = done.returncode, done.stdout + done.stderr
        told = json.loads(done.stdout)
        self.cause, self.steps = told["cause"], told["steps"]
        assert told["exit_code"] == self.code
        assert told["ok"] == (self.code == 0)

    @property
    def causes(self):
        return {step["cause"] for step in self.steps if step["cause"]}


def consult(url, *options, db=DATABASE, key=None, login=None, authorization=None, secrets=()):
    """Run the doctor as an integrator would, and see that no secret comes out of it."""
    number = next(_numbers)
    environment = {
        "PATH": os.environ["PATH"],
        "ODOO_URL": url,
        "ODOO_DB": db or "",
        "ODOO_LOGIN": login or "",
        **({"ODOO_KEY": key} if key is not None else {}),
        **({"ODOO_AUTHORIZATION": authorization} if authorization else {}),
    }
    # An address of its own for each visit: verify limits how often one address may ask.
    source = ["--source-address", f"127.7.{number // 200}.{number % 200 + 1}"]
    done = subprocess.run(
        [PYTHON, "-I", DOCTOR, "--json", *source, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr
    for secret in (key, authorization, *secrets):
        for form in (secret, secret and secret.strip(), secret and secret.strip().strip("'\"")):
            assert not form or form not in done.stdout + done.stderr
    assert not re.search(r"[0-9a-f]{40}", done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    return Visit(done)


@pytest.fixture(scope="module")
def codes():
    """Exit codes by cause, as the doctor lists them."""
    listed = subprocess.run([PYTHON, DOCTOR, "--list-causes"], capture_output=True, text=True)
    return {line.split()[1]: int(line.split()[0]) for line in listed.stdout.splitlines()}


@pytest.fixture(scope="module")
def good(server, world):
    """Consult with good settings, but for what is said otherwise."""
    login, secret = world["good"]

    def visit(url=server.url, *options, **settings):
        if settings.pop("without_key", False):
            return consult(url, *options, **{"login": login, "secrets": [secret], **settings})
        defaults = {"login": login, "key": secret, "secrets": [secret]}
        return consult(url, *options, **{**defaults, **settings})

    visit.login, visit.secret = login, secret
    return visit


def test_nothing_is_wrong(good):
    visit = good()
    assert (visit.cause, visit.code) == (None, 0), visit.text
    accepted = {step["check"] for step in visit.steps if step["seen"].startswith("accepted")}
    assert accepted == {"json2", "xmlrpc", "jsonrpc"}


def test_text_and_exit_codes(good, server, codes):
    """Text says the same as JSON; no two causes share an exit code."""
    assert len(set(codes.values())) == len(codes)
    assert not {0, 1, 2} & set(codes.values())
    done = subprocess.run(
        [PYTHON, DOCTOR, server.url, "--db", "nowhere", "--login", "good", "--key-stdin"],
        input=good.secret,
        capture_output=True,
        text=True,
    )
    assert done.returncode == codes["database_unknown"]
    assert "Cause: The host does not serve this database [database_unknown]" in done.stdout
    assert good.secret not in done.stdout + done.stderr


def test_is_python_3_8(good):
    """With a Python 3.8 at hand every test here runs it; else its grammar is checked at least."""
    ast.parse(DOCTOR.read_text(), feature_version=(3, 8))


def test_key_from_file_and_option(good, server, tmp_path):
    file = tmp_path / "key"
    file.write_text(good.secret)
    assert good(server.url, "--key-file", str(file), without_key=True).code == 0
    assert good(server.url, "--key", good.secret, without_key=True).code == 0
    missing = subprocess.run(
        [PYTHON, DOCTOR, server.url, "--key-file", str(tmp_path / "none")], capture_output=True
    )
    assert missing.returncode == 2


SETTINGS = {
    "user in the URL": (dict(url="http://user:pw@host"), "url_invalid"),
    "no scheme": (dict(url="odoo.example.com"), "url_invalid"),
    "the page of the login": (dict(path="/web/login"), "url_is_web_page"),
    "the web client": (dict(path="/odoo"), "url_is_web_page"),
    "half of the path": (dict(path="/json/2"), "path_incomplete"),
    "a model without method": (dict(path="/json/2/res.partner"), "path_incomplete"),
    "xmlrpc without service": (dict(path="/xmlrpc/2"), "path_incomplete"),
    "the path twice": (dict(path="/xmlrpc/2/xmlrpc/2/common"), "path_doubled"),
    "two slashes": (dict(path="//jsonrpc"), "path_doubled"),
    "a path that looks alike": (dict(path="/json2/res.partner/read"), "path_unknown"),
    "an empty key": (dict(key=""), "key_missing"),
    "a key with a line end": (dict(key="{key}\n"), "key_whitespace"),
    "a key with a line end inside": (dict(key="{half}\n{rest}"), "key_whitespace"),
    "a key in quotes": (dict(key='"{key}"'), "key_quoted"),
    "a key with the word": (dict(key="Bearer {key}"), "key_with_scheme"),
    "half a key": (dict(key="{half}"), "key_cut_off"),
    "an invisible character": (dict(key="\ufeff{key}"), "key_invisible_characters"),
    "a header without Bearer": (
        dict(key=None, authorization="{key}"), "header_without_bearer"),
    "a header with its name": (
        dict(key=None, authorization="Authorization: {key}"), "header_without_bearer"),
    "a header of another scheme": (
        dict(key=None, authorization="Token {key}"), "header_malformed"),
    "the key as login": (dict(login="{key}"), "login_is_a_key"),
}


def at_once(visit, cases):
    """Make all visits, a few at a time; what one of them raises is its own test's."""
    with ThreadPoolExecutor(4) as pool:
        return {case: pool.submit(visit, case) for case in cases}


@pytest.fixture(scope="module")
def visits_with_settings(server, good):
    def visit(case):
        settings, _cause = SETTINGS[case]
        settings = dict(settings)
        key = good.secret
        for name, value in settings.items():
            if isinstance(value, str):
                settings[name] = value.format(key=key, half=key[:21], rest=key[21:])
        url = settings.pop("url", server.url) + settings.pop("path", "")
        without_key = "key" in settings and settings["key"] is None
        settings = {name: value for name, value in settings.items() if value is not None}
        return good(url, without_key=without_key, **settings)

    return at_once(visit, SETTINGS)


@pytest.mark.parametrize("case", SETTINGS)
def test_settings(visits_with_settings, codes, case):
    """What is wrong before anything is sent."""
    visit, cause = visits_with_settings[case].result(), SETTINGS[case][1]
    assert (visit.cause, visit.code) == (cause, codes[cause]), visit.text


@pytest.mark.parametrize("case", ["a key with a line end", "a key in quotes", "half of the path"])
def test_what_was_meant_is_tried_too(server, good, case):
    """After naming the slip it goes on with what was meant, so that two faults take one visit."""
    settings = {
        "a key with a line end": dict(key=f"{good.secret}\r\n"),
        "a key in quotes": dict(key=f"'{good.secret}'"),
        "half of the path": {},
    }[case]
    url = server.url + ("/json/2/" if case == "half of the path" else "")
    visit = good(url, **settings)
    assert any(step["seen"].startswith("accepted") for step in visit.steps)


def test_a_whole_path_of_the_api_is_fine(server, good):
    for path in ("/json/2/res.partner/search", "/xmlrpc/2/object", "/jsonrpc", "/"):
        assert good(server.url + path).code == 0, path


def test_header_as_it_is_sent(server, good):
    """The header of the program itself, with or without its name."""
    for header in (f"Bearer {good.secret}", f"authorization: bearer {good.secret}"):
        assert good(authorization=header, without_key=True).code == 0


# The way to the server


def test_host_unknown(good, codes):
    assert good("https://odoo.invalid").cause == "host_unknown"


def test_nothing_listens(good):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        visit = good(f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert visit.cause == "connection_refused"


def test_no_answer_in_time(good):
    """A server that takes the connection and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        visit = good(url, "--timeout", "0.2")
    assert visit.cause == "connection_timeout"


def test_https_where_there_is_none(server, good):
    assert good(server.url.replace("http:", "https:")).cause == "https_on_plain_port"


def test_no_common_tls(good):
    """Both sides speak TLS and agree on nothing: the server has no certificate at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            with suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    with connection, suppress(OSError):
                        context.wrap_socket(connection, server_side=True)

        threading.Thread(target=refuse, daemon=True).start()
        visit = good(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert visit.cause == "tls_failed", visit.text


def test_the_doctor_itself_fails(good, server, codes, tmp_path):
    """It says so with a code of its own, and shows no traceback, which might have the key."""
    visit = good(server.url.replace("http:", "https:"), "--ca-file", str(tmp_path / "none"))
    assert (visit.cause, visit.code) == ("doctor_failed", codes["doctor_failed"]), visit.text


def test_clock(server, good, codes):
    """This machine's clock is ten minutes ahead."""
    code = (
        "import runpy, sys, time; now = time.time; time.time = lambda: now() + 600;"
        " sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [PYTHON, "-c", code, DOCTOR, server.url, "--json", "--db", DATABASE, "--login",
         good.login, "--source-address", "127.7.9.9"],
        env={"PATH": os.environ["PATH"], "ODOO_KEY": good.secret},
        capture_output=True,
        text=True,
    )
    visit = Visit(done)
    assert (visit.cause, visit.code) == ("clock_skew", codes["clock_skew"]), visit.text


# Behind nginx

SITES = {
    "transparent": dict(),
    "strips the header": dict(headers='proxy_set_header Authorization "";'),
    "strips the database": dict(headers='proxy_set_header X-Odoo-Database "";'),
    "blocks the API": dict(extra="location ~ ^/(json|xmlrpc) { return 403; }"),
    "blocks /json/2": dict(extra="location /json/2 { return 404; }"),
    "redirects to https": dict(extra="return 301 https://127.0.0.1$request_uri;"),
    "redirects to www": dict(extra="return 301 http://www.example.com$request_uri;"),
    "redirects a path": dict(extra="return 302 /elsewhere$request_uri;"),
    "adds a slash": dict(
        extra=r"location ~ ^/(json/2|xmlrpc|jsonrpc).*[^/]$ { return 301 $uri/; }"),
    "sends POST to another host": dict(
        extra="location /json/2 { return 308 http://localhost$request_uri; }"),
    "Odoo is down": dict(target="127.0.0.1:9"),
    "a web page": dict(extra="location ~ . { return 200 '<h1>It works!</h1>'; }"),
    "hides addresses": dict(forward="", headers="proxy_bind 127.0.0.9;"),
    "below a folder": dict(location="/erp/"),
    "only the API": dict(extra="location /web/session { return 404; }"),
    "strips cookies": dict(headers="proxy_hide_header Set-Cookie;"),
    "brings no cookie": dict(headers='proxy_set_header Cookie "";'),
    "several databases": dict(
        forward=f"proxy_set_header Host {OTHER}.test;",
        headers=f"proxy_set_header X-Forwarded-Host {OTHER}.test;"
        " proxy_set_header X-Forwarded-For $remote_addr;"),
    # It also shows to everybody what it was sent.
    "limits": dict(
        extra="location /auth_integration/verify { return 429 'no $http_authorization'; }"),
    "tls": dict(tls={}),
    "tls expired": dict(tls=dict(starts=-30, ends=-1)),
    "tls not yet": dict(tls=dict(starts=2, ends=30)),
    "tls ends soon": dict(tls=dict(ends=5)),
    "tls of another host": dict(tls=dict(host="odoo.example.com")),
    "tls untrusted": dict(tls=dict(trusted=False)),
}


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    """URLs of a real nginx by the name of its site, and its authority's certificate."""
    if not nginx.executable():
        pytest.skip("nginx is not installed, and only root may install it: apt-get install nginx")
    running = nginx.Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{server.port}")
    urls = {}
    for name, options in SITES.items():
        scheme = "https" if "tls" in options else "http"
        urls[name] = f"{scheme}://127.0.0.1:{running.site(**copy.deepcopy(options))}"
    running.start()
    urls["ca"] = str(running.ca_file)
    yield urls
    running.stop()


CAUSES_OF_SITES = {
    "strips the header": "authorization_stripped",
    "strips the database": "database_header_stripped",
    "blocks the API": "path_blocked",
    "blocks /json/2": "path_blocked",
    "redirects to https": "http_instead_of_https",
    "redirects to www": "redirect_to_other_host",
    "redirects a path": "redirect_to_other_path",
    "adds a slash": "redirect_drops_body",
    "sends POST to another host": "redirect_drops_authorization",
    "Odoo is down": "server_unavailable",
    "a web page": "not_odoo",
    "hides addresses": "address_is_the_proxys",
    "below a folder": "not_odoo",
    "limits": "verify_limited",
    "tls expired": "tls_expired",
    "tls not yet": "tls_not_yet_valid",
    "tls ends soon": "certificate_ending",
    "tls of another host": "tls_wrong_host",
    "tls untrusted": "tls_untrusted",
}


@pytest.fixture(scope="module")
def visits_through_nginx(proxy, good):
    return at_once(lambda site: good(proxy[site], "--ca-file", proxy["ca"]), CAUSES_OF_SITES)


@pytest.mark.parametrize("site", CAUSES_OF_SITES)
def test_behind_nginx(visits_through_nginx, codes, site):
    visit, cause = visits_through_nginx[site].result(), CAUSES_OF_SITES[site]
    assert (visit.cause, visit.code) == (cause, codes[cause]), visit.text


def test_nginx_that_does_it_right(proxy, good):
    """The control: through the same nginx nothing is found, also with TLS and below a folder."""
    for url in (proxy["transparent"], proxy["tls"], proxy["below a folder"] + "/erp"):
        visit = good(url, "--ca-file", proxy["ca"])
        assert visit.code == 0, visit.text


def test_sessions_through_nginx(proxy):
    """A cookie that is lost either way; and sessions that nobody asked for may be blocked."""
    settings = dict(login="paula", key="paula's own")
    for site in ("strips cookies", "brings no cookie"):
        visit = consult(proxy[site], "--protocol", "session", **settings)
        assert visit.cause == "session_cookie_lost", visit.text
    assert consult(proxy["only the API"], "--protocol", "session", **settings).cause == (
        "path_blocked")
    assert consult(proxy["only the API"], **settings).code == 0


def test_http_to_a_port_of_https(proxy, good):
    visit = good(proxy["tls"].replace("https", "http"))
    assert visit.cause == "http_instead_of_https"


def test_unknown_authority(proxy, good):
    assert good(proxy["tls"]).cause == "tls_untrusted"


def test_a_protocol_that_is_not_used_may_be_blocked(proxy, good):
    assert good(proxy["blocks /json/2"], "--protocol", "xmlrpc").code == 0


def test_no_key_before_the_host_is_odoo(good):
    """A stranger that answers everything gets no key, whatever it answers."""
    heard = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            heard.append(str(self.headers) + body.decode())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST

        def log_message(self, *_args):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        visit = good(f"http://127.0.0.1:{stranger.server_port}")
        stranger.shutdown()
    assert visit.cause == "not_odoo", visit.text
    assert heard
    assert not any(good.secret in text for text in heard)


def test_no_key_over_plain_http(good):
    """Another machine, reached without encryption: the key stays here unless told otherwise."""
    spec = importlib.util.spec_from_file_location("doctor", DOCTOR)
    doctor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(doctor)

    def may_send(url, local_address, *options):
        checked = doctor.Doctor(doctor.parse([url, *options]), good.secret, None)
        checked.line = doctor.Line(checked.check_url())
        checked.local_address = local_address
        return checked.may_send()

    assert not may_send("http://192.0.2.1", "192.0.2.2")
    assert may_send("https://192.0.2.1", "192.0.2.2")
    assert may_send("http://192.0.2.1", "192.0.2.2", "--send-over-http")
    assert may_send("http://localhost", "127.0.0.1")
    assert may_send("http://localhost", "::1")


def test_key_in_clear_over_the_network(server, good):
    """Reached at an address that others can hear: nothing is sent, and the cause says why."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        address = probe.getsockname()[0]

    class Forward(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", server.port)) as odoo:
                back = threading.Thread(target=pump, args=(odoo, self.request))
                back.start()
                pump(self.request, odoo)
                back.join()

    def pump(source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    mark = server.log_mark()
    with socketserver.ThreadingTCPServer((address, 0), Forward) as forwarder:
        threading.Thread(target=forwarder.serve_forever, daemon=True).start()
        url = f"http://{address}:{forwarder.server_address[1]}"
        visit = good(url, "--source-address", address)
        assert visit.cause == "plain_http", visit.text
        assert "/auth_integration/verify" not in server.log_since(mark)
        assert good(url, "--source-address", address, "--send-over-http").cause != "plain_http"
        forwarder.shutdown()


def exchange_of(visit):
    """Where the cause of a visit was seen."""
    return next(step["exchange"] for step in visit.steps if step["cause"] == visit.cause)


# The database


def test_database_unknown(good, codes):
    visit = good(db="nowhere")
    assert (visit.cause, visit.code) == ("database_unknown", codes["database_unknown"])
    # What is told was seen there, although the other protocols were asked since.
    assert exchange_of(visit) == "POST /json/2/res.users/context_get → 404"


@pytest.mark.parametrize("protocol", ["xmlrpc", "jsonrpc"])
def test_database_unknown_to_rpc(server, good, protocol):
    assert good(server.url, "--protocol", protocol, db="nowhere").cause == "database_unknown"


def test_login_and_database_swapped(server, good, codes):
    for options in ((), ("--protocol", "xmlrpc")):
        visit = good(server.url, *options, db="good", login=DATABASE)
        assert visit.cause == "login_database_swapped", visit.text


@pytest.fixture(scope="module")
def other(server):
    """A second database behind the same server."""
    templates.copy(templates.with_modules(("auth_integration",)), OTHER)
    return OTHER


def test_several_databases_and_none_named(proxy, good, other):
    assert good(proxy["several databases"], db="").cause == "database_missing"
    assert good(proxy["several databases"]).code == 0


def test_database_exists_and_is_not_served_here(server, good, other):
    """The server knows it, and its filter does not give it to this host."""
    visit = good(server.url, db=other)
    assert visit.cause == "database_not_selected", visit.text


# Login and key


@pytest.mark.parametrize(
    "name, cause",
    {
        "expired": "key_expired",
        "revoked": "key_revoked",
        "superseded": "key_superseded",
        "scoped": "key_wrong_scope",
        "archived": "user_archived",
        "elsewhere": "address_not_allowed",
        "xmlrpconly": "channel_not_allowed",
    }.items(),
)
def test_the_key_tells(server, world, codes, name, cause):
    login, secret = world[name]
    visit = consult(server.url, login=login, key=secret)
    assert (visit.cause, visit.code) == (cause, codes[cause]), visit.text


def test_an_allowed_protocol_is_enough(server, world):
    login, secret = world["xmlrpconly"]
    assert consult(server.url, "--protocol", "xmlrpc", login=login, key=secret).code == 0


def test_key_unknown(server, codes):
    visit = consult(server.url, login="good", key="0123456789abcdef" * 2 + "01234567")
    assert (visit.cause, visit.code) == ("key_unknown", codes["key_unknown"]), visit.text
    assert exchange_of(visit) == "POST /auth_integration/verify → 401"
    assert "401 401" not in visit.text


def test_login_of_another(server, good):
    visit = good(login="expired")
    assert visit.cause == "login_wrong", visit.text
    assert "good" in visit.text  # whose key it is


def test_password_wrong(server, codes):
    """Odoo tells nothing: the doctor says what it may be, and how to find out."""
    visit = consult(server.url, "--protocol", "xmlrpc", login="paula", key="not her password")
    assert (visit.cause, visit.code) == ("password_wrong", codes["password_wrong"]), visit.text
    visit = consult(server.url, login="paula", key="paula's own")
    assert visit.code == 0
    accepted = {step["check"] for step in visit.steps if step["seen"].startswith("accepted")}
    assert accepted == {"xmlrpc", "jsonrpc", "session"}


def test_login_with_capitals(server):
    visit = consult(server.url, "--protocol", "jsonrpc", login="Paula", key="paula's own")
    assert visit.cause == "login_wrong"
    assert "lowercase letters" in visit.text


def test_session(server, world):
    """Logged in, called and logged out; what a session takes and a program has not got."""
    login, secret = world["good"]

    def visit(*options, **settings):
        return consult(server.url, "--protocol", "session", *options, **settings)

    told = visit(login="paula", key="paula's own")
    assert told.code == 0
    assert [step["exchange"] for step in told.steps if step["check"] == "session"] == [
        "POST /web/dataset/call_kw → 200"]
    assert visit(login="paula", key="not hers").cause == "password_wrong"
    assert visit(login=login, key=secret).cause == "session_needs_password"
    assert visit(db="nowhere", login="paula", key="paula's own").cause == "database_unknown"


def test_second_factor(server):
    """A person with a second factor: her password is right, and opens no session."""
    server.shell(
        """
        tess = env["res.users"].create({"name": "Tess", "login": "tess", "password": "tess's own"})
        env.cr.execute("UPDATE res_users SET totp_secret = 'GEZDGNBVGY3TQOJQ' WHERE id = %s",
                       [tess.id])
        result = 1
        """
    )
    visit = consult(server.url, "--protocol", "session", login="tess", key="tess's own")
    assert visit.cause == "second_factor_needed", visit.text


def test_session_that_is_held(server, world):
    """The session of the program itself: good, until it has ended; its id is never shown."""
    session = Session(server, "paula", "paula's own")
    held = session.cookies["session_id"]
    settings = dict(login="", secrets=[held])
    assert consult(server.url, f"--session-id={held}", **settings).code == 0
    session.post("/web/session/destroy", {})
    assert consult(server.url, f"--session-id={held}", **settings).cause == "session_expired"


def test_user_id(server, good):
    """The user id that a program has stored, or has not, because authenticate was refused."""
    [uid] = server.sql("SELECT id FROM res_users WHERE login = 'good'")
    for options, cause in (
        (("--uid", "False"), "authenticate_skipped"),
        (("--uid", "0"), "authenticate_skipped"),
        (("--uid", "good"), "uid_wrong"),
        (("--uid", "2"), "uid_wrong"),
        (("--uid", str(uid["id"])), None),
    ):
        assert good(server.url, *options).cause == cause, options
    assert good(server.url, "--uid", "2", login="").cause == "uid_wrong"
    assert good(server.url, "--uid", str(uid["id"]), login="").code == 0


def test_reference_is_passed_on(server):
    """What the administrator needs to find the attempt, in the log of the server at least.

    The row may have none: so many addresses in a minute count as a flood, and are folded.
    """
    mark = server.log_mark()
    visit = consult(server.url, login="paula", key="0123456789abcdef" * 2 + "01234567")
    logged = re.findall(r"cause=key_unknown .*?reference=(\S+)", server.log_since(mark))
    assert logged
    assert any(reference in visit.text for reference in logged)


def test_password_over_json2(server):
    visit = consult(server.url, "--protocol", "json2", login="paula", key="paula's own")
    assert visit.cause == "password_over_json2"


def test_login_missing(server, good):
    assert good(server.url, "--protocol", "xmlrpc", login="").cause == "login_missing"


def test_without_a_key_only_the_way_is_checked(server, good):
    visit = good(server.url, "--no-key", without_key=True)
    assert visit.code == 0
    assert not [step for step in visit.steps if step["check"] == "key"]


def test_key_about_to_end(server):
    admin = Xmlrpc(server, 2, "admin")
    [integration] = admin.call("auth.integration", "create", [{"name": "soon", "code": "soon"}])
    secret = server.shell(
        """
        from datetime import timedelta
        from odoo import fields
        result = env["auth.integration.key"]._issue(
            env["auth.integration"].browse(integration), "soon",
            fields.Datetime.now() + timedelta(days=3))[0]
        """,
        integration=integration,
    )
    assert consult(server.url, login="soon", key=secret).cause == "key_ending"


def test_stock_odoo(stock_server):
    """Against an Odoo without the add-on it says what can be said."""
    secret = stock_server.shell(
        """
        from datetime import timedelta
        from odoo import fields
        # Without a password: each of them takes most of a second to be found wrong.
        bot = env["res.users"].create({"name": "Bot", "login": "bot"})
        result = env["res.users.apikeys"].with_user(bot).sudo()._generate(
            None, "test", fields.Datetime.now() + timedelta(days=1))
        """
    )
    options = dict(db=stock_server.db, login="bot")
    assert consult(stock_server.url, key=secret, **options).code == 0
    unknown = "0123456789abcdef" * 2 + "01234567"
    assert consult(stock_server.url, key=unknown, **options).cause == "key_unknown"
    # Over XML-RPC alone nobody tells a wrong key from a wrong login.
    visit = consult(stock_server.url, "--protocol", "xmlrpc", key=unknown, **options)
    assert visit.cause == "login_or_secret_wrong", visit.text
