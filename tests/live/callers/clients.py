"""Small clients for every way of calling a live server.

Each call opens a connection unless a :class:`Line` is passed. It returns the result or raises
:class:`Refused`. Calls can come from different addresses of this machine, see :class:`Line`.
"""

import functools
import http.client
import http.cookies
import itertools
import json
import os
import re
import xmlrpc.client

from dev.servers.live_log import ACCESS_LINE

_numbers = itertools.count(1)


class Refused(Exception):
    """The server did not accept the credentials.

    :ivar status: status of the HTTP response
    :ivar detail: the fault's code, the name of the JSON error, or the response text
    :ivar headers: headers of the HTTP response
    """

    def __init__(self, status, detail, headers=None):
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        super().__init__(f"{status} {detail}")


class Line:
    """A connection to the server: its address, the caller's address, and whether it is kept open.

    :param server: ``LiveServer``
    :param host: ``127.0.0.1``, or ``::1`` for a server that listens on ``::``
    :param source: address to call from, such as ``127.0.0.2``
    :param agent: ``User-Agent``
    """

    def __init__(self, server, host="127.0.0.1", source=None, agent="probe", keep=False):
        self.server, self.host, self.source, self.agent = server, host, source, agent
        self.keep = keep
        self.marker = None  # of the last call
        self._connection = None

    def post(self, path, body, headers=()):
        """Send a POST and return ``(status, headers, body)``."""
        return self.request("POST", path, body, headers)

    def request(self, method, path, body=None, headers=()):
        """Send a request with a marker in its URL, and return ``(status, headers, body)``."""
        self.marker = f"call={os.getpid()}-{next(_numbers)}."
        self._log_mark = self.server.log_mark()
        path += ("&" if "?" in path else "?") + self.marker
        connection = self._connection or http.client.HTTPConnection(
            self.host,
            self.server.port,
            timeout=60,
            source_address=(self.source, 0) if self.source else None,
        )
        try:
            connection.request(method, path, body, {"User-Agent": self.agent, **dict(headers)})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            if self.keep:
                self._connection = connection
            else:
                connection.close()

    def close(self):
        """Close a kept connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    @property
    def pid(self):
        """Process ID of the worker that answered the last call."""
        pattern = ACCESS_LINE.replace("{marker}", re.escape(self.marker))
        return int(self.server.wait_for_log(pattern, self._log_mark)["pid"])


class _Client:
    def __init__(self, server, line=None):
        self.server = server
        self.line = line or Line(server)


class Xmlrpc(_Client):
    """``execute_kw`` over XML-RPC.

    :param version: 2, or 1 for the old path
    """

    def __init__(self, server, uid, secret, line=None, version=2):
        super().__init__(server, line)
        self.uid, self.secret = uid, secret
        self.prefix = "/xmlrpc/2/" if version == 2 else "/xmlrpc/"

    def call(self, model, method, *args, **kwargs):
        params = (self.server.db, self.uid, self.secret, model, method, args, kwargs)
        return self.service("object", "execute_kw", params)

    def service(self, service, method, params):
        """Call any method of ``common`` or ``object``."""
        body = xmlrpc.client.dumps(tuple(params), method, allow_none=True)
        status, headers, answer = self.line.post(
            self.prefix + service, body.encode(), {"Content-Type": "text/xml"}
        )
        try:
            return xmlrpc.client.loads(answer)[0][0]
        except xmlrpc.client.Fault as fault:
            code = fault.faultCode
            # Faults have numbers in XML-RPC v2 and names in v1.
            if code == 3 or (isinstance(code, str) and "AccessDenied" in code + fault.faultString):
                raise Refused(status, code, headers) from fault
            raise


class Authenticate(_Client):
    """``common.authenticate`` over XML-RPC: ``call`` returns the uid."""

    def __init__(self, server, login, secret, line=None):
        super().__init__(server, line)
        self.login, self.secret = login, secret

    def call(self, *_ignored, **_ignored_too):
        uid = Xmlrpc(self.server, None, None, self.line).service(
            "common", "authenticate", (self.server.db, self.login, self.secret, {})
        )
        if not uid:
            raise Refused(200, uid)
        return uid


class Jsonrpc(_Client):
    """``execute_kw`` over /jsonrpc."""

    def __init__(self, server, uid, secret, line=None):
        super().__init__(server, line)
        self.uid, self.secret = uid, secret

    def call(self, model, method, *args, **kwargs):
        params = [self.server.db, self.uid, self.secret, model, method, args, kwargs]
        return self.service("object", "execute_kw", params)

    def service(self, service, method, args):
        """Call any method of ``common`` or ``object``."""
        params = {"service": service, "method": method, "args": args}
        return _jsonrpc(self.line, "/jsonrpc", params)


class Json2(_Client):
    """/json/2 with a bearer key."""

    def __init__(self, server, secret, line=None, headers=()):
        super().__init__(server, line)
        self.secret, self.headers = secret, dict(headers)

    def call(self, model, method, **kwargs):
        status, headers, answer = self.line.post(
            f"/json/2/{model}/{method}",
            json.dumps(kwargs),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self.secret}",
                **self.headers,
            },
        )
        answer = json.loads(answer)
        if status == 401 or (status == 403 and "AccessDenied" in answer["name"]):
            raise Refused(status, answer["message"], headers)
        if status != 200:
            raise RuntimeError(f"{status} {answer}")
        return answer


class Session(_Client):
    """A web session, logged in with login and password as in a browser."""

    def __init__(self, server, login, password, line=None):
        super().__init__(server, line)
        self.cookies = {}
        params = {"db": server.db, "login": login, "password": password}
        self.uid = self.post("/web/session/authenticate", params)["uid"]
        self.password = password

    def post(self, path, params):
        """Call a JSON-RPC route in the session."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return _jsonrpc(self.line, path, params, {"Cookie": cookie}, self._keep_cookies)

    def call(self, model, method, *args, **kwargs):
        params = {"model": model, "method": method, "args": args, "kwargs": kwargs}
        return self.post("/web/dataset/call_kw", params)

    def call_checked(self, model, method, *args, **kwargs):
        """Call a method that asks for the password again, and give it, as the web client does."""
        action = self.call(model, method, *args, **kwargs)
        if action.get("res_model") != "res.users.identitycheck":
            return action
        return self.call(
            "res.users.identitycheck",
            "run_check",
            [action["res_id"]],
            context={"password": self.password},
        )

    def _keep_cookies(self, headers):
        for line in headers.get_all("Set-Cookie", []):
            for name, morsel in http.cookies.SimpleCookie(line).items():
                self.cookies[name] = morsel.value


