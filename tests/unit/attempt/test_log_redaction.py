"""What the filters change in Odoo's own log lines."""

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odoo.exceptions import AccessDenied, UserError

from dev.common import ROOT
from odoo.addons.auth_integration.tools.attempt import (
    attempt_logging,
    log_redaction,
    request_state,
)
from odoo.addons.auth_integration.tools.attempt.request_state import Attempt

texts = st.text(st.characters(exclude_categories=()), max_size=300)
# Long enough not to be part of the rest of a line by chance.
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs"]),
                  min_size=12, max_size=40)


def record(msg, *args, exc_info=None):
    return logging.LogRecord("odoo", logging.INFO, __file__, 1, msg, args, exc_info)


def open_attempt(**facts):
    return request_state.opened(Attempt(channel="xmlrpc", database="db", **facts))


@given(secrets)
def test_unknown_login_is_described(typed):
    with open_attempt():
        line = record("Login failed for login:%s from %s", typed, "192.0.2.1")
        assert log_redaction.describe_login(line)
    text = line.getMessage()
    assert text == f"Login failed for login:<{len(typed)} characters> from 192.0.2.1"


@given(texts)
def test_login_that_exists_forges_no_line(typed):
    with open_attempt(user_id=7):
        line = record("Login failed for login:%s from %s", typed, "192.0.2.1")
        assert log_redaction.describe_login(line)
    assert line.getMessage().isprintable()


@pytest.mark.parametrize("typed", [None, ["a\nb"], {"a": "secret"}, 1.5])
def test_login_that_is_no_text_is_named_by_its_type(typed):
    with open_attempt():
        line = record("Login failed for login:%s from %s", typed, "192.0.2.1")
        log_redaction.describe_login(line)
    assert line.getMessage() == f"Login failed for login:<{type(typed).__name__}> from 192.0.2.1"


@given(texts, st.sampled_from(["Login failed for login:%s", "Something else about %s", "%s"]))
def test_lines_outside_an_attempt_are_left_alone(typed, msg):
    line = record(msg, typed)
    assert log_redaction.describe_login(line)
    assert line.args == (typed,)


@given(secrets)
def test_text_of_a_refusal_is_dropped(secret):
    for error, dropped in ((AccessDenied(secret), True), (UserError(secret), True),
                           (ZeroDivisionError(secret), False)):
        try:
            raise error
        except Exception:
            line = record("Exception during request Authentication.", exc_info=sys.exc_info())
        with open_attempt():
            assert log_redaction.drop_text_of_refusal(line)
        assert (line.exc_info is None) is dropped
        assert not dropped or secret not in line.getMessage()


@pytest.mark.parametrize("name", ["api_key", "password", "X-Token", "access_token"])
@given(st.from_regex(r"[A-Za-z0-9_.-]{12,40}", fullmatch=True))
def test_no_secret_of_a_query_string_is_in_the_access_log(name, secret):
    request = f'127.0.0.1 - - "POST /json/2/res.users/read?{name}={secret}&x=1 HTTP/1.1" 200 -'
    line = record("%s", request)
    assert log_redaction.scrub_request(line)
    assert secret not in line.getMessage()
    assert line.getMessage().startswith('127.0.0.1 - - "POST /json/2/res.users/read?')
    assert line.getMessage().endswith(' HTTP/1.1" 200 -')


@given(texts)
def test_any_line_of_the_access_log_is_written(text):
    """A filter that raised an exception would abort the request."""
    for line in (record(text), record("%s", text), record(text, text),
                 record('"GET /%s?%s HTTP/1.1"', text, text)):
        assert log_redaction.scrub_request(line)
        line.getMessage()


def test_a_path_without_a_secret_is_left_as_it_is():
    line = record('"%s" %s %s', "GET /web/login HTTP/1.1", 200, "-")
    log_redaction.scrub_request(line)
    assert line.msg == '"%s" %s %s'


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_directory_that_cannot_be_asked_is_noted(level):
    line = logging.LogRecord("odoo", level, __file__, 1, "LDAP bind failed.", (), None)
    with open_attempt() as opened:
        assert log_redaction.note_provider_error(line)
    assert opened.codes == ({"provider_error"} if level == logging.ERROR else set())
    assert log_redaction.note_provider_error(line), "also where nobody authenticates"


@pytest.mark.parametrize(
    "log_filter", [log_redaction.describe_login, log_redaction.forget_database_name]
)
def test_a_filter_that_fails_shows_nothing_and_fails_nobody(log_filter, monkeypatch):
    """The line is dropped, as it was not checked for secrets."""
    monkeypatch.delattr(request_state, "attempt")
    monkeypatch.delattr(request_state, "current")
    line = record("Login failed for login:%s from %s", "a typed password", "192.0.2.1")
    assert log_filter(line)
    left = f"A line of the log is left out: AttributeError in {log_filter.__name__}"
    assert line.getMessage() == left


FORGED = (
    "2026-01-01 00:00:00,000 1 INFO db odoo.addons.auth_integration.models.auth_attempt:"
    " Authentication refused: address=203.0.113.66 cause=password_wrong channel=web"
)


def written(line):
    """Return what a handler writes for a line, with the database as Odoo does."""
    assert attempt_logging.disarm_forged_refusals(line)
    return logging.Formatter("%(dbname)s %(name)s: %(message)s").format(line)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", ""])
def test_no_module_writes_a_line_like_ours(end):
    """A caller's text may be in an argument, the message, a traceback or the database name."""
    text = f"x{end}{FORGED}{end}"
    try:
        raise ZeroDivisionError(text)
    except ZeroDivisionError:
        traceback = record("failed", exc_info=sys.exc_info())
    lines = [record("about %s", text), record(text), traceback, record("at all")]
    for line in lines:
        line.dbname = "db"
    lines[-1].dbname = text
    for line in lines:
        assert "Authentication refused" not in (found := written(line))
        assert "Authentication_refused: address=203.0.113.66" in found
    assert "Traceback (most recent call last):\n" in written(traceback), "it stays readable"


def test_our_own_line_stays():
    msg = "Authentication refused: address=%s cause=%s"
    ours = "odoo.addons.auth_integration.models.auth_attempt"
    for name, stays in ((ours, True), ("odoo", False)):
        line = record(msg, "192.0.2.1", "password_wrong")
        line.name, line.dbname = name, "db"
        assert ("Authentication refused: address=192.0.2.1" in written(line)) is stays


@given(texts)
def test_other_lines_stay(text):
    line = record("about %s", text)
    assert attempt_logging.disarm_forged_refusals(line)
    assert line.args == (text,)


def test_a_line_with_wrong_arguments_is_left_to_the_handler():
    line = record("%s and %s", "one")
    assert attempt_logging.disarm_forged_refusals(line)
    assert (line.msg, line.args) == ("%s and %s", ("one",))


def test_the_filter_of_fail2ban_knows_our_words(caplog):
    """They are words that no other module's lines contain."""
    text = (ROOT / "data/fail2ban/auth_integration.conf").read_text()
    assert attempt_logging._REFUSAL in text
    attempt = Attempt(channel="xmlrpc", database="db", remote_addr="192.0.2.1")
    with caplog.at_level(logging.INFO):
        attempt_logging.log_refusal(attempt)
    [line] = caplog.records
    assert f"{line.name}: {line.getMessage()}".startswith(
        f"odoo.addons.auth_integration.models.auth_attempt: {attempt_logging._REFUSAL} address="
    )
