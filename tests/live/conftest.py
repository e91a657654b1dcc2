"""Fixtures for tests against real server processes.

A test module may set ``SERVER = {...}``: keyword arguments of ``LiveServer`` for the servers that
the fixtures start. A warning or error of the add-on in a server's log fails the test during which
it appears, unless the test has called ``server.expect_log(regex)``.

Shared helpers have their own folders; a helper of one part is beside its tests:

* ``callers/``: external systems, from one call over a protocol to traffic without a pause
* ``other_servers/``: the servers around Odoo: nginx, SMTP, HTTPS, LDAP, Prometheus, rsyslog, and a
  connection to PostgreSQL that can be cut
* ``worlds/``: users, keys and integrations that tests share, and what can happen to them
* ``evidence/``: the search for a secret everywhere, and the comparison with stock Odoo
* ``processes.py``: what tests do to the processes of a server
* ``addons/``: small add-ons that only tests install
"""

import base64
import contextlib
import os
import re
import secrets

import pytest

from callers.clients import Xmlrpc
from dev.common import CHECKOUT_ID, lock, state_dir
from dev.servers import postgres
from dev.servers.live_server import LiveServer
from other_servers.https import allowing_this_machine
from other_servers.key_endpoint import Endpoint
from processes import MODES

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(state_dir("test", "hypothesis")))

_servers = []
_run = contextlib.ExitStack()


def pytest_sessionstart(session):
    """Provide a PostgreSQL server for the whole run.

    Only one run of a checkout at a time is possible, as the names of its databases do not depend on
    the run. They do depend on the module, and each process of a run takes whole modules.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _run.enter_context(lock(state_dir("test") / "live.lock"))
        _run.enter_context(postgres.running())


def pytest_sessionfinish(session):
    """Release what the run held."""
    _run.close()


@pytest.fixture(scope="module")
def live_server(request):
    """Return a function that starts further servers: ``live_server("name", workers=2, ...)``.

    The servers are stopped and their databases dropped at the end of the module, or when a test
    that runs again starts one of the same name. ``database`` is the database of another server of
    the module.
    """
    mine = []

    def start(name, database=None, **options):
        module = request.module.__name__.removeprefix("test_")
        own = re.sub(r"\W+", "_", f"live_{CHECKOUT_ID}_{module}_{name}")[:60]
        for earlier in mine:
            if earlier.folder.name == own:
                earlier.stop()
        # An earlier server or a killed run may have left the database.
        if database is None and own in postgres.databases():
            LiveServer(own).drop()
        options = {**getattr(request.module, "SERVER", {}), **options}
        server = LiveServer(database or own, name=own, **options)
        mine.append(server)
        _servers.append(server)
        return server.start()

    yield start
    for server in mine:
        _servers.remove(server)
        server.stop()
    for server in mine:
        server.drop()


@pytest.fixture(scope="module", params=MODES)
def server(request, live_server):
    """A server with the add-on, once threaded and once with two workers."""
    return live_server(request.param, workers=MODES[request.param])


@pytest.fixture(scope="module")
def stock_server(live_server):
    """A threaded server without the add-on, on a database that never had it."""
    return live_server("stock", with_addon=False)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """An HTTPS endpoint that accepts new keys."""
    endpoint = Endpoint(tmp_path_factory.mktemp("endpoint"))
    yield endpoint
    endpoint.close()


@pytest.fixture(scope="module")
def environment():
    """The environment of the module's servers, with a key to encrypt secrets.

    It is a ``MonkeyPatch``: a fixture may set more variables before it starts a server.
    """
    with pytest.MonkeyPatch.context() as patch:
        secret_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        patch.setenv("AUTH_INTEGRATION_SECRET_KEY", secret_key)
        yield patch


@pytest.fixture(scope="module")
def sending_server(live_server, endpoint, environment):
    """Return a function that starts a server which may send keys to the endpoint."""

    def start(**options):
        environment.setenv("SSL_CERT_FILE", endpoint.authority)
        return allowing_this_machine(live_server("main", **options))

    return start


@pytest.fixture(scope="module")
def admin(server):
    """The administrator, over XML-RPC with a password."""
    return Xmlrpc(server, 2, "admin")


@pytest.fixture
def issued(server, admin, request):
    """A new integration and its key: ``(id, code, uid, secret)``."""
    code = re.sub(r"\W+", "-", request.node.name.lower())[:60]
    [integration] = admin.call("auth.integration", "create", [{"name": code, "code": code}])
    key = admin.call("auth.integration", "issue_key", [integration])
    [row] = admin.call("auth.integration", "read", [integration], ["user_id"])
    return integration, code, row["user_id"][0], key["key"]


@pytest.fixture(autouse=True)
def no_unexpected_log_lines():
    """Fail a test during which a server logged an unexpected warning or error of the add-on."""
    yield
    unexpected = [line for server in _servers for line in server.unexpected_log_lines()]
    for server in _servers:
        server.forget_expected_log()
    assert not unexpected, "unexpected in the server log:\n" + "\n".join(unexpected)
