"""Guesses of a second factor are limited like passwords, whichever module checks it."""

import re
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from worlds.attempt import TOTP_SECRET, Calls
from worlds.guessing import FAILURES, PASSWORD, SERVER, World, at_once

SERVER = SERVER | {"modules": (*SERVER["modules"], "auth_totp_mail", "auth_oauth")}
BROWSERS = 8


@pytest.fixture(scope="module")
def world(live_server):
    world = World(live_server("factor"))
    world.server.sql("UPDATE res_users SET totp_secret = %s WHERE login = 'erin'", [TOTP_SECRET])
    world.server.shell(
        "env['ir.config_parameter'].set_param('auth_totp.policy', 'all_required')"
    )
    return world


def browser(world, login):
    """Return a browser that has given the right password and must now enter the second factor."""
    calls = Calls(SimpleNamespace(server=world.server, db=world.server.db))
    assert calls.web_login(login, PASSWORD).status == 303
    return calls


def enter(calls, code):
    """Enter a code; the page is not opened first, as it would send a code by mail."""
    _status, _headers, page = calls.raw("GET", "/web/login")
    token = re.search(rb'name="csrf_token" value="([^"]+)"', page)[1].decode()
    status, _headers, answer = calls.raw(
        "POST",
        "/web/login/totp",
        urlencode({"csrf_token": token, "totp_token": code}),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    return status, b"Verification failed, please double-check the 6-digit code" in answer


@pytest.mark.parametrize("login", ["erin", "dave"])
def test_codes_at_once(world, login):
    """Exactly as many codes of an app (erin) and by mail (dave) are checked as allowed."""
    world.reset()
    world.server.expect_log("Unable to send TOTP email")
    browsers = [browser(world, login) for _number in range(BROWSERS)]
    answers = at_once(BROWSERS, lambda number: enter(browsers[number], f"00000{number}"))
    # The page for codes by mail reports that none could be sent: there is no mail server.
    assert set(answers) == {(200, login == "erin")}, "core's text, over the limit too"
    [row] = world.server.sql("SELECT max(failed) AS most FROM auth_throttle")
    assert row["most"] == FAILURES
    assert world.causes()["throttled"] == BROWSERS - FAILURES


def test_codes_and_passwords_have_one_limit(world):
    """Otherwise someone who has the password would get twice as many guesses."""
    world.reset()
    world.server.sql("DELETE FROM auth_totp_rate_limit_log")
    ready = browser(world, "erin")
    assert not world.signs_in_on_web("erin", "wrong")
    for number in range(FAILURES - 1):
        assert enter(ready, f"00000{number}") == (200, True)
    assert enter(ready, current_code()) == (200, True), "not looked at"
    world.reset()
    assert enter(browser(world, "erin"), current_code())[0] == 303
    [row] = world.server.sql("SELECT count(*) AS rows FROM auth_throttle WHERE known_until > now()")
    assert row["rows"] == 1, "known from now on"


@pytest.mark.parametrize("kind", ["totp", "totp_mail", "oauth_token"])
def test_a_kind_named_at_the_login_page_does_not_tell(world, kind):
    """Stock searches for the user, and raises an error because the token is missing."""
    world.reset()
    world.server.sql("DELETE FROM auth_totp_rate_limit_log")
    replies = {}
    for login in ("alice", "erin", "robot", "nobody"):
        calls = Calls(SimpleNamespace(server=world.server, db=world.server.db))
        replies[login] = calls.form("/web/login", login=login, password="x", type=kind)
    assert replies["nobody"].status == 200
    assert replies == dict.fromkeys(replies, replies["nobody"])
    assert world.server.sql("SELECT id FROM auth_totp_rate_limit_log") == []


def test_password_alone_makes_nothing_known(world):
    world.reset()
    browser(world, "erin")
    assert world.server.sql("SELECT key FROM auth_throttle WHERE known_until IS NOT NULL") == []


def current_code():
    import pyotp

    return pyotp.TOTP(TOTP_SECRET).now()
