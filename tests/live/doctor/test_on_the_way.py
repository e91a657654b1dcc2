"""static/doctor.py where something is in its way: nginx, another machine, another database."""

import copy
import http.server
import importlib.util
import socket
import socketserver
import threading
from contextlib import suppress

import pytest

from dev.common import CHECKOUT_ID
from dev.servers import templates
from other_servers import nginx
from worlds.doctor import DOCTOR, at_once

OTHER = f"live_{CHECKOUT_ID}_doctor_other"
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


def test_sessions_through_nginx(proxy, consult):
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
            """Do not log."""

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


# Several databases


@pytest.fixture(scope="module")
def other(server):
    """A second database behind the same server."""
    templates.discard(OTHER)
    templates.copy(templates.with_modules(("auth_integration",)), OTHER)
    yield OTHER
    templates.discard(OTHER)


def test_several_databases_and_none_named(proxy, good, other):
    assert good(proxy["several databases"], db="").cause == "database_missing"
    assert good(proxy["several databases"]).code == 0


def test_database_exists_and_is_not_served_here(server, good, other):
    """The server knows it, and its filter does not give it to this host."""
    visit = good(server.url, db=other)
    assert visit.cause == "database_not_selected", visit.text
