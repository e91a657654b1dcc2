"""One of the two servers as a client sees it: its users and keys, and the calls of the rows."""

import contextlib
import http.client
import os
import re
import time
import xmlrpc.client
from pathlib import Path
from typing import NamedTuple

ACCESS_LINE = re.compile(
    r'^\S+ \S+ \d+ INFO \S+ werkzeug: .*"POST \S+ HTTP/1\.[01]" (?P<status>\d{3}) \S+'
    r" (?P<queries>\d+) ",
    re.M,
)
LOGIN = "bench"
PASSWORD = "the password of bench"
BOT_LOGIN = "bench_integration"
GUESSED_LOGIN = "bench_guessed"
AGENT = "benchmark"
# Both servers have the same users and keys. With the add-on, the second user also belongs to an
# integration.
PEOPLE = """
    import datetime

    def new_user(login, **values):
        return env["res.users"].with_context(no_reset_password=True).create(
            {"name": login, "login": login, **values})

    def new_key(user, days=30):
        end = datetime.datetime.now() + datetime.timedelta(days=days)
        return env["res.users.apikeys"].with_user(user).sudo()._generate(None, "bench", end)

    admin = env.ref("base.user_admin")
    user = new_user(login, password=password)
    new_user(guessed_login, password=password)
    if with_addon:
        bot = env["auth.integration"].create(
            {"name": "Benchmark", "code": bot_login, "owner_ids": [(4, admin.id)]}).user_id
    else:
        bot = new_user(bot_login)
    ended = new_key(user)
    cr.execute(
        "UPDATE res_users_apikeys"
        " SET expiration_date = now() AT TIME ZONE 'UTC' - interval '1 day' WHERE user_id = %s",
        [user.id])
    result = {
        "uid": user.id, "ended_key": ended, "key": new_key(user),
        "bot_uid": bot.id, "bot_key": new_key(bot),
        "reading_key": new_key(bot), "listed_key": new_key(bot),
    }
    if with_addon:
        keys = env["auth.integration.key"]
        for name, values in (
            ("reading_key", {"access": "read_only"}),
            ("listed_key", {"access": "listed", "operations": [["res.users", "context_get"]]}),
        ):
            keys.search([("prefix", "=", result[name][:8])]).set_access(**values, reason="bench")
"""


class Answer(NamedTuple):
    """The result of a call: how long it took, and whether the credentials were accepted."""

    seconds: float
    accepted: bool


class CountingConnection(http.client.HTTPConnection):
    """A connection that is kept as long as the server allows and counts how often it was opened."""

    connects = 0

    def connect(self):
        self.connects += 1
        super().connect()


