"""The connection sheet is complete and contains no secret, and its examples run as printed."""

import html
import os
import re
import subprocess
import sys

import pytest

from callers.clients import Session
from dev.common import ROOT
from dev.environment import debian_programs

PASSWORD = "an owner's password"
RUNNERS = {
    "curl": ["bash", "-c"],
    "python": [sys.executable, "-c"],
    "php": ["php", "-r"],
    "javascript": ["node", "--input-type=module", "-e"],
}
PACKAGES = {"php": "php-cli", "node": "nodejs"}
# A name that must be escaped in every language.
PURPOSE = "Orders & <b>prices</b>"


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main")


@pytest.fixture(scope="module")
def integration(server, admin):
    """An integration with an odd login, owned by olive: ``(id, login, secret)``."""
    login = 'o\'shop "$1" \\n'
    admin.call(
        "ir.config_parameter", "set_param", "web.base.url", server.url
    )
    [olive] = admin.call(
        "res.users", "create",
        [{"name": "Olive", "login": "olive", "email": "o@example.com", "password": PASSWORD}],
    )
    admin.call("res.users", "create", [{"name": "Sam", "login": "sam", "password": PASSWORD}])
    [integration] = admin.call(
        "auth.integration",
        "create",
        [
            {
                "name": "Web shop",
                "code": "web_shop",
                "purpose": PURPOSE,
                "owner_ids": [(6, 0, [olive])],
                "allowed_networks": "127.0.0.0/8  # here\n2001:db8::/32",
            }
        ],
    )
    [user] = admin.call("auth.integration", "read", [integration], ["user_id"])
    admin.call("res.users", "write", user["user_id"][:1], {"login": login})
    secret = admin.call("auth.integration", "issue_key", [integration])["key"]
    return integration, login, secret


def page(server, login, integration, password=PASSWORD):
    """Return the status and text of the sheet, as a user sees it."""
    session = Session(server, login, password)
    cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
    status, _headers, body = session.line.request(
        "GET", f"/auth_integration/sheet/{integration}", headers={"Cookie": cookie}
    )
    return status, body.decode()


def examples(text):
    """Return the examples of a page: ``(channel, language, code)``."""
    found = re.findall(
        r'<pre [^>]*data-channel="(\w+)" data-language="(\w+)">(.*?)</pre>', text, re.S
    )
    return [(channel, language, html.unescape(code)) for channel, language, code in found]


def test_what_it_says(server, integration):
    number, login, secret = integration
    status, text = page(server, "olive", number)
    assert status == 200
    for part in (server.url, server.db, login, "Olive", "o@example.com", "2001:db8::/32",
                 "90 days", "JSON-2", "/xmlrpc/2/common", PURPOSE):
        assert part in html.unescape(text), part
    assert "<b>prices" not in text
    assert secret not in text
    assert secret[:8] not in text


def test_who_sees_it(server, integration):
    number, *_ids = integration
    assert page(server, "sam", number)[0] in (403, 404)
    assert page(server, "admin", number, "admin")[0] == 200
    status, headers, _body = Session(server, "olive", PASSWORD).line.request(
        "GET", f"/auth_integration/sheet/{number}"
    )
    assert (status, "/web/login" in headers["Location"]) == (303, True)


@pytest.mark.parametrize(
    "channel, language",
    [
        ("json2", "curl"),
        ("json2", "python"),
        ("json2", "php"),
        ("json2", "javascript"),
        ("xmlrpc", "python"),
        ("jsonrpc", "python"),
    ],
)
def test_examples_run_as_printed(server, integration, channel, language):
    number, login, secret = integration
    runner, *options = RUNNERS[language]
    package = PACKAGES.get(runner, runner)
    if not debian_programs.program(runner, package):
        pytest.skip(f"{runner} is not installed (Debian: apt-get install {package})")
    _status, text = page(server, "olive", number)
    [code] = [code for *kind, code in examples(text) if kind == [channel, language]]
    if language == "php":
        code = code.removeprefix("<?php")
    done = subprocess.run(
        [runner, *options, code],
        env={"PATH": os.environ["PATH"], "ODOO_KEY": secret},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert secret[:8] in done.stdout  # whoami returns the prefix
    assert channel in done.stdout


def test_doctor_line_runs_as_printed(server, integration):
    number, _login, secret = integration
    _status, text = page(server, "olive", number)
    done = run_doctor(text, secret)
    assert done.returncode == 0, done.stdout + done.stderr


def run_doctor(text, secret):
    """Run the command on the page that runs doctor.py."""
    [line] = re.findall(r"(python3 doctor\.py .*?)</pre>", text)
    return subprocess.run(
        ["bash", "-c", html.unescape(line)],
        cwd=ROOT / "static",
        env={"PATH": os.environ["PATH"], "ODOO_KEY": secret},
        capture_output=True,
        text=True,
    )


def test_cron_line_runs_as_printed(server, admin, integration, tmp_path):
    """A system that fetches its keys has this line, and rotate.py accepts its options."""
    number, _login, secret = integration
    assert "rotate.py" not in page(server, "olive", number)[1]
    policy = admin.call(
        "auth.integration.policy", "create", [{"name": "Fetches", "delivery": "self_service"}]
    )
    admin.call("auth.integration", "write", [number], {"policy_id": policy[0]})
    _status, text = page(server, "olive", number)
    [line] = re.findall(r'data-channel="rotate">(.*?)</pre>', text)
    _minute, _hour, _day, _month, _weekday, command = html.unescape(line).split(" ", 5)
    key_file = tmp_path / "web_shop.key"
    key_file.write_text(secret + "\n")
    key_file.chmod(0o600)
    command = command.replace("/etc/odoo/web_shop.key", str(key_file))
    command = command.replace("/opt/odoo/rotate.py", str(ROOT / "static" / "rotate.py"))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, "not due" in done.stderr) == (0, True), done.stderr


def test_only_allowed_protocols(server, admin, integration):
    """doctor.py also calls only these; its other calls would be rejected and reported."""
    number, _login, secret = integration
    admin.call("auth.integration", "write", [number], {"allowed_channels": "xmlrpc"})
    _status, text = page(server, "olive", number)
    assert {channel for channel, *_rest in examples(text)} == {"xmlrpc"}
    assert "/json/2/" not in text
    done = run_doctor(text, secret)
    assert done.returncode == 0, done.stdout + done.stderr
