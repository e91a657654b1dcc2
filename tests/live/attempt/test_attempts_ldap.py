"""Passwords in an LDAP directory: Odoo's ``auth_ldap`` with a real slapd.

It asks the directory in two cases: for a login that Odoo has rejected, and for one that Odoo does
not know, which may then become a user. Each is one attempt.
"""

import re
from dataclasses import dataclass

import pytest

from callers.clients import administrator
from dev.environment import openldap
from other_servers.slapd import MANAGER, PEOPLE, Slapd
from processes import each_worker
from worlds.attempt import World

PASSWORD = "a person's password"
IN_DIRECTORY = "known to the directory"
SERVER = {"modules": ("auth_integration", "auth_ldap")}

# Authentication with a login, then with a user ID.
BY_LOGIN = {
    "web": lambda c, login, secret: c.web_login(login, secret),
    "session": lambda c, login, secret: c.session_login(login, secret),
    "xmlrpc": lambda c, login, secret: c.authenticate(login, secret),
    "jsonrpc": lambda c, login, secret: c.json("common", "login", c.db, login, secret),
}
BY_UID = {
    "xmlrpc execute_kw": lambda c, login, secret: c.execute(c.world.uid(login), secret),
    "jsonrpc execute_kw": lambda c, login, secret: c.execute_json(c.world.uid(login), secret),
}
WAYS = BY_LOGIN | BY_UID

USE_DIRECTORY = """
    env["res.company.ldap"].create({
        "company": env.company.id, "ldap_server": "127.0.0.1", "ldap_server_port": port,
        "ldap_filter": "(uid=%s)", "ldap_base": base})
    clerk = env["res.users"].create({"name": "clerk", "login": "clerk"})
    result = {"clerk": clerk.id}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory with all users, and with people whom Odoo does not know yet."""
    try:
        openldap.provide()
    except openldap.Unavailable as error:
        pytest.skip(f"no OpenLDAP: {error}")
    slapd = Slapd(tmp_path_factory.mktemp("slapd")).start()
    people = ("person", "clerk", "retired", "worker", "newcomer", "stranger")
    slapd.fill(dict.fromkeys(people, IN_DIRECTORY))
    yield slapd
    slapd.stop()


def using(directory, server):
    """The world on a server that uses the directory."""
    world = World(server)
    world.uids |= server.shell(USE_DIRECTORY, port=directory.port, base=PEOPLE)
    return world


@pytest.fixture(scope="module")
def world(directory, server):
    """The world with the add-on, threaded and with two workers."""
    return using(directory, server)


@pytest.fixture(scope="module")
def stock_world(directory, live_server):
    """The world without the add-on."""
    server = live_server("stock", with_addon=False, modules=("mail", "rpc", "auth_ldap"))
    return using(directory, server)


@dataclass
class Case:
    """A login, its secret, and what must be recorded.

    :ivar cause: None if the caller is accepted; a pair if it differs: for logins of people and for
        programs
    :ivar user: login of the user found, if it is not the caller's
    :ivar like: the secret to which stock Odoo gives the same answer, if it would accept this one
    """

    login: str
    secret: str
    cause: str | tuple | None = None
    user: str | None = "the caller's"
    ways: tuple = tuple(WAYS)
    like: str | None = None

    def cause_on(self, way):
        if isinstance(self.cause, tuple):
            return self.cause[way not in ("web", "session")]
        return self.cause


