"""Shared by the tests of the attempt log: a world of users and keys, and raw calls.

The same world is created on a server with the add-on and on one without it, to compare answers.
"""

import html
import itertools
import json
import re
import xmlrpc.client
from dataclasses import dataclass, field

from callers.clients import Line

WRONG_KEY = "0123456789abcdef0123456789abcdef01234567"
TOTP_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
_agents = itertools.count(1)

# Every user that a caller may be, and their credentials. The names are logins.
MAKE_WORLD = """
    from datetime import datetime, timedelta
    ours = "auth.integration" in env
    env["ir.config_parameter"].set_param("base.login_cooldown_after", "0")
    # A fast machine makes more different attempts in a minute than are told apart by default.
    env["ir.config_parameter"].set_param("auth_integration.attempt_new_rows_per_minute", "100000")
    # And more wrong passwords than anybody may try.
    env["ir.config_parameter"].set_param("auth_integration.throttle_failures", "1000")
    soon = datetime.now() + timedelta(days=30)
    past = datetime.now() - timedelta(days=1)
    users, keys, key_ids, integrations = {}, {}, {}, {}

    def generate(owner, name, scope=None):
        user = users[owner]
        natives = env["res.users.apikeys"].with_user(user).sudo()
        secret = natives._generate(scope, name, soon)
        native = natives.search([("user_id", "=", user.id)], order="id desc", limit=1)
        keys[name] = secret
        if ours:
            record = env["auth.integration.key"].search([("apikey_id", "=", native.id)])
            key_ids[name] = record.id
        return native

    def person(login, **values):
        users[login] = env["res.users"].create({"name": login, "login": login, **values})

    def integration(code, **values):
        if not ours:
            return person(code)
        made = env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(6, 0, [2])], **values}
        )
        integrations[code] = made.id
        users[code] = made.user_id

    person("person", password="a person's password")
    person("retired", password="a person's password")
    person("factor", password="a person's password")
    integration("worker")
    integration("gone")
    integration("near", **({"allowed_networks": "10.0.0.0/8"} if ours else {}))
    integration("modern", **({"allowed_channels": "json2"} if ours else {}))
    for name in ("good", "revoked", "superseded", "expired"):
        generate("worker", name)
    generate("worker", "scoped", "another.scope")
    for owner, name in (("person", "personal"), ("gone", "archived"), ("near", "from_afar"),
                        ("modern", "by_old_ways")):
        generate(owner, name)
    env.flush_all()

    def native(name):
        return env["res.users.apikeys"].sudo().search([("name", "=", name)])

    native("revoked").unlink()
    env.flush_all()
    for name in ("expired", "superseded"):
        cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE name = %s", [past, name]
        )
    if ours:
        cr.execute(
            "UPDATE auth_integration_key SET retire_at = %s WHERE name = 'superseded'", [past]
        )
    env.invalidate_all()
    users["gone"].active = False
    users["retired"].active = False
    if "totp_secret" in env["res.users"]._fields:
        cr.execute("UPDATE res_users SET totp_secret = %s WHERE login = 'factor'", [TOTP_SECRET])
    result = {
        "uids": {login: user.id for login, user in users.items()},
        "keys": keys, "key_ids": key_ids, "integrations": integrations,
    }
"""


@dataclass
class Reply:
    """A response, reduced to what a client can distinguish.

    :ivar detail: result, fault, JSON error or text, without what depends on the server
    :ivar reference: the header ``X-Auth-Reference``
    """

    status: int
    detail: object
    reference: str | None = field(default=None, compare=False)


class World:
    """A server with its users and keys."""

    def __init__(self, server, database=None):
        self.server = server
        self.db = database or server.db
        made = server.shell(MAKE_WORLD, TOTP_SECRET=TOTP_SECRET)
        self.uids, self.keys = made["uids"], made["keys"]
        self.key_ids, self.integrations = made["key_ids"], made["integrations"]

    def secret(self, name):
        """Return the key with this name, or the value itself."""
        return self.keys.get(name, name) if isinstance(name, str) else name

    def uid(self, login):
        """Return the ID of the user with this login, or the value itself."""
        return self.uids.get(login, login)

    def calls(self, source=None):
        """Return a caller with its own agent."""
        return Calls(self, source)


