"""A statement log, or pg_stat_activity, shows no secret that lets anyone in.

The exception is a password typed in place of a login, for which Odoo searches.
"""

import contextlib

import pytest

from callers.clients import Authenticate, Json2, Jsonrpc, Refused, Session, Xmlrpc
from dev.servers import postgres, private_postgres
from evidence.secret_search import encodings

PASSWORD = "correct horse battery's"
WRONG_PASSWORD, WRONG_KEY = "guessed-password-of-nobody", "0123456789abcdef" * 2 + "fedcba98"


@pytest.fixture(scope="module")
def server(live_server):
    """Log every statement, as ``pg_stat_activity`` would show it while it runs."""
    if not postgres.is_private():
        pytest.skip("needs the log of a PostgreSQL of our own")
    server = live_server("statements")
    server.sql(f"ALTER DATABASE \"{server.db}\" SET log_statement = 'all'")
    server.restart()
    return server


def attempt(call, *args):
    with contextlib.suppress(Refused):
        call(*args)


def test_no_statement_has_a_secret(server):
    made = server.shell(
        """
        shop = env["auth.integration"].create({"name": "s", "code": "s", "owner_ids": [2]})
        env["res.users"].create({"name": "p", "login": "p", "password": password})
        result = [shop.id, shop.user_id.id]
        """,
        password=PASSWORD,
    )
    integration, uid = made
    before = private_postgres.PrivateServer().log.stat().st_size
    session = Session(server, "admin", "admin")
    [wizard] = session.call(
        "auth.integration.issue", "create", [{"integration_id": integration, "name": "first"}]
    )
    shown = session.call_checked("auth.integration.issue", "action_issue", [wizard])
    key = shown["context"]["default_key"]
    person = Session(server, "p", PASSWORD)
    person.call("res.users", "context_get")
    for secret in (key, WRONG_KEY, WRONG_PASSWORD):
        attempt(Authenticate(server, "s", secret).call)
        attempt(Xmlrpc(server, uid, secret).call, "res.users", "context_get")
        attempt(Jsonrpc(server, uid, secret).call, "res.users", "context_get")
        attempt(Json2(server, secret).call, "auth.integration.key", "whoami")
    attempt(Authenticate(server, "p", PASSWORD).call)
    attempt(Authenticate(server, "p", WRONG_PASSWORD).call)
    server.shell(
        "key = env['auth.integration.key'].search([('prefix', '=', prefix)])\n"
        "key._end('revoked', 'test', env.user)", prefix=key[:8],
    )
    attempt(Json2(server, key).call, "auth.integration.key", "whoami")
    with open(private_postgres.PrivateServer().log, "rb") as log:
        log.seek(before)
        statements = log.read()
    assert b"auth_integration_key" in statements and b"auth_throttle" in statements
    for secret in (key, PASSWORD, WRONG_KEY, WRONG_PASSWORD):
        forms = [*encodings(secret), secret.replace("'", "''").encode()]
        assert not [form for form in forms if form in statements], secret