OF_INTEGRATION = ("interactive_not_allowed", "password_not_allowed")
CASES = {
    "password of the directory": Case("clerk", IN_DIRECTORY),
    "password of Odoo": Case("person", PASSWORD),
    "password of the directory of one who has his own": Case("person", IN_DIRECTORY),
    "wrong password": Case("clerk", "not it", "password_wrong"),
    "no password": Case("clerk", "", "secret_missing"),
    "newcomer": Case("newcomer", IN_DIRECTORY, ways=("web",)),
    "newcomer's wrong password": Case(
        "stranger", "not it", "user_unknown", user=None, ways=tuple(BY_LOGIN)
    ),
    "login that nobody knows": Case(
        "nobody here", "x", "user_unknown", user=None, ways=tuple(BY_LOGIN)
    ),
    "archived user": Case("retired", IN_DIRECTORY, "user_archived"),
    "integration": Case("worker", IN_DIRECTORY, OF_INTEGRATION, like="not it"),
    # auth_ldap does not find this login in Odoo and bypasses the hook that makes integrations use
    # their keys.
    "integration in capitals": Case(
        "WORKER", IN_DIRECTORY, OF_INTEGRATION, "worker", tuple(BY_LOGIN), like="not it"
    ),
}


def check(world, stock_world, way, case):
    """Make a call and compare its row, its log line and its answer."""
    caller = world.calls()
    mark = world.server.log_mark()
    reply = WAYS[way](caller, case.login, case.secret)
    user = case.login if case.user == "the caller's" else case.user
    cause = case.cause_on(way)
    [row] = caller.rows()
    assert (row["outcome"], row["cause"], row["count"]) == (
        "failure" if cause else "success", cause, 1,
    )
    assert row["channel"] == way.split()[0]
    assert row["user_id"] == user_of(world, user)
    integration = world.integrations.get(user)
    assert (row["integration_id"], row["attribution"]) == (integration, integration and "login")
    assert row["reference"] == reply.reference
    assert user is None or row["login"] == user
    lines = re.findall(r"Authentication refused: address=\S+ cause=(\S+) ", logged(world, mark))
    assert lines == ([cause] if cause else [])
    assert case.secret == "x" or not case.secret or case.secret not in logged(world, mark)
    assert reply == WAYS[way](stock_world.calls(), case.login, case.like or case.secret)


def user_of(world, login):
    rows = world.server.sql("SELECT id FROM res_users WHERE login = %s", [login])
    return rows[0]["id"] if rows else None


def logged(world, mark):
    return world.server.log_since(mark)


@pytest.mark.parametrize(
    ("way", "name"), [(way, name) for name, case in CASES.items() for way in case.ways]
)
def test_exactly_one_attempt(world, stock_world, way, name):
    """There is one attempt whether Odoo or the directory accepts or rejects."""
    check(world, stock_world, way, CASES[name])


@pytest.mark.parametrize("way", [way for way in BY_LOGIN if way != "web"])
def test_newcomer_whom_odoo_fails_to_make(world, stock_world, way):
    """Odoo creates users of newcomers at the web login only.

    Elsewhere it fails with an internal error, since there is no user yet to create one.
    """
    for place in (world, stock_world):
        place.server.expect_log("odoo.http: Exception during request handling")
    caller = world.calls()
    reply = BY_LOGIN[way](caller, "stranger", IN_DIRECTORY)
    [row] = caller.rows()
    assert (row["cause"], row["count"], row["user_id"]) == ("internal_error", 1, None)
    assert reply == BY_LOGIN[way](stock_world.calls(), "stranger", IN_DIRECTORY)


@pytest.mark.parametrize(
    ("secret", "told"), [("not it", ["LDAP directory also rejected"]), (IN_DIRECTORY, [])]
)
def test_directory_is_in_the_explanation(world, secret, told):
    """If Odoo has no password of a user, the date of its last change would explain nothing."""
    caller = world.calls()
    caller.authenticate("clerk", secret)
    [row] = caller.rows()
    explanation = world.server.shell(
        "result = env['auth.attempt'].browse(number).case_explanation or ''", number=row["id"]
    )
    assert re.findall("LDAP directory also rejected", explanation) == told


def test_who_is_refused_becomes_no_user(world):
    assert not user_of(world, "stranger")
    assert not user_of(world, "nobody here")


# When the directory cannot be asked