def _jsonrpc(line, path, params, headers=(), on_headers=None):
    body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})
    status, answered, answer = line.post(
        path, body, {"Content-Type": "application/json", **dict(headers)}
    )
    if on_headers:
        on_headers(answered)
    answer = json.loads(answer)
    if error := answer.get("error"):
        name = error["data"]["name"]
        if name.endswith(("AccessDenied", "SessionExpiredException")):
            raise Refused(status, name, answered)
        raise RuntimeError(f"{name}: {error['data']['message']}")
    return answer.get("result")


def administrator(server):
    """The administrator over XML-RPC, with a key.

    A password would be hashed again after each change.
    """
    if not hasattr(server, "administrator_key"):
        server.administrator_key = server.shell(
            "result = env['res.users.apikeys'].with_user(2).sudo()._generate(None, 'tests', False)"
        )
    return Xmlrpc(server, 2, server.administrator_key)


def ways(server, uid, login, secret, **line):
    """Return the ways to use an API key, by name: functions that call and return the user's ID.

    :param line: options for :class:`Line`
    """

    at = functools.partial(Line, server, **line)
    return {
        "xmlrpc": _Way(Xmlrpc(server, uid, secret, at())),
        "jsonrpc": _Way(Jsonrpc(server, uid, secret, at())),
        "json2": _Way(Json2(server, secret, at())),
        "authenticate": _Way(Authenticate(server, login, secret, at())),
    }


class _Way:
    """A call that needs no access right, and the line on which it is made."""

    def __init__(self, client):
        self.client, self.line = client, client.line

    def __call__(self):
        answer = self.client.call("res.users", "context_get")
        return answer["uid"] if isinstance(answer, dict) else answer


def accepted(call):
    """Whether a call of :func:`ways` is accepted."""
    try:
        return bool(call())
    except Refused:
        return False
