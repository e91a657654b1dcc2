"""A real Odoo server process with its own database, for tests, benchmarks and experiments.

Example::

    with postgres.running(), LiveServer("try_it", workers=2) as server:
        common = server.xmlrpc("common")
        uid = common.authenticate(server.db, "admin", "admin", {})
        assert server.sql("SELECT login FROM res_users WHERE id = %s", [uid])
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import xmlrpc.client
from pathlib import Path

from dev.common import ADDON, free_port, state_dir, tail
from dev.servers import postgres, templates
from dev.servers.live_log import LiveLog
from dev.servers.odoo_command import addons_path, command, environment

LIVE_SHELL = Path(__file__).with_name("live_shell.py")


class LiveServer(LiveLog):
    """A server process, or a master with its workers, and the database it serves.

    :param db: name of the database, which is created from a template if it does not exist
    :param name: name of its folder, needed if several servers share a database
    :param workers: 0 for a threaded server, else the number of HTTP workers
    :param with_addon: whether the add-on is on the server's add-ons path
    :param extra_addons: more folders for the add-ons path
    :param modules: modules to install in the template; default: the add-on, or without it its
        dependencies
    :param demo: whether the template has demo data
    :param config: more settings for the configuration file, which override the defaults
    :param addon_options: options for the section ``[auth_integration]`` of that file
    :param log_level: Odoo's ``log_level``
    """

    def __init__(
        self,
        db,
        *,
        name=None,
        workers=0,
        with_addon=True,
        extra_addons=(),
        modules=None,
        demo=False,
        config=None,
        addon_options=None,
        log_level="info",
    ):
        self.db = db
        self.workers = workers
        self.with_addon = with_addon
        self.extra_addons = tuple(extra_addons)
        self.modules = tuple(modules or ((ADDON,) if with_addon else templates.STOCK_MODULES))
        self.demo = demo
        self.config = dict(config or {})
        self.addon_options = dict(addon_options or {})
        self.log_level = log_level
        self.port = free_port()
        self.websocket_port = free_port() if workers else self.port
        self.folder = state_dir("test", "servers", name or db)
        super().__init__(self.folder / "server.log")
        self._process = None
        self._shell = None
        self._connection = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc_info):
        self.drop()

    # Start and stop

    def start(self, timeout=120):
        """Start the server, creating its database if needed, and wait until it answers."""
        if self._process:
            raise RuntimeError("the server is running")
        if self.db not in postgres.databases():
            template = templates.with_modules(
                self.modules,
                with_addon=self.with_addon,
                extra_addons=self.extra_addons,
                demo=self.demo,
            )
            templates.copy(template, self.db)
        self._write_configuration()
        mark = self.log_mark()
        with open(self.log_path, "a") as log:
            self._process = subprocess.Popen(
                command("--config", self._configuration),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # one process group, for kill9
            )
        self._wait_until_it_answers(mark, timeout)
        return self

    def stop(self, timeout=30):
        """Stop the server as a service manager would, and wait until it has ended."""
        self._close_helpers()
        if self._process:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
            self.kill9()  # also processes that the server left behind

    def kill9(self):
        """Kill the server and all its workers immediately, without any cleanup."""
        if self._process:
            self._reap_group()
            self._process.wait()
            self._process = None

    def restart(self):
        """Stop the server and start it again on the same port and database."""
        self.stop()
        return self.start()

    def drop(self):
        """Stop the server and remove its database."""
        self.stop()
        templates.discard(self.db)

    @property
    def url(self):
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        """The process ID of the server; with workers, that of the master."""
        return self._process and self._process.pid

    @property
    def running(self):
        """Whether the server process is running."""
        return bool(self._process) and self._process.poll() is None

    def worker_pids(self):
        """Return the process IDs of the running HTTP workers, or of the threaded server."""
        if not self.workers:
            return [self.pid]
        pids = map(int, re.findall(r"Worker WorkerHTTP \((\d+)\) alive", self.log_since()))
        return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]

    # Calls

    def xmlrpc(self, kind, probe=None):
        """Return a proxy for ``/xmlrpc/2/<kind>``, with ``?probe=`` in its URL if one is given."""
        query = f"?probe={probe}" if probe else ""
        return xmlrpc.client.ServerProxy(f"{self.url}/xmlrpc/2/{kind}{query}", allow_none=True)

    def sql(self, query, params=None):
        """Run and commit one statement, and return its rows as dictionaries."""
        from psycopg2.extras import RealDictCursor

        if self._connection is None or self._connection.closed:
            self._connection = postgres.connect(self.db)
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(query, params)
            if cursor.description:
                return [dict(row) for row in cursor.fetchall()]
            if query.lstrip().upper().startswith("SELECT"):
                raise ValueError("a query without columns has rows that nobody can see")
            return []

    def shell(self, code, **values):
        """Run Python code with ``env`` (superuser) in another Odoo process and commit.

        The process is kept for the next call. It is not the server, but uses the same database.

        :param values: JSON-serializable values, available to the code as variables
        :return: the value of the variable ``result`` after the code has run, converted through JSON
        """
        if self._shell is None or self._shell.poll() is not None:
            self._start_shell()
        request = {"code": textwrap.dedent(code), "values": values}
        self._shell.stdin.write(json.dumps(request) + "\n")
        self._shell.stdin.flush()
        line = self._shell.stdout.readline()
        if not line:
            raise RuntimeError(f"the shell ended: {tail(self.folder / 'shell.log')}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    # Internals

    def _write_configuration(self):
        settings = {
            "db_name": self.db,
            "dbfilter": f"^{self.db}$",
            "http_interface": "127.0.0.1",
            "http_port": self.port,
            "gevent_port": self.websocket_port if self.workers else free_port(),
            "workers": self.workers,
            # Cron jobs would run at any time; a test that needs one calls it.
            "max_cron_threads": 0,
            "addons_path": addons_path(*self.extra_addons, with_addon=self.with_addon),
            "data_dir": templates.data_dir(),
            "log_level": self.log_level,
            "limit_time_real": 600,
            "limit_time_cpu": 600,
            **self.config,
        }
        self._configuration = self.folder / "odoo.conf"
        lines = [f"{name} = {value}" for name, value in settings.items()]
        own = [f"{name} = {value}" for name, value in self.addon_options.items()]
        self._configuration.write_text(
            "\n".join(["[options]", *lines, "", f"[{ADDON}]", *own, ""])
        )

    def _wait_until_it_answers(self, mark, timeout):
        """Wait until the database is loaded and every worker is there."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._process = None
                raise RuntimeError(f"the server ended at its start:\n{tail(self.log_path)}")
            if self._answers() and self._all_workers_alive(mark):
                return
            time.sleep(0.05)
        raise TimeoutError(f"no answer after {timeout} s:\n{tail(self.log_path)}")

    def _answers(self):
        # Workers start with the database loaded, so any answer will do. A threaded server loads it
        # for its first page. 404 is an answer too: with several databases there is no /web/login.
        path = "/web/health" if self.workers else "/web/login"
        try:
            urllib.request.urlopen(f"{self.url}{path}", timeout=60).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _all_workers_alive(self, mark):
        if self.log_level not in ("info", "debug", "debug_sql", "debug_rpc"):
            return True  # their start is not logged
        return self.log_since(mark).count("Worker WorkerHTTP (") >= self.workers

    def _start_shell(self):
        self._write_configuration()
        with open(self.folder / "shell.log", "a") as log:
            self._shell = subprocess.Popen(
                [sys.executable, LIVE_SHELL, self._configuration, self.db],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                start_new_session=True,
            )

    def _close_helpers(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._shell is not None:
            self._shell.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._shell.wait(10)
            self._shell.kill()
            self._shell.wait()
            self._shell.stdout.close()
            self._shell = None

    def _reap_group(self):
        """Kill the remaining processes of the server, such as its gevent worker."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
