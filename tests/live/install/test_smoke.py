"""Tests of the test servers: one starts with the add-on, in both modes, and one without it."""

import urllib.request

import pytest


def test_add_on_is_installed(server):
    """The server's database has the add-on installed."""
    (module,) = server.sql("SELECT state FROM ir_module_module WHERE name = 'auth_integration'")
    assert module["state"] == "installed"


def test_login_page_answers(server):
    """The server answers a browser."""
    with urllib.request.urlopen(f"{server.url}/web/login") as page:
        assert page.status == 200
        assert b'name="login"' in page.read()


def test_calls_are_traced_to_their_worker(server):
    """Each call is answered by a worker whose process ID is known."""
    for number in range(4):
        uid = server.xmlrpc("common", f"smoke{number}").authenticate(
            server.db, "admin", "admin", {}
        )
        assert uid == 2
    answered = {server.worker_pid_of(f"probe=smoke{number}") for number in range(4)}
    assert answered <= set(server.worker_pids())


def test_shell_commits_and_returns(server):
    """Code run in the shell is committed, and a failure leaves no trace."""
    code = """
        user = env["res.users"].create({"name": name, "login": name})
        result = {"id": user.id, "login": user.login}
    """
    made = server.shell(code, name="made_in_shell")
    assert server.sql("SELECT login FROM res_users WHERE id = %s", [made["id"]]) == [
        {"login": "made_in_shell"}
    ]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        server.shell("env['res.users'].browse(2).login = 'other'; 1 / 0")
    assert server.xmlrpc("common").authenticate(server.db, "admin", "admin", {}) == 2


def test_server_comes_back_after_kill_9(server):
    """A killed server leaves no process, and starts again on the same database."""
    before = server.pid
    server.kill9()
    assert not server.running
    server.start()
    assert server.pid != before
    assert server.xmlrpc("common").authenticate(server.db, "admin", "admin", {}) == 2


def test_stock_server_knows_nothing_of_us(stock_server):
    """The server for comparisons is Odoo alone."""
    names = {row["name"] for row in stock_server.sql("SELECT name FROM ir_module_module")}
    assert "rpc" in names
    assert "auth_integration" not in names
