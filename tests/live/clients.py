"""Small clients for every way of calling a live server, and the means to call each of its workers.

Each call is one connection unless a :class:`Line` is passed, and returns its result or raises
:class:`Refused`. Two addresses of the machine itself can be called from: see ``Line``.
"""

import contextlib
import functools
import http.client
import http.cookies
import itertools
import json
import os
import re
import signal
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import odoo_command
import postgres
from live_server import ACCESS_LINE

_numbers = itertools.count(1)


class Refused(Exception):
    """The server did not accept the credentials.

    :ivar status: of the HTTP answer
    :ivar detail: the fault's code, the name of the JSON error, or the answer's text
    :ivar headers: of the HTTP answer
    """

    def __init__(self, status, detail, headers=None):
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        super().__init__(f"{status} {detail}")


class Line:
    """A way to the server: which of its addresses, from where, and whether the connection is kept.

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
        """Send one request, marked in its URL, and return ``(status, headers, body)``."""
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
        """End a kept connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    @property
    def pid(self):
        """Process id of the worker that answered the last call."""
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
            # XML-RPC v2 numbers its faults, v1 names them.
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
    """A web session, logged in with login and password, as a browser has it."""

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
        """Call a method that wants the password once more, and give it, as the web client does."""
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
    """Give the administrator over XML-RPC, with a key: passwords are hashed after each change."""
    if not hasattr(server, "administrator_key"):
        server.administrator_key = server.shell(
            "result = env['res.users.apikeys'].with_user(2).sudo()._generate(None, 'tests', False)"
        )
    return Xmlrpc(server, 2, server.administrator_key)


def ways(server, uid, login, secret, **line):
    """Every way to use an API key, by name: a function that calls and returns the user's id.

    :param line: options of :class:`Line`
    """

    at = functools.partial(Line, server, **line)
    return {
        "xmlrpc": _Way(Xmlrpc(server, uid, secret, at())),
        "jsonrpc": _Way(Jsonrpc(server, uid, secret, at())),
        "json2": _Way(Json2(server, secret, at())),
        "authenticate": _Way(Authenticate(server, login, secret, at())),
    }


class _Way:
    """A call that needs no right, and the line it is made on."""

    def __init__(self, client):
        self.client, self.line = client, client.line

    def __call__(self):
        answer = self.client.call("res.users", "context_get")
        return answer["uid"] if isinstance(answer, dict) else answer


def accepted(call):
    """Tell whether a call of :func:`ways` is accepted."""
    try:
        return bool(call())
    except Refused:
        return False


@contextlib.contextmanager
def only_worker(server, pid):
    """Let only one worker answer: the others are stopped by signal, so the next call is its."""
    others = [other for other in server.worker_pids() if other != pid]
    try:
        for other in others:
            _stop_between_transactions(server, other)
        yield pid
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def _stop_between_transactions(server, pid):
    """Stop a process where it holds no row locked: its thread that counts uses may be at work."""
    # Connections made before the fork bear the master's name.
    names = [f"odoo-{pid}", f"odoo-{server.pid}"]
    in_transaction = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = ANY(%s) AND datname = %s"
        " AND state <> 'idle' AND wait_event_type IS DISTINCT FROM 'Lock'"
    )
    while True:
        os.kill(pid, signal.SIGSTOP)
        while not _is_stopped(pid):
            pass
        if not server.sql(in_transaction, [names, server.db]):
            return
        os.kill(pid, signal.SIGCONT)


def _is_stopped(pid):
    """Tell whether every thread has stopped: the signal may reach them a little later."""
    states = (
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return all(state == "T" for state in states)


def each_worker(server):
    """Go through the server's workers; during each turn of the loop only that one answers."""
    for pid in server.worker_pids():
        with only_worker(server, pid):
            yield pid


@contextlib.contextmanager
def halted_at_commit(server, table, change, on="UPDATE OR DELETE"):
    """Run ``change`` in a thread up to the end of its transaction, and let it commit on leaving.

    Within the block all of its code has run, clearing of caches included, and nothing of it is
    visible to others yet. With workers, the one that runs it cannot answer meanwhile.

    :param table: a table of which ``change`` updates or deletes a row
    :param on: what else it does with a row, as in ``CREATE TRIGGER``
    """
    server.sql(
        f"""
        CREATE OR REPLACE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait_for_test AFTER {on} ON {table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_test()
        """
    )
    with contextlib.closing(postgres.connect(server.db)) as holder, ThreadPoolExecutor(1) as pool:
        holder.cursor().execute("SELECT pg_advisory_lock(4711)")
        running = pool.submit(change)
        try:
            while not waiting_for_locks(server):
                if running.done():
                    running.result()
                    raise AssertionError(f"it changed no row of {table}")
            yield
        finally:
            holder.cursor().execute("SELECT pg_advisory_unlock(4711)")
            running.result()
            server.sql(f"DROP TRIGGER wait_for_test ON {table}")


def waiting_for_locks(server):
    """Return how many transactions in the server's database wait for a lock."""
    [row] = server.sql(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE a.datname = %s AND NOT l.granted",
        [server.db],
    )
    return row["count"]


def odoo(server, *arguments):
    """Run Odoo to its end on a stopped server's database, such as with ``-u``; return its log."""
    server._write_configuration()
    log = server.folder / "odoo.log"
    code = odoo_command.run_to_end(
        ("--config", server._configuration, *arguments, "--stop-after-init", "--no-http"), log
    )
    text = log.read_text()
    assert code == 0, text
    return text
