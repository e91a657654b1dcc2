"""The first call of a new integration: the command on its form works as printed.

The fields that the form reads every few seconds show the call immediately, in each worker.
"""

import os
import re
import subprocess

import pytest

from callers.clients import Session
from dev.browser.page import open_page, open_session
from processes import MODES, each_worker

PASSWORD = "an owner's password"
MAKE = """
    env["ir.config_parameter"].set_param("web.base.url", url)
    owner = env["res.users"].search([("login", "=", "olive")]) or env["res.users"].create(
        {"name": "Olive", "login": "olive", "password": password})
    made = env["auth.integration"].create({
        "name": "New " + slug, "code": slug, "owner_ids": [(6, 0, owner.ids)],
        "allowed_channels": channel})
    result = [made.id, made.issue_key()["key"]]
"""


@pytest.fixture(scope="module", params=MODES)
def server(request, live_server):
    return live_server(request.param, workers=MODES[request.param])


def make(server, slug, channel=False):
    """Make an integration with its first key; return its ID and the secret."""
    return server.shell(MAKE, url=server.url, password=PASSWORD, slug=slug, channel=channel)


def look(server, integration):
    """Read what the owner's open form reads."""
    [values] = Session(server, "olive", PASSWORD).call(
        "auth.integration", "read", [integration],
        ["is_never_called", "live_key_count", "last_failure", "status", "first_call_command"],
    )
    return values


def run(command, secret):
    """Run a command in a shell as a user would, with the key in its variable."""
    done = subprocess.run(
        ["bash", "-c", command],
        env={"PATH": os.environ["PATH"], "ODOO_KEY": secret},
        capture_output=True, text=True, timeout=60, check=True,
    )
    return done.stdout


@pytest.mark.parametrize("channel", ["json2", "jsonrpc", "xmlrpc"])
def test_the_command_makes_the_first_call(server, channel):
    integration, secret = make(server, f"over_{channel}", channel)
    for _worker in each_worker(server):
        before = look(server, integration)
        assert (before["is_never_called"], before["status"]) == (True, "to_set_up")
        assert before["live_key_count"] == 1
    answer = run(before["first_call_command"], secret)
    assert re.match(r"HTTP/1\.\d 200", answer)
    assert f"over_{channel}" in answer
    for _worker in each_worker(server):
        after = look(server, integration)
        assert (after["is_never_called"], after["status"]) == (False, "working")


def test_a_rejected_call_has_its_reference(server):
    """The form says to look for the reference in the headers, which the command prints."""
    integration, secret = make(server, "rejected")
    answer = run(look(server, integration)["first_call_command"], "wrong" + secret)
    assert re.match(r"HTTP/1\.\d 401", answer)
    assert "X-Auth-Reference: " in answer
    assert look(server, integration)["is_never_called"]


def test_the_dialog_has_the_command_with_the_key(server):
    """As in the web client, the key is in the context but in no row."""
    integration, secret = make(server, "dialog")
    session = Session(server, "olive", PASSWORD)
    dialog = session.call(
        "res.users.apikeys.show", "onchange", [], {}, [], {"key": {}, "first_call_command": {}},
        context={"default_key": secret, "auth_integration_id": integration},
    )["value"]
    assert dialog["key"] == secret
    assert secret in dialog["first_call_command"]
    assert re.match(r"HTTP/1\.\d 200", run(dialog["first_call_command"], ""))


ISSUES = "button[name=action_view_findings]"


def set_email(server, email):
    server.sql(
        "UPDATE res_partner p SET email = %s FROM res_users u"
        " WHERE u.partner_id = p.id AND u.login = 'olive'",
        [email],
    )


def test_the_form_turns_green_by_itself(server):
    """In the browser, without any click; an issue that opens later is shown, too."""
    integration, secret = make(server, "green")
    set_email(server, "olive@example.com")
    url = f"http://127.0.0.1:{server.port}"
    with open_page() as page:
        page.use_session(url, open_session(url, "olive", PASSWORD, server.db))
        page.open(f"{url}/odoo/api-integrations/{integration}")
        page.wait_for("[name=setup] .fa-spinner[aria-label=Waiting]")
        run(look(server, integration)["first_call_command"], secret)
        page.wait_for("[name=set_up].alert-success")
        assert "Working" in page.evaluate("document.querySelector('.o_form_sheet').innerText")
        assert not page.evaluate(f"!!document.querySelector('{ISSUES}')")
        set_email(server, None)
        page.wait_for(ISSUES)
        set_email(server, "olive@example.com")
        assert not page.console


USED = """
    made = env["auth.integration"].browse(integration)
    made.key_ids.sudo().first_used_at = "2026-01-01"
    made.allowed_networks = "192.0.2.0/24"
"""
FIX = """
    env["auth.integration"].browse(integration).allowed_networks = False
"""


def test_the_form_turns_green_after_a_fix(server):
    """It waits for the call that shows that the fix helped."""
    integration, secret = make(server, "fixed")
    server.shell(USED, integration=integration)
    command = look(server, integration)["first_call_command"]
    assert re.match(r"HTTP/1\.\d 401", run(command, secret))
    assert look(server, integration)["status"] == "failing"
    server.shell(FIX, integration=integration)
    url = f"http://127.0.0.1:{server.port}"
    with open_page() as page:
        page.use_session(url, open_session(url, "olive", PASSWORD, server.db))
        page.open(f"{url}/odoo/api-integrations/{integration}")
        page.wait_for("[name=status] .fa-clock-o")
        run(command, secret)
        page.wait_for("[name=status] .fa-check-circle")
        assert not page.console
