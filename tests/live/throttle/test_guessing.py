"""Password guesses are limited exactly, and only the guesser is affected."""

import collections
import contextlib
import json

import pytest

from dev.servers import postgres
from worlds.guessing import FAILURES, PASSWORD, SERVER, WIDE, World, at_once, second_server

__all__ = ["SERVER"]
# A person, an unknown login, an archived user and an integration user.
KINDS = ("alice", "nobody", "gone", "robot")
IMPOSSIBLE = {
    "number": 12, "true": True, "list": ["x"], "object": {"x": 1}, "long": "a" * 5000,
    "half a surrogate pair": "\ud800",
}  # fmt: skip


@pytest.fixture(scope="module")
def everything(live_server):
    """Two servers with two workers each on one database."""
    first = live_server("first", workers=2)
    second = second_server(first, workers=2)
    yield World(first, second)
    second.stop()


@pytest.fixture
def world(everything):
    everything.reset()
    return everything


def test_parallel_guesses_are_counted_exactly(world):
    """Of 100 concurrent guesses on two servers, exactly as many are checked as allowed."""

    def guess(number):
        try:
            return world.signs_in("alice", f"wrong {number}", server=number % 2)
        except ConnectionResetError:  # a worker had too many callers
            return world.signs_in("alice", f"wrong {number}", server=number % 2)

    world.set_failures(10)
    try:
        assert not any(at_once(100, guess))
    finally:
        world.set_failures()
    found = world.causes()
    assert found["password_wrong"] == 10 and found["throttled"] >= 90, found


def test_right_password_is_refused_over_the_limit(world):
    world.guess("alice", FAILURES)
    assert not world.signs_in("alice")
    assert not world.signs_in("alice", server=1)
    assert not world.signs_in_on_web("alice")
    assert not world.calls("alice")
    assert world.causes() == {"password_wrong": FAILURES, "throttled": 4}


def test_a_restart_forgets_nothing(world):
    world.guess("alice", FAILURES)
    world.servers[1].stop()
    world.servers[1].start()
    assert not world.signs_in("alice", server=1)


def test_every_channel_counts_for_one_limit(world):
    """Guesses by login, by user ID and in the browser count together."""
    ways = (world.signs_in, world.calls, world.signs_in_on_web)
    for number, way in enumerate(ways):
        assert not way("alice", f"wrong {number}")
    assert not any(way("alice") for way in ways)
    assert not world.signs_in(" Alice")  # directories would treat it as the same login


def test_a_remembered_password_is_limited_like_any_other(world):
    """A worker caches an accepted object call for the address that it came from."""
    own, other = "127.0.0.70", "127.0.0.71"
    world.prime("alice", own)
    for number in range(FAILURES):
        assert not world.calls("alice", f"wrong {number}", other)
    assert not any(world.calls("alice", address=other) for _each_worker in range(8))
    assert all(world.calls("alice", address=own) for _each_worker in range(8))
    for number in range(FAILURES):
        assert not world.calls("alice", f"wrong {number}", own)
    assert not any(world.calls("alice", address=own) for _each_worker in range(8))
    assert world.causes() == {"password_wrong": 2 * FAILURES, "throttled": 16}


def test_a_remembered_password_counts_for_the_limit_of_every_channel(world):
    world.prime("alice", "127.0.0.72")
    world.guess("alice", FAILURES, "127.0.0.72", server=1)
    assert not any(world.calls("alice", address="127.0.0.72") for _each_worker in range(8))


def test_a_remembered_password_among_many_at_once(world):
    """The cache does not allow more guesses to be checked, in whichever order they come."""
    world.prime("alice", "127.0.0.73")
    secrets = [f"wrong {number}" for number in range(20)] + [PASSWORD] * 4
    world.guess("alice", FAILURES - 1, "127.0.0.73")
    at_once(24, lambda number: world.calls("alice", secrets[number], "127.0.0.73"))
    assert not any(world.calls("alice", address="127.0.0.73") for _each_worker in range(8))
    assert world.causes()["password_wrong"] == FAILURES


def test_a_remembered_password_is_not_hashed(world):
    world.prime("alice", "127.0.0.74")
    world.server.sql("DELETE FROM auth_throttle")
    assert all(world.calls("alice", address="127.0.0.74") for _each_worker in range(8))
    assert world.server.sql("SELECT key FROM auth_throttle") == []