class Calls:
    """A caller: all its calls have the same, unique agent, which identifies their rows."""

    def __init__(self, world, source=None, host="127.0.0.1"):
        self.world = world
        self.agent = f"probe/{next(_agents)}.0"
        self.line = Line(world.server, host=host, source=source, agent=self.agent)
        self.cookies = {}

    @property
    def db(self):
        return self.world.db

    def raw(self, method, path, body=None, headers=()):
        """Send a request and return status, headers and body."""
        headers = dict(headers)
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            headers.setdefault("Cookie", pairs)
        status, answered, answer = self.line.request(method, path, body, headers)
        for line in answered.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return status, answered, answer

    def http(self, method, path, body=None, headers=()):
        """Send a request to a route that answers with text or JSON."""
        status, answered, answer = self.raw(method, path, body, headers)
        return Reply(status, _http_detail(answered, answer), answered.get("X-Auth-Reference"))

    def xml(self, service, method, *params, version=2, body=None, headers=()):
        """Call a service over XML-RPC."""
        prefix = "/xmlrpc/2/" if version == 2 else "/xmlrpc/"
        if body is None:
            body = xmlrpc.client.dumps(params, method, allow_none=True).encode()
        status, answered, answer = self.raw(
            "POST", prefix + service, body, {"Content-Type": "text/xml", **dict(headers)}
        )
        return Reply(status, _xml_detail(answer), answered.get("X-Auth-Reference"))

    def json(self, service, method, *args):
        """Call a service over /jsonrpc."""
        return self.route("/jsonrpc", {"service": service, "method": method, "args": args})

    def route(self, path, params, headers=()):
        """Call a JSON-RPC route."""
        body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})
        status, answered, answer = self.raw(
            "POST", path, body, {"Content-Type": "application/json", **dict(headers)}
        )
        return Reply(status, _json_detail(answer), answered.get("X-Auth-Reference"))

    def json2(self, key, path="res.users/context_get", method="POST", **headers):
        """Call /json/2."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        headers["Content-Type"] = "application/json"
        return self.http(method, f"/json/2/{path}", "{}", headers)

    # Calls that authenticate.

    def authenticate(self, login, secret, **options):
        return self.xml("common", "authenticate", self.db, login, secret, {}, **options)

    def execute(self, uid, secret, model="res.users", method="context_get", *args, **options):
        return self.xml(
            "object", "execute_kw", self.db, uid, secret, model, method, list(args), **options
        )

    def execute_json(self, uid, secret, model="res.users", method="context_get", *args):
        return self.json("object", "execute_kw", self.db, uid, secret, model, method, list(args))

    def session_login(self, login, password):
        params = {"db": self.db, "login": login, "password": password}
        return self.route("/web/session/authenticate", params)

    def call_kw(self, model="res.users", method="context_get", *args, **kwargs):
        params = {"model": model, "method": method, "args": list(args), "kwargs": kwargs}
        return self.route("/web/dataset/call_kw", params)

    def form(self, path, **values):
        """Send a form of the web client, with the token of its page."""
        _status, _headers, page = self.raw("GET", path)
        token = re.search(rb'name="csrf_token" value="([^"]+)"', page)[1].decode()
        body = "&".join(
            f"{name}={_quote(value)}" for name, value in {"csrf_token": token, **values}.items()
        )
        return self.http(
            "POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"}
        )

    def web_login(self, login, password, **more):
        return self.form("/web/login", login=login, password=password, **more)

    # Recorded attempts.

    def rows(self):
        """Return the rows of this caller's attempts, oldest first."""
        return self.world.server.sql(
            "SELECT * FROM auth_attempt WHERE user_agent = %s ORDER BY id", [self.agent]
        )


def totals(rows):
    """Return channel, cause and count in order, added up over minutes."""
    found = {}
    for row in rows:
        place = row["channel"], row["cause"]
        found[place] = found.get(place, 0) + row["count"]
    return [(*place, count) for place, count in found.items()]


def _quote(value):
    from urllib.parse import quote_plus

    return quote_plus(value)


def _xml_detail(answer):
    if not answer.lstrip().startswith(b"<?xml"):
        return "no XML"
    try:
        return _plain(xmlrpc.client.loads(answer)[0][0])
    except xmlrpc.client.Fault as fault:
        return ("fault", _stable(fault.faultCode), _stable(fault.faultString))


def _json_detail(answer):
    try:
        answer = json.loads(answer)
    except ValueError:
        return "no JSON"
    if "error" in answer:
        data = answer["error"]["data"]
        return ("error", answer["error"]["code"], data["name"], _stable(data["message"]))
    return _plain(answer.get("result"))


def _http_detail(headers, answer):
    if "json" in headers.get("Content-Type", ""):
        answer = json.loads(answer)
        if isinstance(answer, dict) and "debug" in answer:
            frames = re.findall(r'addons/\w+/\S+", line \d+, in \w+', answer["debug"])
            return ("error", answer["name"], _stable(answer["message"]), frames)
        return _plain(answer)
    if location := headers.get("Location"):
        return ("to", re.sub(r"call=[\d.-]+|https?://[^/]+", "", location))
    page = answer.decode(errors="replace")
    alerts = re.findall(r'class="alert alert-danger"[^>]*>(.*?)</p>', page, re.S)
    title = re.findall(r"<title>(.*?)</title>", page, re.S)
    return ("page", [html.unescape(text).strip() for text in (*title, *alerts)])


def _plain(result):
    """Return only the type of a result, as IDs depend on the database."""
    if isinstance(result, bool) or result is None:
        return result
    return type(result).__name__


def _stable(text):
    """Return only the last line of a traceback, which names the error."""
    if not isinstance(text, str):
        return text
    if "Traceback (most recent call last)" in text:
        text = text.strip().splitlines()[-1]
    return text