class Side:
    """A server, a persistent connection to it, and the users and keys of the benchmark.

    :param name: ``stock`` or ``ours``, for the report
    :param server: a ``LiveServer``
    """

    def __init__(self, name, server):
        self.name, self.server = name, server
        self.calls = 0
        self._exhausted = set()
        self._connection = CountingConnection("127.0.0.1", server.port, timeout=120)
        people = server.shell(
            PEOPLE,
            login=LOGIN,
            password=PASSWORD,
            bot_login=BOT_LOGIN,
            guessed_login=GUESSED_LOGIN,
            with_addon=server.with_addon,
        )
        self.uid, self.key, self.ended_key = people["uid"], people["key"], people["ended_key"]
        self.bot_uid, self.bot_key = people["bot_uid"], people["bot_key"]
        self.reading_key, self.listed_key = people["reading_key"], people["listed_key"]

    # Calls

    def json2(self, key, agent=AGENT):
        """Call ``res.users.context_get`` over /json/2."""
        seconds, status, body = self._post(
            "/json/2/res.users/context_get",
            b"{}",
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {key}",
                "User-Agent": agent,
            },
        )
        if status not in (200, 401):
            raise RuntimeError(f"{self.name}: {status} {body[:500]}")
        return Answer(seconds, status == 200)

    def execute_kw(self, uid, secret):
        """Call ``res.users.context_get`` over XML-RPC."""
        params = (self.server.db, uid, secret, "res.users", "context_get", [])
        seconds, result = self._xmlrpc("object", "execute_kw", params)
        return Answer(seconds, isinstance(result, dict))

    def authenticate(self, login, secret):
        """Call ``common.authenticate`` over XML-RPC."""
        params = (self.server.db, login, secret, {})
        seconds, result = self._xmlrpc("common", "authenticate", params)
        return Answer(seconds, bool(result))

    # The server's settings, log and resources

    def take_nothing_for_a_flood(self):
        """Allow so many new log rows per minute that no call counts as part of a flood."""
        self.server.shell(
            """
            env["ir.config_parameter"].set_param(
                "auth_integration.attempt_new_rows_per_minute", "1000000")
            env.cr.commit()
            """
        )

    def limit_no_guesses(self):
        """Set the highest possible limit of guesses, for rows that measure the cost of one."""
        self.server.shell(
            """
            env["ir.config_parameter"].set_param("auth_integration.throttle_failures", "1000")
            env.cr.commit()
            """
        )

    def exhaust_guesses(self, login):
        """Make the add-on reject all further guesses of a login's password; do nothing on stock."""
        if not self.server.with_addon or login in self._exhausted:
            return
        self._exhausted.add(login)
        self.authenticate(login, "a guess")
        self.server.sql(
            """
            UPDATE auth_throttle SET failed = 1000 WHERE key = (
                SELECT key FROM auth_throttle WHERE login_key IS NOT NULL
                ORDER BY begins DESC LIMIT 1)
            """
        )

    def log_mark(self):
        """Return the current end of the server log."""
        return self.server.log_mark()

    def queries_since(self, mark, calls):
        """Return the number of SQL queries of each of the last calls, from the access log lines."""
        deadline = time.monotonic() + 10  # a line is written after its answer was sent
        while True:
            lines = ACCESS_LINE.findall(self.server.log_since(mark))
            if len(lines) >= calls:
                return [int(queries) for _status, queries in lines[-calls:]]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {len(lines)} access lines of {calls} calls")
            time.sleep(0.02)

    @property
    def connects(self):
        """How often the connection was opened. Odoo's own server closes it after each call."""
        return self._connection.connects

    def cpu_seconds(self):
        """Return the processor time that the server and its PostgreSQL processes have used."""
        backends = self.server.sql(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        )
        pids = [*self.server.worker_pids(), *(row["pid"] for row in backends)]
        return sum(map(_cpu_seconds, pids))

    def close(self):
        """Close the connection."""
        self._connection.close()

    # Internals

    def _xmlrpc(self, service, method, params):
        body = xmlrpc.client.dumps(params, method).encode()
        path = f"/xmlrpc/2/{service}"
        seconds, _status, answer = self._post(path, body, {"Content-Type": "text/xml"})
        try:
            return seconds, xmlrpc.client.loads(answer)[0][0]
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != 3:  # access denied
                raise
            return seconds, False

    def _post(self, path, body, headers):
        """Send a request on the persistent connection; return the seconds, status and body."""
        headers = {"User-Agent": AGENT, "Connection": "keep-alive", **headers}
        started = time.perf_counter()
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - started
        self.calls += 1
        return seconds, response.status, answer


def _cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, or runs on another machine
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settings(server):
    """Return the settings that must be alike on both sides, by topic, as flat dictionaries."""
    configuration = {}
    for line in (server.folder / "odoo.conf").read_text().splitlines():
        name, separator, value = line.partition(" = ")
        if separator:
            configuration[name] = value
    postgres = {
        row["name"]: row["setting"] for row in server.sql("SELECT name, setting FROM pg_settings")
    }
    modules = server.sql(
        "SELECT name, latest_version FROM ir_module_module WHERE state = 'installed'"
    )
    parameters = server.sql(
        "SELECT key, value FROM ir_config_parameter"
        " WHERE key ~ '^(password|base\\.login|auth_)' AND key !~ '^auth_integration'"
    )
    return {
        "odoo.conf": configuration,
        "PostgreSQL": postgres,
        "modules": {row["name"]: row["latest_version"] for row in modules},
        "parameters": {row["key"]: row["value"] for row in parameters},
        "processes": {"HTTP workers alive": str(len(server.worker_pids()))},
    }


@contextlib.contextmanager
def opened(name, server):
    """Yield a side of a running server, and close its connection at the end."""
    side = Side(name, server)
    try:
        yield side
    finally:
        side.close()
