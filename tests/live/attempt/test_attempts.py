"""Each rejected call leaves exactly one attempt, and the client gets the same answer as from Odoo.

Each case has a call, what must be recorded of it, and which call of stock Odoo has the same answer.
"""

import json
import re
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worlds.attempt import WRONG_KEY, Calls, World

MODULES = ("auth_totp", "auth_passkey", "auth_oauth", "base_automation")
SERVER = {"modules": ("auth_integration", *MODULES)}
PASSWORD = "a person's password"


class ProviderOfIdentities(BaseHTTPRequestHandler):
    """An OAuth provider that knows the access tokens of three people and rejects all others."""

    def do_GET(self):
        token = urllib.parse.parse_qs(self.path.partition("?")[2])["access_token"][0]
        known = token in ("person", "stranger", "retired")
        answer = {"user_id": f"{token} there"} if known else {"error": "invalid_token"}
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def provider():
    """Run the OAuth provider and yield its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), ProviderOfIdentities) as http:
        threading.Thread(target=http.serve_forever).start()
        yield f"http://127.0.0.1:{http.server_port}/userinfo"
        http.shutdown()


MAKE_PROVIDERS = """
    def made(address):
        return env["auth.oauth.provider"].create({
            "name": "A provider", "body": "Log in", "auth_endpoint": address,
            "validation_endpoint": address, "client_id": "odoo", "enabled": True})

    # Whoever a provider knows is not thereby invited.
    env["ir.config_parameter"].set_param("auth_signup.invitation_scope", "b2b")
    answering = made(address)
    for login in ("person", "retired"):
        user = env["res.users"].with_context(active_test=False).search([("login", "=", login)])
        user.write({"oauth_provider_id": answering.id, "oauth_uid": f"{login} there"})
    # Nothing listens on the discard port.
    result = {"answering": answering.id, "gone": made("http://127.0.0.1:9/").id}