UNASKED = {
    "password of the directory": Case("clerk", IN_DIRECTORY, "provider_error"),
    "password of Odoo": Case("person", PASSWORD),
    "wrong password of Odoo": Case("person", "not it", "provider_error"),
    "integration": Case("worker", IN_DIRECTORY, OF_INTEGRATION, like="not it"),
    "newcomer": Case("stranger", IN_DIRECTORY, "user_unknown", None, tuple(BY_LOGIN)),
}


# Odoo remembers accepted RPC callers without asking again, until its caches are cleared.
FORGET = "env.registry.clear_cache()"


@pytest.fixture
def gone(directory, world, stock_world):
    """The directory while its server is stopped."""
    for place in (world, stock_world):
        place.server.shell(FORGET)
    directory.stop()
    yield directory
    directory.start()


@pytest.mark.parametrize(
    ("way", "name"), [(way, name) for name, case in UNASKED.items() for way in case.ways]
)
def test_directory_that_is_gone_is_the_cause(world, stock_world, gone, way, name):
    """Users whom Odoo itself accepts get in; it is unknown whether other passwords are wrong.

    auth_ldap only logs the error and continues as if the password were wrong.
    """
    check(world, stock_world, way, UNASKED[name])


@pytest.mark.parametrize("way", WAYS)
def test_directory_that_refuses_odoo_is_the_cause(world, stock_world, way):
    """The account with which Odoo searches the directory has a new password there."""

    def bind_as(dn, secret):
        change = {"ldap_binddn": dn, "ldap_password": secret}
        for place in (world, stock_world):
            place.server.shell(
                f"env['res.company.ldap'].search([]).write(change); {FORGET}", change=change
            )

    bind_as(MANAGER, "an old one")
    try:
        check(world, stock_world, way, Case("clerk", IN_DIRECTORY, "provider_error"))
    finally:
        bind_as(False, False)


# Passwords that change in the directory


def test_changed_password_holds_no_longer_than_in_stock(world, stock_world, directory):
    """Odoo is not notified of the change.

    It accepts an accepted password until its caches are cleared or it has accepted the current one.
    """

    def accepted(place, secret):
        return place.calls().execute(place.uids["clerk"], secret).detail == "dict"

    try:
        for _worker in each_worker(world.server):
            assert accepted(world, IN_DIRECTORY)
        assert accepted(stock_world, IN_DIRECTORY)
        directory.change_password("clerk", "a later one")
        for _worker in each_worker(world.server):
            assert not accepted(world, IN_DIRECTORY) or accepted(stock_world, IN_DIRECTORY)
        for place in (world, stock_world):
            place.server.shell(FORGET)
        assert not accepted(stock_world, IN_DIRECTORY)
        for _worker in each_worker(world.server):
            assert not accepted(world, IN_DIRECTORY)
            assert accepted(world, "a later one")
        directory.change_password("clerk", "the latest")
        for _worker in each_worker(world.server):
            assert accepted(world, "the latest")
            assert not accepted(world, "a later one")
    finally:
        directory.change_password("clerk", IN_DIRECTORY)


# When auth_ldap overrides the add-on


def test_integration_is_held_to_its_key_by_a_module_loaded_later(directory, live_server):
    """Installed on a running server, auth_ldap precedes the add-on until the next start.

    So it decides last about what the add-on's hooks reject.
    """
    server = live_server("later", modules=("auth_integration",))
    administrator(server).call("ir.module.module", "button_immediate_install", [
        server.shell("result = env.ref('base.module_auth_ldap').id")
    ])
    world = using(directory, server)
    for way, call in WAYS.items():
        for login in ("worker", "WORKER") if way in BY_LOGIN else ("worker",):
            caller = world.calls()
            reply = call(caller, login, IN_DIRECTORY)
            [row] = caller.rows()
            cause = CASES["integration"].cause_on(way)
            assert (row["cause"], row["count"], row["reference"]) == (cause, 1, reply.reference)
            assert row["user_id"] == world.uids["worker"]
    for way, call in WAYS.items():
        caller = world.calls()
        call(caller, "clerk", IN_DIRECTORY)
        assert [row["outcome"] for row in caller.rows()] == ["success"], way