def test_unknown_and_archived_logins_count_like_any_other(world):
    for login in ("nobody", "gone"):
        world.guess(login, FAILURES + 2, address="127.0.0.5")
        rows = world.server.sql("SELECT max(failed) AS most FROM auth_throttle")
        assert rows[0]["most"] <= 2 * FAILURES


def test_many_good_logins_at_once_all_pass(world):
    assert all(at_once(24, lambda number: world.signs_in("bob", server=number % 2)))
    assert world.causes() == {}


def test_a_good_password_counts_nothing(world):
    for _turn in range(2 * FAILURES):
        assert world.signs_in("bob")
    assert world.server.sql("SELECT failed, pending FROM auth_throttle WHERE failed > 0") == []
    assert world.server.sql("SELECT key FROM auth_throttle WHERE cardinality(pending) > 0") == []


def test_nobody_locks_out_a_known_pair(world):
    """The lock-out attack: more guesses than the login's limit, from many addresses."""
    assert world.signs_in("alice", address="127.0.0.9")
    for number in range(WIDE // FAILURES + 1):
        world.guess("alice", FAILURES, address=f"127.0.1.{number + 1}")
    assert world.causes()["password_wrong"] == WIDE
    assert not world.signs_in("alice", address="127.0.0.10"), "a new address has to wait"
    assert world.signs_in("alice", address="127.0.0.9"), "a known one has not"
    assert world.signs_in("bob", address="127.0.0.10"), "nor has another login"


def test_an_office_behind_one_address(world):
    """Behind NAT, one user guesses; those who have logged in from there still can."""
    office = "127.0.0.20"
    assert world.signs_in("bob", address=office)
    for number in range(WIDE // FAILURES + 1):
        world.guess(f"guessed {number}", FAILURES, address=office)
    assert not world.signs_in("carol", address=office)
    assert world.signs_in("bob", address=office)
    assert world.signs_in("carol", address="127.0.0.21"), "the address hurts only itself"


def test_headers_loosen_no_limit(world):
    world.guess("alice", FAILURES - 1)
    for number, name in enumerate(("X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP")):
        line = world.line()
        send = line.request
        headers = {name: f"203.0.113.{number}", "X-Forwarded-Host": "example.com"}

        def request(method, path, body=None, more=(), send=send, headers=headers):
            return send(method, path, body, {**dict(more), **headers})

        line.request = request
        assert not world.signs_in("alice", "wrong", line=line)
    assert world.causes() == {"password_wrong": FAILURES, "throttled": 3}


def test_keys_are_never_limited(world):
    from callers.clients import Json2

    world.guess("robot", FAILURES)
    world.guess("nobody", WIDE)
    assert not world.signs_in("robot", "a password"), "over the limit"
    assert world.signs_in("robot", world.key)
    assert world.calls("robot", world.key)
    assert Json2(world.server, world.key).call("res.users", "context_get")


def test_ended_and_wrong_keys_of_integrations_count_nothing(world):
    """A broken integration does not throttle its host."""
    ended = world.server.shell(
        """
        integration = env["auth.integration"].search([("code", "=", "robot")])
        result = integration.issue_key()["key"]
        key = env["auth.integration.key"].search([("prefix", "=", result[:8])])
        key._revoke("compromised") if hasattr(key, "_revoke") else key.revoke("gone")
        """
    )
    for secret in (ended, "0" * 40):
        for _turn in range(FAILURES):
            assert not world.signs_in("robot", secret)
            assert not world.calls("robot", secret)
    assert world.server.sql("SELECT key FROM auth_throttle WHERE failed > 0") == []
    assert "throttled" not in world.causes()


def test_logins_that_are_no_text(world):
    """Odoo would find the user of any login in a list, whatever else is in it."""
    world.guess("alice", FAILURES)
    for turn in (1, 2):
        for login in (["alice"], ["alice", "x"], [["alice"]], {"alice": 1}):
            assert not world.signs_in(login), login
            assert not world.signs_in_on_web(login), login
        world.reset()
        assert world.signs_in("alice"), turn


@pytest.mark.parametrize("login", ["1001", "0", "1.5", "True"])
def test_a_number_is_counted_like_its_digits(world, login):
    """Odoo finds the user whose login has these digits, so some callers may send a number."""
    number = json.loads(login.lower())
    assert world.signs_in(number) and world.signs_in_on_web(number)
    for turn in range(FAILURES):
        assert not world.signs_in(number, f"wrong {turn}")
    assert not world.signs_in(number) and not world.signs_in_on_web(number)
    assert not world.signs_in(login)
    assert not world.calls(login)


def test_what_core_refuses_itself_leaves_no_row(world):
    """During Odoo's own cooldown, a caller may send any number of logins."""
    set_cooldown = "env['ir.config_parameter'].set_param('base.login_cooldown_after', value)"
    world.server.shell(set_cooldown, value="1")
    try:
        for number in range(8):
            assert not world.signs_in_on_web(f"somebody {number}", "wrong", address="127.0.0.60")
    finally:
        world.server.shell(set_cooldown, value="0")
    [row] = world.server.sql("SELECT count(*) AS rows, sum(failed) AS failed FROM auth_throttle")
    assert row["failed"] <= 2 * 3, "one guess in each worker was looked at"
    assert row["rows"] <= row["failed"]


def test_empty_secrets_count_nothing(world):
    for _turn in range(FAILURES + 1):
        assert not world.signs_in("alice", "")
    assert world.signs_in("alice")


def test_a_window_ends_by_itself(world):
    """It begins with its first failure, and refused guesses do not prolong it.

    A clock that is put back blocks no one, either.
    """
    for moved in ("- interval '15 minutes'", "+ interval '2 minutes'", "+ interval '1 day'"):
        world.reset()
        world.guess("alice", FAILURES + 3)
        world.server.sql(f"UPDATE auth_throttle SET begins = begins {moved}")
        assert world.signs_in("alice"), moved
    world.reset()
    world.guess("alice", FAILURES)
    world.server.sql("UPDATE auth_throttle SET begins = begins - interval '14 minutes'")
    assert not world.signs_in("alice")


def test_a_dead_process_leaves_no_try_behind(world):
    """Its pending tries expire, however the clock was set."""
    assert world.signs_in("alice", address="127.0.0.30")
    for number in ("1", "8000000000000000000"):
        world.server.sql(
            "UPDATE auth_throttle SET pending = array_fill(%s::bigint, ARRAY[100])", [number]
        )
        assert world.signs_in("alice", address="127.0.0.30")


def test_a_slow_distributed_attack(world):
    """Of 1,000 addresses with one guess each, a hundred are checked, and the user is notified."""
    found = collections.Counter()

    def guess(number):
        address = f"127.{10 + number // 250}.{number % 250 + 1}.1"
        return world.signs_in("dave", f"wrong {number}", address, server=number % 2)

    for start in range(0, 1000, 25):
        found.update(at_once(25, lambda number, start=start: guess(start + number)))
    assert found == {False: 1000}
    assert world.causes() == {"password_wrong": WIDE, "throttled": 1000 - WIDE}
    told = world.server.shell(
        """
        env["mail.mail"].search([]).unlink()
        throttle = env["auth.throttle"]
        throttle._cron_notify(); throttle._cron_notify()
        result = env["mail.mail"].search([]).mapped("email_to")
        """
    )
    assert len(told) == 1 and "dave@example.com" in told[0]
    [rows] = world.server.sql("SELECT count(*) AS rows FROM auth_throttle")
    assert rows["rows"] <= 2 * WIDE + 1


def test_unlock(world):
    world.guess("alice", FAILURES)
    world.server.shell(
        "env['res.users'].search([('login', '=', 'alice')]).action_unlock_sign_in()"
    )
    assert world.signs_in("alice")
    assert world.signs_in("alice", server=1)


def test_expired_counters_go(world):
    for number in range(40):
        world.guess(f"somebody {number}", 1, address=f"127.3.0.{number + 1}")
    world.server.sql("UPDATE auth_throttle SET expires = now() AT TIME ZONE 'UTC' - interval '1 s'")
    for number in range(40):
        world.guess(f"somebody else {number}", 1, address=f"127.4.0.{number + 1}")
    [rows] = world.server.sql(
        "SELECT count(*) AS rows FROM auth_throttle WHERE expires < now() AT TIME ZONE 'UTC'"
    )
    assert rows["rows"] == 0


def test_busy_counter_refuses(world):
    """Holding its lock does not let anyone in."""
    world.guess("alice", 1)
    with contextlib.closing(postgres.connect(world.server.db)) as holder:
        holder.autocommit = False
        holder.cursor().execute("SELECT FROM auth_throttle FOR UPDATE")
        assert not world.signs_in("alice")
        holder.rollback()
    assert world.signs_in("alice")
    assert world.causes() == {"password_wrong": 1, "throttled": 1}


def test_locked_counters_refuse_a_remembered_password(world):
    """No call waits for long, and Odoo checks no guess alone."""
    world.server.expect_log("Tables of the add-on are locked")
    world.prime("alice", "127.0.0.75")
    with contextlib.closing(postgres.connect(world.server.db)) as holder:
        holder.autocommit = False
        cursor = holder.cursor()
        cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
        cursor.execute("LOCK TABLE auth_throttle IN ACCESS EXCLUSIVE MODE")
        assert not world.calls("alice", address="127.0.0.75")
        assert holder.closed == 0 and cursor.execute("SELECT 1") is None
        holder.rollback()
    assert world.calls("alice", address="127.0.0.75")


def test_missing_counter_leaves_the_decision_to_core(world):
    for server in world.servers:
        server.expect_log("Guesses of passwords are not limited")
    mark = world.server.log_mark()
    world.server.sql("ALTER TABLE auth_throttle RENAME TO auth_throttle_away")
    try:
        for _turn in range(FAILURES + 1):
            assert not world.signs_in("alice", "wrong")
            assert world.signs_in("alice")
    finally:
        world.server.sql("ALTER TABLE auth_throttle_away RENAME TO auth_throttle")
    lines = world.server.log_since(mark).count("Guesses of passwords are not limited")
    assert 1 <= lines <= 2 * 2, "once a minute in each worker"


def test_settings(world):
    try:
        for value, limit in (("5", 5), ("0", 10), ("nonsense", 10), ("1", 3), ("-7", 10)):
            world.reset()
            world.set_failures(value)
            world.guess("alice", 11)
            assert world.causes()["password_wrong"] == limit
    finally:
        world.set_failures()


def test_exempt_network(world):
    """A shared address is not limited as such; its logins are."""
    name = "auth_integration.throttle_exempt_networks"
    set_networks = "env['ir.config_parameter'].set_param(name, networks)"
    world.server.shell(set_networks, name=name, networks="127.0.0.40/32")
    try:
        for number in range(WIDE // FAILURES + 1):
            world.guess(f"guessed {number}", FAILURES, address="127.0.0.40")
        assert world.signs_in("carol", address="127.0.0.40")
        world.guess("carol", FAILURES, address="127.0.0.40")
        assert not world.signs_in("carol", address="127.0.0.40")
    finally:
        world.server.shell(set_networks, name=name, networks=False)


def test_answers_do_not_tell(world):
    """On no channel does a throttled guess get another answer than a wrong password."""

    before = {login: answers(world, login) for login in KINDS}
    for login in before:
        world.guess(login, FAILURES, address="127.0.0.50")
    for login, answer in before.items():
        assert answers(world, login) == answer == before["alice"], login


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_can_be_no_password_does_not_tell(world, name):
    """Stock answers it with another error, but only if the user exists."""
    wrong = answers(world, "alice")
    world.reset()
    assert {login: answers(world, login, IMPOSSIBLE[name]) for login in KINDS} == dict.fromkeys(
        KINDS, wrong
    )
    assert world.causes() == {"malformed_request": 3 * len(KINDS)}
    assert not world.signs_in("alice", address="127.0.0.50"), "it counts like a guess"


def answers(world, login, secret="wrong"):
    found = []
    for line, method, path, body in requests(world, login, secret):
        status, _headers, answer = line.request(
            method, path, body, {"Content-Type": "application/json"}
        )
        found.append((status, answer))
    return found


def requests(world, login, secret):
    for path, params in (
        ("/web/session/authenticate",
         {"db": world.server.db, "login": login, "password": secret}),
        ("/jsonrpc", {"service": "common", "method": "authenticate",
                      "args": [world.server.db, login, secret, {}]}),
        ("/jsonrpc", {"service": "object", "method": "execute_kw",
                      "args": [world.server.db, world.uids.get(login, 99999), secret,
                               "res.users", "context_get", []]}),
    ):
        body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})
        yield world.line("127.0.0.50"), "POST", path, body


def test_right_password_of_somebody_else_is_not_told(world):
    """Even the right password is not checked when the limit is reached."""
    world.guess("alice", FAILURES)
    attempts = at_once(8, lambda number: world.signs_in("alice", PASSWORD, server=number % 2))
    assert not any(attempts)