"""


@pytest.fixture(scope="module")
def world(server, provider):
    """The world on a server with the add-on, threaded and with two workers."""
    made = World(server)
    made.providers = server.shell(MAKE_PROVIDERS, address=provider)
    # A personal key has been used from this address, too, so nothing is attributed by the address.
    assert made.calls().json2(made.keys["good"]).status == 200
    assert made.calls().json2(made.keys["personal"]).status == 200
    assert made.calls("127.0.0.7").json2(made.keys["good"]).status == 200
    return made


@pytest.fixture(scope="module")
def stock_world(live_server, provider):
    """The same world on a server without the add-on."""
    server = live_server("stock", with_addon=False, modules=("mail", "rpc", *MODULES))
    made = World(server)
    made.providers = server.shell(MAKE_PROVIDERS, address=provider)
    made.told = {}
    return made


@dataclass
class Case:
    """A call and the result it must have.

    :ivar call: takes a caller and the world, returns the reply
    :ivar row: the expected columns, with ``user``, ``integration`` and ``key`` by name; None: no
        attempt
    :ivar like: the call that stock Odoo answers the same way, by default this one; None if there is
        nothing to compare with, for the reason in the case's comment
    """

    call: object
    row: dict | None
    like: object = "this"
    source: str | None = None


def refused(cause, channel, user=None, **more):
    known = {"login": user, "integration": None, "attribution": None, "key": None}
    return {"outcome": "failure", "cause": cause, "channel": channel, "user": user} | known | more


def accepted(channel, user, **more):
    known = {"login": user, "integration": None, "attribution": None, "key": None}
    return {"outcome": "success", "cause": None, "channel": channel, "user": user} | known | more


def of_worker(key=None, attribution=None):
    attribution = attribution or ("key" if key else "login")
    return {"integration": "worker", "attribution": attribution, "key": key}


def cases_of_secrets(case, channel, wrong):
    """Declare what is recorded of a secret, with either a login or a user ID."""
    case("with password", "person", PASSWORD, accepted(channel, "person"))
    case("with key", "worker", "good", accepted(channel, "worker", **of_worker("good")))
    case("archived user", "retired", PASSWORD, refused("user_archived", channel, "retired"))
    case("archived integration", "gone", "archived",
         refused("user_archived", channel, "gone", integration="gone", attribution="login"))
    case("wrong password", "person", "not it", refused("password_wrong", channel, "person"))
    case("empty password", "person", "", refused("secret_missing", channel, "person"))
    # Stock raises another error for these, but only if the user exists.
    for name, secret in (("unhashable", ["x"]), ("long", "x" * 5000), ("wrong type of", 17)):
        case(f"{name} password", "person", secret,
             refused("malformed_request", channel, "person"), like=wrong)
    case("password of an integration", "worker", "some password",
         refused("password_not_allowed", channel, "worker", **of_worker()))
    case("unknown key", "worker", WRONG_KEY,
         refused("key_unknown", channel, "worker", **of_worker()))
    case("another user's key", "person", "good",
         refused("key_user_mismatch", channel, "person", **of_worker("good")))
    case("key of another scope", "worker", "scoped",
         refused("key_wrong_scope", channel, "worker", **of_worker("scoped")))
    for ended in ("revoked", "superseded", "expired"):
        case(f"{ended} key", "worker", ended,
             refused(f"key_{ended}", channel, "worker", **of_worker(ended)))
    case("key from a wrong address", "near", "from_afar",
         refused("address_not_allowed", channel, "near", integration="near",
                 attribution="key", key="from_afar"), like=wrong)
    case("key over a wrong channel", "modern", "by_old_ways",
         refused("channel_not_allowed", channel, "modern", integration="modern",
                 attribution="key", key="by_old_ways"), like=wrong)


UNKNOWN_LOGIN = {"login": re.compile(r"unknown login \(\d+ characters.*#[0-9a-f]{4}\)")}
CASES = {}

# Log in over RPC with login and secret.
for channel, call in {
    "xmlrpc": lambda c, login, secret: c.authenticate(login, secret),
    "jsonrpc": lambda c, login, secret: c.json("common", "login", c.db, login, secret),
}.items():

    def login_case(name, login, secret, row, like="this", call=call, channel=channel):
        def run(c, w):
            return call(c, login, w.secret(secret))

        CASES[f"{channel} authenticate {name}"] = Case(run, row, like)

    def wrong(c, w, call=call):
        return call(c, "worker", WRONG_KEY)

    cases_of_secrets(login_case, channel, wrong)
    login_case("unknown login", "nobody here", "x",
               refused("user_unknown", channel) | UNKNOWN_LOGIN)
    login_case("empty login", "", "x", refused("login_missing", channel, login=None))
    login_case("no login", None, "x", refused("login_missing", channel, login=None))
    login_case("wrong type of login", 17, "x",
               refused("malformed_request", channel, login="unknown login (<int>)"))
    login_case("password with a second factor", "factor", PASSWORD,
               refused("password_not_allowed", channel, "factor"))

# Call over RPC with user ID and secret.
for channel, call in {
    "xmlrpc": lambda c, uid, secret: c.execute(uid, secret),
    "jsonrpc": lambda c, uid, secret: c.execute_json(uid, secret),
}.items():

    def call_case(name, user, secret, row, like="this", call=call, channel=channel):
        def run(c, w):
            return call(c, w.uid(user), w.secret(secret))

        CASES[f"{channel} execute_kw {name}"] = Case(run, row, like)

    def wrong(c, w, call=call):
        return call(c, w.uids["worker"], WRONG_KEY)

    cases_of_secrets(call_case, channel, wrong)
    # Deviates from stock, which says "Record does not exist" and so reveals the existing IDs.
    call_case("unknown uid", 987654, "x",
              refused("user_unknown", channel, login="unknown user id 987654"), like=wrong)
    call_case("uid False", False, "x",
              refused("authenticate_skipped", channel, login="unknown user id 0"))
    call_case("uid 0", 0, "x", refused("authenticate_skipped", channel, login="unknown user id 0"))
    call_case("uid None", None, "x", refused("authenticate_skipped", channel, login=None))
    call_case("uid is text", "abc", "x", refused("malformed_request", channel, login=None))

# A bearer key.
for name, secret, row in (
    ("good key", "good", accepted("json2", "worker", **of_worker("good"))),
    ("personal key", "personal", accepted("json2", "person", key="personal")),
    ("unknown key", WRONG_KEY, refused("key_unknown", "json2")),
    ("password", "a-person's-password", refused("header_malformed", "json2")),
    ("archived user's key", "archived",
     refused("user_archived", "json2", "gone", integration="gone", attribution="key",
             key="archived")),
    ("key of another scope", "scoped",
     refused("key_wrong_scope", "json2", "worker", **of_worker("scoped"))),
    *(
        (f"{ended} key", ended, refused(f"key_{ended}", "json2", "worker", **of_worker(ended)))
        for ended in ("revoked", "superseded", "expired")
    ),
):

    def run(c, w, secret=secret):
        return c.json2(w.secret(secret))

    CASES[f"json2 {name}"] = Case(run, row | {"auth_type": "bearer"})

BEARER = {"auth_type": "bearer"}
CASES |= {
    "json2 key from a wrong address": Case(
        lambda c, w: c.json2(w.keys["from_afar"]),
        refused("address_not_allowed", "json2", "near", integration="near", attribution="key",
                key="from_afar") | BEARER,
        like=lambda c, w: c.json2(WRONG_KEY),
    ),
    "json2 no header": Case(
        lambda c, w: c.json2(None), refused("header_missing", "json2") | BEARER
    ),
    "json2 empty header": Case(
        lambda c, w: c.json2(None, Authorization=""), refused("header_missing", "json2") | BEARER
    ),
    "json2 Basic header": Case(
        lambda c, w: c.json2(None, Authorization="Basic cGVyc29uOng="),
        refused("header_malformed", "json2") | BEARER,
    ),
    "json2 session of another user": Case(
        lambda c, w: (c.session_login("person", PASSWORD), c.json2(w.keys["good"]))[-1],
        refused("session_mismatch", "json2", "worker", **of_worker("good")) | BEARER,
    ),
    "json2 good key, unknown model": Case(
        lambda c, w: c.json2(w.keys["good"], "no.model/read"),
        accepted("json2", "worker", **of_worker("good")) | BEARER,
    ),
    "json2 without a method": Case(
        lambda c, w: c.json2(w.keys["good"], "res.users"), refused("endpoint_unknown", "json2")
    ),
    "json2 by GET": Case(
        lambda c, w: c.json2(w.keys["good"], method="GET"), refused("endpoint_unknown", "json2")
    ),
    "json2 unknown key, address of one integration": Case(
        lambda c, w: c.json2(WRONG_KEY),
        refused("key_unknown", "json2", **of_worker(attribution="address")) | BEARER,
        source="127.0.0.7",
    ),
    "json2 unknown key, forged address": Case(
        lambda c, w: c.json2(WRONG_KEY, X_Forwarded_For="127.0.0.7"),
        refused("key_unknown", "json2") | BEARER,
    ),
    "json2 unknown key, behind a proxy that is not believed": Case(
        lambda c, w: c.json2(WRONG_KEY, X_Forwarded_For="192.0.2.1", X_Forwarded_Host="x"),
        refused("key_unknown", "json2") | BEARER,
        source="127.0.0.7",
    ),
    "xmlrpc unknown login, address of one integration": Case(
        lambda c, w: c.authenticate("nobody here", "x"),
        refused("user_unknown", "xmlrpc", **of_worker(attribution="address")) | UNKNOWN_LOGIN,
        source="127.0.0.7",
    ),
    # Requests that contain no valid credential, or reach no method that checks it.
    "xmlrpc v1 authenticate": Case(
        lambda c, w: c.authenticate("person", "not it", version=1),
        refused("password_wrong", "xmlrpc", "person"),
    ),
    "xmlrpc v1 execute": Case(
        lambda c, w: c.xml("object", "execute", c.db, w.uids["worker"], WRONG_KEY, "res.users",
                           "context_get", version=1),
        refused("key_unknown", "xmlrpc", "worker", **of_worker()),
    ),
    "xmlrpc unknown service": Case(
        lambda c, w: c.xml("nothing", "login"), refused("endpoint_unknown", "xmlrpc")
    ),
    "xmlrpc unknown path": Case(
        lambda c, w: c.http("POST", "/xmlrpc/3/common/login", ""),
        refused("endpoint_unknown", "xmlrpc"),
    ),
    "xmlrpc without a service": Case(
        lambda c, w: c.http("POST", "/xmlrpc/2/", ""), refused("endpoint_unknown", "xmlrpc")
    ),
    "xmlrpc body that is no XML": Case(
        lambda c, w: c.xml("common", "", body="hello"), refused("malformed_request", "xmlrpc")
    ),
    "jsonrpc unknown service": Case(
        lambda c, w: c.json("nothing", "login"), refused("malformed_request", "jsonrpc")
    ),
    "jsonrpc without arguments": Case(
        lambda c, w: c.route("/jsonrpc", {}), refused("malformed_request", "jsonrpc")
    ),
    "jsonrpc unknown path": Case(
        lambda c, w: c.http("POST", "/jsonrpc/2", "{}"), refused("endpoint_unknown", "jsonrpc")
    ),
    "xmlrpc unknown method of common": Case(
        lambda c, w: c.xml("common", "signin", c.db, "person", "x"),
        refused("malformed_request", "xmlrpc", "person"),
    ),
    "xmlrpc unknown method of object": Case(
        lambda c, w: c.xml("object", "call", c.db, w.uids["person"], "x", "res.users", "read"),
        refused("malformed_request", "xmlrpc", "person"),
    ),
    "xmlrpc execute_kw without arguments": Case(
        lambda c, w: c.xml("object", "execute_kw", c.db, w.uids["person"], "x", "res.users",
                           "context_get"),
        refused("malformed_request", "xmlrpc", "person"),
    ),
    "xmlrpc too few parameters": Case(
        lambda c, w: c.xml("object", "execute_kw", c.db), refused("malformed_request", "xmlrpc")
    ),
    "xmlrpc authenticate without password": Case(
        lambda c, w: c.xml("common", "authenticate", c.db, "person"),
        refused("malformed_request", "xmlrpc", "person"),
    ),
    "webhook of an unknown id": Case(
        lambda c, w: c.http("POST", "/web/hook/0b6e1f6c-0000-4000-8000-000000000000", "{}"),
        refused("webhook_unknown", "webhook"),
    ),
    # An unknown database: this host serves only one, so its log may record it.
    "xmlrpc authenticate at an unknown database": Case(
        lambda c, w: c.xml("common", "authenticate", "nodb", "person", PASSWORD, {}),
        refused("database_unknown", "xmlrpc", "person"),
    ),
    "jsonrpc execute_kw at an unknown database": Case(
        lambda c, w: c.json("object", "execute_kw", "nodb", 2, "x", "res.users", "read", []),
        refused("database_unknown", "jsonrpc", "admin"),
    ),
    "json2 at an unknown database": Case(
        lambda c, w: c.json2(w.keys["good"], X_Odoo_Database="nodb"),
        refused("database_unknown", "json2"),
    ),
    "custom route at an unknown database": Case(
        lambda c, w: c.http("GET", "/my/api", None, {"X-Odoo-Database": "nodb"}),
        refused("database_unknown", "http"),
    ),
    "webhook at an unknown database": Case(
        lambda c, w: c.http("POST", "/web/hook/abc", "{}", {"X-Odoo-Database": "nodb"}),
        refused("database_unknown", "webhook"),
    ),
    "session at an unknown database": Case(
        lambda c, w: c.route("/web/session/authenticate",
                             {"db": "nodb", "login": "person", "password": PASSWORD}),
        refused("database_unknown", "session", "person"),
    ),
    # Sessions, and what users do in a browser.
    "session authenticate": Case(
        lambda c, w: c.session_login("person", PASSWORD), accepted("session", "person")
    ),
    "session authenticate wrong password": Case(
        lambda c, w: c.session_login("person", "not it"),
        refused("password_wrong", "session", "person"),
    ),
    "session authenticate unknown login": Case(
        lambda c, w: c.session_login("nobody here", "x"),
        refused("user_unknown", "session") | UNKNOWN_LOGIN,
    ),
    "session authenticate archived": Case(
        lambda c, w: c.session_login("retired", PASSWORD),
        refused("user_archived", "session", "retired"),
    ),
    "session authenticate of an integration": Case(
        lambda c, w: c.session_login("worker", w.keys["good"]),
        refused("interactive_not_allowed", "session", "worker", **of_worker()),
    ),
    "session authenticate without password": Case(
        lambda c, w: c.route("/web/session/authenticate", {"db": c.db, "login": "person"}),
        refused("malformed_request", "session", "person"),
    ),
    "call_kw without a session": Case(
        lambda c, w: c.call_kw(),
        refused("authenticate_skipped", "session") | {"auth_type": "user"},
    ),
    "call_kw on a session nobody knows": Case(
        lambda c, w: (c.cookies.update(session_id="x" * 84), c.call_kw())[-1],
        refused("session_expired", "session") | {"auth_type": "user"},
    ),
    "web login": Case(
        lambda c, w: c.web_login("person", PASSWORD), accepted("web", "person")
    ),
    "web login wrong password": Case(
        lambda c, w: c.web_login("person", "not it"), refused("password_wrong", "web", "person")
    ),
    "web login with an API key": Case(
        lambda c, w: c.web_login("person", w.keys["personal"]),
        refused("password_wrong", "web", "person"),
    ),
    "web login unknown login": Case(
        lambda c, w: c.web_login("nobody here", "x"),
        refused("user_unknown", "web") | UNKNOWN_LOGIN,
    ),
    "web login archived": Case(
        lambda c, w: c.web_login("retired", PASSWORD), refused("user_archived", "web", "retired")
    ),
    "web login without a password": Case(
        lambda c, w: c.web_login("person", ""), refused("secret_missing", "web", "person")
    ),
    "web login of an integration": Case(
        lambda c, w: c.web_login("worker", w.keys["good"]),
        refused("interactive_not_allowed", "web", "worker", **of_worker()),
    ),
    "passkey of an unknown id": Case(
        lambda c, w: c.web_login("", "", type="webauthn", webauthn_response='{"id": "abc"}'),
        refused("user_unknown", "passkey"),
    ),
}


def oauth(token, provider="answering"):
    def run(c, w):
        state = urllib.parse.quote(json.dumps({"d": c.db, "p": w.providers[provider]}))
        return c.http("GET", f"/auth_oauth/signin?access_token={token}&state={state}")

    return run


NO_IDENTITY = refused("provider_error", "oauth")
CASES |= {
    "OAuth": Case(oauth("person"), accepted("oauth", "person")),
    "OAuth token that the provider does not know": Case(oauth("guessed"), NO_IDENTITY),
    "OAuth token of somebody unknown here": Case(oauth("stranger"), NO_IDENTITY),
    "OAuth token of an archived user": Case(oauth("retired"), NO_IDENTITY),
    "OAuth while the provider is gone": Case(oauth("person", "gone"), NO_IDENTITY),
}


@pytest.mark.parametrize("name", CASES)
def test_exactly_one_attempt(world, stock_world, name):
    """Check the row, the client's answer and the log line of one call."""
    case = CASES[name]
    caller = Calls(world, case.source)
    # The traceback of a malformed call, which stock Odoo logs, contains names of the add-on.
    for server in (world.server, stock_world.server):
        server.expect_log("odoo.http: Exception during request handling")
    mark = world.server.log_mark()
    reply = case.call(caller, world)
    rows = caller.rows()
    if name == "json2 session of another user":
        rows = [row for row in rows if row["channel"] == "json2"]
    check_row(world, caller, case, reply, rows)
    check_log(world, mark, rows)
    like = case.call if case.like == "this" else case.like
    if name not in stock_world.told:
        stock_world.told[name] = like(Calls(stock_world), stock_world)
    assert reply == stock_world.told[name]


