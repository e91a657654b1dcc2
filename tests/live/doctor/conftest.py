"""A server to consult the doctor about: it sees it from outside only."""

import functools
import subprocess

import pytest

from dev.common import CHECKOUT_ID
from worlds import doctor


@pytest.fixture(scope="module")
def server(live_server, request):
    """Give one threaded server that serves direct callers one database.

    A host "<name>.test" is served the one of its name too.
    """
    module = request.module.__name__.removeprefix("test_")
    database = f"live_{CHECKOUT_ID}_{module}_main"
    server = live_server("main", config={"proxy_mode": True, "dbfilter": f"^({database}|%d)$"})
    assert server.db == database
    return server


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


@pytest.fixture(scope="module")
def consult(server):
    """Consult about the server's database, unless another one is named."""
    return functools.partial(doctor.consult, db=server.db)


@pytest.fixture(scope="module")
def codes():
    """Exit codes by cause, as the doctor lists them."""
    listed = subprocess.run(
        [doctor.PYTHON, doctor.DOCTOR, "--list-causes"], capture_output=True, text=True
    )
    return {line.split()[1]: int(line.split()[0]) for line in listed.stdout.splitlines()}


@pytest.fixture(scope="module")
def good(server, world, consult):
    """Consult with good settings, but for what is said otherwise."""
    login, secret = world["good"]

    def visit(url=server.url, *options, **settings):
        if settings.pop("without_key", False):
            return consult(url, *options, **{"login": login, "secrets": [secret], **settings})
        defaults = {"login": login, "key": secret, "secrets": [secret]}
        return consult(url, *options, **{**defaults, **settings})

    visit.login, visit.secret = login, secret
    return visit
