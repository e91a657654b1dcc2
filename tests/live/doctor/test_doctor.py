"""static/doctor.py on the integrator's machine: each cause made for real, named, and left by its
exit code; and never the key in what it prints."""

import ast
import os
import re
import socket
import ssl
import subprocess
import threading
from contextlib import suppress

import pytest

from callers.clients import Session, Xmlrpc
from worlds.doctor import DOCTOR, PYTHON, Visit, at_once


def test_nothing_is_wrong(good):
    visit = good()
    assert (visit.cause, visit.code) == (None, 0), visit.text
    accepted = {step["check"] for step in visit.steps if step["seen"].startswith("accepted")}
    assert accepted == {"json2", "xmlrpc", "jsonrpc"}


def test_text_and_exit_codes(good, server, codes):
    """Text says the same as JSON; no two causes share an exit code."""
    assert len(set(codes.values())) == len(codes)
    assert not {0, 1, 2} & set(codes.values())
    done = subprocess.run(
        [PYTHON, DOCTOR, server.url, "--db", "nowhere", "--login", "good", "--key-stdin"],
        input=good.secret,
        capture_output=True,
        text=True,
    )
    assert done.returncode == codes["database_unknown"]
    assert "Cause: The host does not serve this database [database_unknown]" in done.stdout
    assert good.secret not in done.stdout + done.stderr


def test_is_python_3_8(good):
    """With a Python 3.8 at hand every test here runs it; else its grammar is checked at least."""
    ast.parse(DOCTOR.read_text(), feature_version=(3, 8))


def test_key_from_file_and_option(good, server, tmp_path):
    file = tmp_path / "key"
    file.write_text(good.secret)
    assert good(server.url, "--key-file", str(file), without_key=True).code == 0
    assert good(server.url, "--key", good.secret, without_key=True).code == 0
    missing = subprocess.run(
        [PYTHON, DOCTOR, server.url, "--key-file", str(tmp_path / "none")], capture_output=True
    )
    assert missing.returncode == 2


SETTINGS = {
    "user in the URL": (dict(url="http://user:pw@host"), "url_invalid"),
    "no scheme": (dict(url="odoo.example.com"), "url_invalid"),
    "the page of the login": (dict(path="/web/login"), "url_is_web_page"),
    "the web client": (dict(path="/odoo"), "url_is_web_page"),
    "half of the path": (dict(path="/json/2"), "path_incomplete"),
    "a model without method": (dict(path="/json/2/res.partner"), "path_incomplete"),
    "xmlrpc without service": (dict(path="/xmlrpc/2"), "path_incomplete"),
    "the path twice": (dict(path="/xmlrpc/2/xmlrpc/2/common"), "path_doubled"),
    "two slashes": (dict(path="//jsonrpc"), "path_doubled"),
    "a path that looks alike": (dict(path="/json2/res.partner/read"), "path_unknown"),
    "an empty key": (dict(key=""), "key_missing"),
    "a key with a line end": (dict(key="{key}\n"), "key_whitespace"),
    "a key with a line end inside": (dict(key="{half}\n{rest}"), "key_whitespace"),
    "a key in quotes": (dict(key='"{key}"'), "key_quoted"),
    "a key with the word": (dict(key="Bearer {key}"), "key_with_scheme"),
    "half a key": (dict(key="{half}"), "key_cut_off"),
    "an invisible character": (dict(key="\ufeff{key}"), "key_invisible_characters"),
    "a header without Bearer": (
        dict(key=None, authorization="{key}"), "header_without_bearer"),
    "a header with its name": (
        dict(key=None, authorization="Authorization: {key}"), "header_without_bearer"),
    "a header of another scheme": (
        dict(key=None, authorization="Token {key}"), "header_malformed"),
    "the key as login": (dict(login="{key}"), "login_is_a_key"),
}