def check_row(world, caller, case, reply, rows):
    assert [row["count"] for row in rows] == [1], rows
    [row] = rows
    expected = dict(case.row)
    named = {
        "user_id": world.uids.get(expected["user"], 2 if expected["user"] == "admin" else None),
        "integration_id": world.integrations.get(expected.pop("integration")),
        "key_id": world.key_ids.get(expected.pop("key")),
    }
    del expected["user"]
    login = expected.pop("login")
    expected |= named | {
        "remote_addr": case.source or "127.0.0.1",
        "user_agent": caller.agent,
        "database": (
            "unknown database (4 characters)"
            if expected["cause"] == "database_unknown"
            else world.db
        ),
        "auth_type": expected.get("auth_type"),
    }
    if isinstance(login, re.Pattern):
        assert login.fullmatch(row["login"]), row["login"]
    else:
        expected["login"] = login
    assert {column: row[column] for column in expected} == expected
    if row["outcome"] == "failure":
        assert row["reference"] and row["reference"] == reply.reference
    else:
        assert row["reference"] is None and reply.reference is None


def check_log(world, mark, rows):
    lines = re.findall(r"Authentication refused: (.*)", world.server.log_since(mark))
    failures = [row for row in rows if row["outcome"] == "failure"]
    assert len(lines) == len(failures)
    for row, line in zip(failures, lines, strict=True):
        assert line.startswith(f"address={row['remote_addr']} cause={row['cause']} ")
        assert f" reference={row['reference']} " in line
