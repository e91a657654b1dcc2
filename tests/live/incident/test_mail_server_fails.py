"""Mail servers that fail and are mended, beside one cron worker with Odoo's default limit."""

import contextlib
import itertools
import socket
import threading
import time

import pytest

from dev.common import free_port
from other_servers.alert_receivers import Mailbox

numbers = itertools.count(1)


class BadServer:
    """A mail server that accepts connections and hangs, drops them or rejects all mail."""

    def __init__(self, port, answer):
        self._open = []
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._socket.accept()
                self._open.append(connection)
                if self._answer is not None:
                    with contextlib.suppress(OSError):
                        connection.sendall(self._answer)
                        connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for each in (self._socket, *self._open):
            each.close()


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def server(live_server, environment, port):
    server = live_server(
        "main",
        workers=2,
        config={
            "max_cron_threads": 1,
            "limit_time_real_cron": 120,
            "smtp_server": "127.0.0.1",
            "smtp_port": port,
            "email_from": "odoo@example.com",
        },
    )
    server.shell(
        """
        env.ref("base.user_admin").email = "admin@example.com"
        env["ir.cron"].search([]).active = False
        env.ref("auth_integration.ir_cron_incidents").active = True
        env["ir.config_parameter"].set_param("every_minute", "0")
        env["ir.cron"].create({
            "name": "Every minute", "model_id": env["ir.model"]._get_id("res.partner"),
            "code": "env['ir.config_parameter'].set_param('every_minute', str(int("
                    "env['ir.config_parameter'].get_param('every_minute')) + 1))",
            "state": "code", "interval_number": 1, "interval_type": "minutes"})
        """
    )
    return server


def wait_until(condition, timeout=100):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def findings(server):
    return server.sql(
        "SELECT since FROM auth_integration_finding WHERE code = 'mail_undelivered'"
    )


def runs(server):
    [row] = server.sql("SELECT value FROM ir_config_parameter WHERE key = 'every_minute'")
    return int(row["value"])


def trigger(server):
    server.shell(
        """
        env["ir.cron"].search([("name", "=", "Every minute")])._trigger()
        env.ref("auth_integration.ir_cron_incidents")._trigger()
        """
    )


@pytest.mark.parametrize(
    "answer", [None, b"", b"554 no\r\n", "none"], ids=["hangs", "drops", "rejects", "none"]
)
def test_it_fails_and_is_mended(server, port, answer):
    """Other jobs run, the issue opens, and each message arrives once when it is mended."""
    server.expect_log("")
    bad = None if answer == "none" else BadServer(port, answer)
    owners = [f"mailed{next(numbers)}@example.com" for _owner in range(4)]
    before, mark = runs(server), server.log_mark()
    server.shell(
        """
        users = env["res.users"].with_context(no_reset_password=True).create([
            {"name": owner, "login": owner, "email": owner} for owner in owners])
        for user in users:
            integration = env["auth.integration"].create({
                "name": user.login, "code": user.login.split("@")[0],
                "owner_ids": [(6, 0, user.ids)]})
            env["auth.integration.rotation"]._notify_about(integration, "Hello", user)
        """,
        owners=owners,
    )
    trigger(server)
    try:
        wait_until(lambda: findings(server))
        trigger(server)
        wait_until(lambda: runs(server) > before)
    finally:
        if bad:
            bad.close()
    assert "timeout after 120s" not in server.log_since(mark)
    mailbox = Mailbox(port)
    try:
        server.sql(
            "UPDATE mail_mail SET auth_integration_next_try_at = now() AT TIME ZONE 'UTC'"
            " WHERE auth_integration_next_try_at IS NOT NULL"
        )
        trigger(server)
        for owner in owners:
            mailbox.wait_for(owner)
        wait_until(lambda: not findings(server))
        trigger(server)
        assert [len(mailbox.to(owner)) for owner in owners] == [1] * len(owners)
    finally:
        mailbox.close()