@pytest.fixture(scope="module")
def visits_with_settings(server, good):
    def visit(case):
        settings, _cause = SETTINGS[case]
        settings = dict(settings)
        key = good.secret
        for name, value in settings.items():
            if isinstance(value, str):
                settings[name] = value.format(key=key, half=key[:21], rest=key[21:])
        url = settings.pop("url", server.url) + settings.pop("path", "")
        without_key = "key" in settings and settings["key"] is None
        settings = {name: value for name, value in settings.items() if value is not None}
        return good(url, without_key=without_key, **settings)

    return at_once(visit, SETTINGS)


@pytest.mark.parametrize("case", SETTINGS)
def test_settings(visits_with_settings, codes, case):
    """What is wrong before anything is sent."""
    visit, cause = visits_with_settings[case].result(), SETTINGS[case][1]
    assert (visit.cause, visit.code) == (cause, codes[cause]), visit.text


@pytest.mark.parametrize("case", ["a key with a line end", "a key in quotes", "half of the path"])
def test_what_was_meant_is_tried_too(server, good, case):
    """After naming the slip it goes on with what was meant, so that two faults take one visit."""
    settings = {
        "a key with a line end": dict(key=f"{good.secret}\r\n"),
        "a key in quotes": dict(key=f"'{good.secret}'"),
        "half of the path": {},
    }[case]
    url = server.url + ("/json/2/" if case == "half of the path" else "")
    visit = good(url, **settings)
    assert any(step["seen"].startswith("accepted") for step in visit.steps)


def test_a_whole_path_of_the_api_is_fine(server, good):
    for path in ("/json/2/res.partner/search", "/xmlrpc/2/object", "/jsonrpc", "/"):
        assert good(server.url + path).code == 0, path


def test_header_as_it_is_sent(server, good):
    """The header of the program itself, with or without its name."""
    for header in (f"Bearer {good.secret}", f"authorization: bearer {good.secret}"):
        assert good(authorization=header, without_key=True).code == 0


# The way to the server


def test_host_unknown(good, codes):
    assert good("https://odoo.invalid").cause == "host_unknown"


