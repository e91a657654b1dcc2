"""The time of a refusal does not reveal whether a login exists.

The same number of rounds is hashed for each login; in stock, this is the difference between 0.4 s
and nothing. ``make bench ROWS=oracle`` measures what remains, with 1,000 refusals of each kind.
"""

import pytest

from worlds.guessing import SERVER, World

__all__ = ["SERVER"]
KINDS = {
    "wrong password": "alice",
    "unknown": "nobody",
    "archived": "gone",
    "integration user": "robot",
    "no password": "blank",
    "older hash": "older",
}


@pytest.fixture(scope="module")
def world(live_server):
    world = World(live_server("timing"))
    world.uids |= world.server.shell(
        """
        blank = env["res.users"].create({"name": "blank", "login": "blank"})
        older = env["res.users"].create({"name": "older", "login": "older", "password": "x"})
        env.flush_all()
        from passlib.hash import pbkdf2_sha512
        cr.execute("UPDATE res_users SET password = %s WHERE id = %s",
                   [pbkdf2_sha512.using(rounds=600).hash("x"), older.id])
        cr.execute("UPDATE res_users SET password = NULL WHERE id = %s", [blank.id])
        result = {"blank": blank.id, "older": older.id}
        """
    )
    return world


def rounds(world, call):
    """Return the rounds of all hashes that a call made the server compute."""
    line = world.line()
    found = {}
    send = line.request

    def request(method, path, body=None, headers=()):
        status, answered, answer = send(method, path, body, {**dict(headers), "X-Rounds": "1"})
        found["rounds"] = int(answered["X-Rounds"])
        return status, answered, answer

    line.request = request
    call(line)
    return found["rounds"]


@pytest.mark.parametrize("secret", ["wrong", 12, "a" * 5000], ids=["wrong", "number", "long"])
@pytest.mark.parametrize("way", ["authenticate", "execute_kw", "session"])
def test_as_many_rounds_for_each(world, way, secret):
    """Every login costs as much work as a wrong password.

    This includes an unknown login, an archived one, an integration's, one without a password, and a
    hash with fewer rounds.
    """
    world.reset()
    found = {}
    for kind, login in KINDS.items():
        found[kind] = rounds(
            world, lambda line, login=login: refuse(world, way, login, line, secret)
        )
    assert set(found.values()) == {1000}, found


def refuse(world, way, login, line, secret="wrong"):
    from callers.clients import Refused, Session, Xmlrpc

    if way == "authenticate":
        assert not world.signs_in(login, secret, line=line)
        return
    with pytest.raises(Refused):
        if way == "session":
            Session(world.server, login, secret, line)
        else:
            uid = world.uids.get(login, 999_999)
            Xmlrpc(world.server, uid, secret, line).call("res.users", "context_get")


@pytest.mark.parametrize("way", ["authenticate", "execute_kw", "session"])
def test_no_rounds_over_the_limit(world, way):
    world.reset()
    world.guess("alice", 3)
    for _turn in range(2):
        assert rounds(world, lambda line: refuse(world, way, "alice", line)) == 0


def test_no_rounds_for_wrong_keys_of_integrations(world):
    """They are not guesses: nothing is hashed or counted."""
    world.reset()

    def call(line):
        assert not world.signs_in("robot", "0" * 40, line=line)

    assert rounds(world, call) == 0