def test_nothing_listens(good):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        visit = good(f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert visit.cause == "connection_refused"


def test_no_answer_in_time(good):
    """A server that takes the connection and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        visit = good(url, "--timeout", "0.2")
    assert visit.cause == "connection_timeout"


def test_https_where_there_is_none(server, good):
    assert good(server.url.replace("http:", "https:")).cause == "https_on_plain_port"


def test_no_common_tls(good):
    """Both sides speak TLS and agree on nothing: the server has no certificate at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            with suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    with connection, suppress(OSError):
                        context.wrap_socket(connection, server_side=True)

        threading.Thread(target=refuse, daemon=True).start()
        visit = good(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert visit.cause == "tls_failed", visit.text


def test_the_doctor_itself_fails(good, server, codes, tmp_path):
    """It says so with a code of its own, and shows no traceback, which might have the key."""
    visit = good(server.url.replace("http:", "https:"), "--ca-file", str(tmp_path / "none"))
    assert (visit.cause, visit.code) == ("doctor_failed", codes["doctor_failed"]), visit.text


def test_clock(server, good, codes):
    """This machine's clock is ten minutes ahead."""
    code = (
        "import runpy, sys, time; now = time.time; time.time = lambda: now() + 600;"
        " sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [PYTHON, "-c", code, DOCTOR, server.url, "--json", "--db", server.db, "--login",
         good.login, "--source-address", "127.7.9.9"],
        env={"PATH": os.environ["PATH"], "ODOO_KEY": good.secret},
        capture_output=True,
        text=True,
    )
    visit = Visit(done)
    assert (visit.cause, visit.code) == ("clock_skew", codes["clock_skew"]), visit.text


def exchange_of(visit):
    """Where the cause of a visit was seen."""
    return next(step["exchange"] for step in visit.steps if step["cause"] == visit.cause)


# The database


def test_database_unknown(good, codes):
    visit = good(db="nowhere")
    assert (visit.cause, visit.code) == ("database_unknown", codes["database_unknown"])
    # What is told was seen there, although the other protocols were asked since.
    assert exchange_of(visit) == "POST /json/2/res.users/context_get → 404"


@pytest.mark.parametrize("protocol", ["xmlrpc", "jsonrpc"])
def test_database_unknown_to_rpc(server, good, protocol):
    assert good(server.url, "--protocol", protocol, db="nowhere").cause == "database_unknown"


def test_login_and_database_swapped(server, good, codes):
    for options in ((), ("--protocol", "xmlrpc")):
        visit = good(server.url, *options, db="good", login=server.db)
        assert visit.cause == "login_database_swapped", visit.text


# Login and key


@pytest.mark.parametrize(
    "name, cause",
    {
        "expired": "key_expired",
        "revoked": "key_revoked",
        "superseded": "key_superseded",
        "scoped": "key_wrong_scope",
        "archived": "user_archived",
        "elsewhere": "address_not_allowed",
        "xmlrpconly": "channel_not_allowed",
    }.items(),
)
def test_the_key_tells(server, world, codes, name, cause, consult):
    login, secret = world[name]
    visit = consult(server.url, login=login, key=secret)
    assert (visit.cause, visit.code) == (cause, codes[cause]), visit.text


def test_an_allowed_protocol_is_enough(server, world, consult):
    login, secret = world["xmlrpconly"]
    assert consult(server.url, "--protocol", "xmlrpc", login=login, key=secret).code == 0


def test_key_unknown(server, codes, consult):
    visit = consult(server.url, login="good", key="0123456789abcdef" * 2 + "01234567")
    assert (visit.cause, visit.code) == ("key_unknown", codes["key_unknown"]), visit.text
    assert exchange_of(visit) == "POST /auth_integration/verify → 401"
    assert "401 401" not in visit.text


def test_login_of_another(server, good):
    visit = good(login="expired")
    assert visit.cause == "login_wrong", visit.text
    assert "good" in visit.text  # whose key it is


def test_password_wrong(server, codes, consult):
    """Odoo tells nothing: the doctor says what it may be, and how to find out."""
    visit = consult(server.url, "--protocol", "xmlrpc", login="paula", key="not her password")
    assert (visit.cause, visit.code) == ("password_wrong", codes["password_wrong"]), visit.text
    visit = consult(server.url, login="paula", key="paula's own")
    assert visit.code == 0
    accepted = {step["check"] for step in visit.steps if step["seen"].startswith("accepted")}
    assert accepted == {"xmlrpc", "jsonrpc", "session"}


def test_login_with_capitals(server, consult):
    visit = consult(server.url, "--protocol", "jsonrpc", login="Paula", key="paula's own")
    assert visit.cause == "login_wrong"
    assert "lowercase letters" in visit.text


def test_session(server, world, consult):
    """Logged in, called and logged out; what a session takes and a program has not got."""
    login, secret = world["good"]

    def visit(*options, **settings):
        return consult(server.url, "--protocol", "session", *options, **settings)

    told = visit(login="paula", key="paula's own")
    assert told.code == 0
    assert [step["exchange"] for step in told.steps if step["check"] == "session"] == [
        "POST /web/dataset/call_kw → 200"]
    assert visit(login="paula", key="not hers").cause == "password_wrong"
    assert visit(login=login, key=secret).cause == "session_needs_password"
    assert visit(db="nowhere", login="paula", key="paula's own").cause == "database_unknown"


def test_second_factor(server, consult):
    """A person with a second factor: her password is right, and opens no session."""
    server.shell(
        """
        tess = env["res.users"].create({"name": "Tess", "login": "tess", "password": "tess's own"})
        env.cr.execute("UPDATE res_users SET totp_secret = 'GEZDGNBVGY3TQOJQ' WHERE id = %s",
                       [tess.id])
        result = 1
        """
    )
    visit = consult(server.url, "--protocol", "session", login="tess", key="tess's own")
    assert visit.cause == "second_factor_needed", visit.text


def test_session_that_is_held(server, world, consult):
    """The session of the program itself: good, until it has ended; its id is never shown."""
    session = Session(server, "paula", "paula's own")
    held = session.cookies["session_id"]
    settings = dict(login="", secrets=[held])
    assert consult(server.url, f"--session-id={held}", **settings).code == 0
    session.post("/web/session/destroy", {})
    assert consult(server.url, f"--session-id={held}", **settings).cause == "session_expired"


def test_user_id(server, good):
    """The user id that a program has stored, or has not, because authenticate was refused."""
    [uid] = server.sql("SELECT id FROM res_users WHERE login = 'good'")
    for options, cause in (
        (("--uid", "False"), "authenticate_skipped"),
        (("--uid", "0"), "authenticate_skipped"),
        (("--uid", "good"), "uid_wrong"),
        (("--uid", "2"), "uid_wrong"),
        (("--uid", str(uid["id"])), None),
    ):
        assert good(server.url, *options).cause == cause, options
    assert good(server.url, "--uid", "2", login="").cause == "uid_wrong"
    assert good(server.url, "--uid", str(uid["id"]), login="").code == 0


def test_reference_is_passed_on(server, consult):
    """What the administrator needs to find the attempt, in the log of the server at least.

    The row may have none: so many addresses in a minute count as a flood, and are folded.
    """
    mark = server.log_mark()
    visit = consult(server.url, login="paula", key="0123456789abcdef" * 2 + "01234567")
    logged = re.findall(r"cause=key_unknown .*?reference=(\S+)", server.log_since(mark))
    assert logged
    assert any(reference in visit.text for reference in logged)


def test_password_over_json2(server, consult):
    visit = consult(server.url, "--protocol", "json2", login="paula", key="paula's own")
    assert visit.cause == "password_over_json2"


def test_login_missing(server, good):
    assert good(server.url, "--protocol", "xmlrpc", login="").cause == "login_missing"


def test_without_a_key_only_the_way_is_checked(server, good):
    visit = good(server.url, "--no-key", without_key=True)
    assert visit.code == 0
    assert not [step for step in visit.steps if step["check"] == "key"]


def test_key_about_to_end(server, consult):
    admin = Xmlrpc(server, 2, "admin")
    [integration] = admin.call("auth.integration", "create", [{"name": "soon", "code": "soon"}])
    secret = server.shell(
        """
        from datetime import timedelta
        from odoo import fields
        result = env["auth.integration.key"]._issue(
            env["auth.integration"].browse(integration), "soon",
            fields.Datetime.now() + timedelta(days=3))[0]
        """,
        integration=integration,
    )
    assert consult(server.url, login="soon", key=secret).cause == "key_ending"


def test_stock_odoo(stock_server, consult):
    """Against an Odoo without the add-on it says what can be said."""
    secret = stock_server.shell(
        """
        from datetime import timedelta
        from odoo import fields
        # Without a password: each of them takes most of a second to be found wrong.
        bot = env["res.users"].create({"name": "Bot", "login": "bot"})
        result = env["res.users.apikeys"].with_user(bot).sudo()._generate(
            None, "test", fields.Datetime.now() + timedelta(days=1))
        """
    )
    options = dict(db=stock_server.db, login="bot")
    assert consult(stock_server.url, key=secret, **options).code == 0
    unknown = "0123456789abcdef" * 2 + "01234567"
    assert consult(stock_server.url, key=unknown, **options).cause == "key_unknown"
    # Over XML-RPC alone nobody tells a wrong key from a wrong login.
    visit = consult(stock_server.url, "--protocol", "xmlrpc", key=unknown, **options)
    assert visit.cause == "login_or_secret_wrong", visit.text
