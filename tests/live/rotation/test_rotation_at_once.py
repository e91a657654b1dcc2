"""Concurrent requests for a rotation: one rotation, documented answers, no warnings."""

import contextlib
import re
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Json2, Session, administrator
from callers.rotating_system import ANSWER, CHANNELS, HOME, System
from dev.common import TEST_ADDONS
from dev.servers import postgres, server_log
from processes import halted_at_commit, wait_for_locks

CALLS = 6
SERVER = {
    "workers": 2,
    "extra_addons": (TEST_ADDONS,),
    "modules": ("auth_integration", "auth_integration_crash"),
}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    """The file to which the delivery of the test add-on writes new keys."""
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def server(live_server, environment, key_file):
    """A server with two workers, and a key to encrypt secrets."""
    environment.setenv("AUTH_INTEGRATION_KEY_FILE", str(key_file))
    return live_server("main")


@contextlib.contextmanager
def quiet_log(server, *refusals):
    """Fail if the server logs any warning or error within the block, from any logger.

    :param refusals: words of documented refusals, which Odoo logs as warnings
    """
    usual = re.compile("|".join([*refusals, "deprecated", "called ignoring args"]))
    mark = server.log_mark()
    yield
    records = server_log.records(server.log_since(mark))
    bad = [r.text for r in records if r.level in server_log.BAD_LEVELS]
    assert not [text for text in bad if not usual.search(text)]


def rotations(system):
    return system.server.sql(
        "SELECT r.id, r.tries, r.delivered_at IS NOT NULL AS delivered"
        " FROM auth_integration_rotation r WHERE r.integration_id = %s",
        [system.id],
    )


def open_rotation(server, system):
    server.shell(
        "env['auth.integration.key'].search([('prefix', '=', prefix)]).action_rotate_now()",
        prefix=system.key[:8],
    )


def told(system):
    """Return what the owners were sent, newest first."""
    return [
        row["body"]
        for row in system.server.sql(
            "SELECT body FROM mail_message WHERE model = 'auth.integration' AND res_id = %s"
            " AND body LIKE '%%fetched%%' ORDER BY id DESC",
            [system.id],
        )
    ]


@pytest.mark.parametrize("first, second", [("xmlrpc", "json2"), ("json2", "jsonrpc")])
@pytest.mark.parametrize("opened", [False, True], ids=["not_open", "open"])
def test_second_call_while_the_first_is_about_to_commit(server, opened, first, second):
    """It waits, and is treated like a call after a lost answer: a sibling key, and an alert."""
    system = System(server, known=True)
    if opened:
        open_rotation(server, system)
    with quiet_log(server), ThreadPoolExecutor(2) as pool:
        answers = []

        def rotate():
            answers.append(system.rotate(first, source=HOME))

        with halted_at_commit(server, "auth_integration_rotation", rotate):
            other = pool.submit(system.rotate, second, source=HOME)
            assert wait_for_locks(server, 2, other), other.result()
        answers.append(other.result())
    assert [set(answer) for answer in answers] == [ANSWER, ANSWER]
    assert [(row["tries"], row["delivered"]) for row in rotations(system)] == [(2, True)]
    assert len(system.keys()) == 3
    assert "two systems" in told(system)[0] and len(told(system)) == 2


@pytest.mark.parametrize("opened", [False, True], ids=["not_open", "open"])
def test_many_at_once_over_every_protocol(server, opened):
    """At most the allowed number of unused keys is created; later calls are refused."""
    system = System(server, known=True)
    if opened:
        open_rotation(server, system)

    def attempt(number):
        try:
            return set(system.rotate(CHANNELS[number % 3], source=HOME))
        except (RuntimeError, xmlrpc.client.Fault) as error:
            return str(error)

    with quiet_log(server, "have been created"), ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(attempt, range(CALLS)))
    refused = [answer for answer in answers if answer != ANSWER]
    assert len(refused) == 1 and "5 new keys have been created" in refused[0], refused
    assert [row["tries"] for row in rotations(system)] == [5]
    assert len(system.keys()) == 6


@pytest.mark.parametrize("delivery", ["self_service", "claim"])
def test_schedule_owner_and_integration_at_once(server, delivery):
    """There is one rotation, whoever opened it; no one is asked or notified twice."""
    system = System(server, delivery, known=True)
    server.sql("DELETE FROM auth_integration_digest")
    admin = administrator(server)
    [key] = admin.call("auth.integration.key", "search", [("prefix", "=", system.key[:8])])
    calls = [
        lambda: admin.call("auth.integration.rotation", "run_for_test"),
        lambda: admin.call("auth.integration.key", "action_rotate_now", [key]),
    ]
    if delivery == "self_service":
        calls.append(lambda: system.rotate("json2", source=HOME))
    with quiet_log(server), ThreadPoolExecutor(CALLS) as pool:
        for running in [pool.submit(call) for call in calls * 2]:
            running.result()
    assert len(rotations(system)) == 1
    [row] = server.sql(
        """
        SELECT (SELECT count(*) FROM mail_activity WHERE res_model = 'auth.integration'
                AND res_id = %s) AS asked,
               (SELECT count(*) FROM auth_integration_digest) AS digests
        """,
        [system.id],
    )
    assert row == {"asked": 1 if delivery == "claim" else 0, "digests": 1}


def test_two_runs_of_the_schedule_at_once(server, key_file):
    """The second run skips what the first is processing: each key is rotated and sent once."""
    system = System(server, "file")
    server.shell(
        "for _ in range(40): env['auth.integration'].browse(id_).issue_key()", id_=system.id
    )
    system.end_in(20)
    admin = administrator(server)

    def run():
        admin.call("auth.integration.rotation", "run_for_test")

    with quiet_log(server), ThreadPoolExecutor(1) as pool:
        with halted_at_commit(server, "auth_integration_rotation", run):
            other = pool.submit(run)
            assert wait_for_locks(server, 2, other), other.result()
        other.result()
    run()  # what collided is left to the next run
    rows = rotations(system)
    assert len(rows) == 41
    assert {(row["tries"], row["delivered"]) for row in rows} == {(1, True)}
    sent = key_file.read_text().split()
    assert len(sent) == len(set(sent)) == 41
    assert len(system.keys()) == 82


def halted_with_another(server, table, change, other):
    """Run ``change`` up to its commit of a new row of the table, and ``other`` in parallel."""
    with quiet_log(server), ThreadPoolExecutor(1) as pool:
        with halted_at_commit(server, table, change, on="INSERT"):
            running = pool.submit(other)
            assert wait_for_locks(server, 2, running), running.result()
        running.result()


def test_owners_are_asked_once(server):
    """A user clicks *Rotate now* while the schedule runs."""
    system = System(server, "claim")
    open_rotation(server, system)
    server.sql("DELETE FROM mail_activity")
    admin = administrator(server)
    [key] = admin.call("auth.integration.key", "search", [("prefix", "=", system.key[:8])])
    halted_with_another(
        server,
        "mail_activity",
        lambda: admin.call("auth.integration.key", "action_rotate_now", [key]),
        lambda: admin.call("auth.integration.rotation", "run_for_test"),
    )
    asked = server.sql("SELECT res_id FROM mail_activity WHERE res_id = %s", [system.id])
    assert len(asked) == 1


def test_digest_is_sent_once(server):
    """Only one of two concurrent runs sends it."""
    System(server, "claim")
    server.sql("DELETE FROM auth_integration_digest")
    server.sql("DELETE FROM mail_mail")
    admin = administrator(server)

    def run():
        admin.call("auth.integration.rotation", "run_for_test")

    halted_with_another(server, "auth_integration_digest_line", run, run)
    assert len(server.sql("SELECT id FROM auth_integration_digest")) == 1
    mails = server.sql(
        "SELECT m.id FROM mail_mail m JOIN mail_message t ON t.id = m.mail_message_id"
        " WHERE t.model = 'auth.integration.digest'"
    )
    assert len(mails) == 1


@pytest.mark.parametrize("also", [False, True])
def test_locks_are_taken_in_the_order_of_a_first_use(server, also):
    """A revocation that takes an overlap back locks the rotation, then its old key.

    Otherwise it and a first use would wait for each other. If the first use was of another key,
    there is nothing to take back.
    """
    system = System(server, "claim")
    open_rotation(server, system)
    new = claim_and_use(system)
    admin = administrator(server)
    [key] = admin.call("auth.integration.key", "search", [("prefix", "=", new[:8])])
    with (
        quiet_log(server),
        contextlib.closing(postgres.connect(server.db)) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        first_use = connection.cursor()
        first_use.execute("BEGIN")
        first_use.execute(
            "SELECT id FROM auth_integration_rotation WHERE integration_id = %s"
            " FOR NO KEY UPDATE", [system.id],
        )
        running = pool.submit(admin.call, "auth.integration.key", "revoke", [key], "leaked")
        assert wait_for_locks(server, 1, running), running.result()
        first_use.execute(
            "SELECT id FROM auth_integration_key WHERE prefix = %s"
            " FOR NO KEY UPDATE NOWAIT", [system.key[:8]],
        )
        if also:
            first_use.execute(
                "UPDATE auth_integration_key SET retire_at = now() AT TIME ZONE 'UTC'"
                " WHERE prefix = %s", [system.key[:8]],
            )
        first_use.execute("COMMIT")
        running.result()
    [old] = admin.call(
        "auth.integration.key", "search_read", [("prefix", "=", system.key[:8])], ["state"]
    )
    assert old["state"] == ("superseded" if also else "active")


def claim_and_use(system):
    """Claim and use the new key of a system, which begins the overlap; return the key."""
    new = system.server.shell(
        """
        key = env["auth.integration.key"].search([("prefix", "=", prefix)])
        [rotation] = env["auth.integration.rotation"]._open(key)
        secret, new = rotation.with_user(2)._claim()
        result = secret
        """,
        prefix=system.key[:8],
    )
    system.call("json2", "whoami", new)
    return new


def test_one_code_presented_many_times_at_once(server):
    """It gets only one key, whichever worker is first."""
    system = System(server, enrolled=True)
    code = system.totp()

    def attempt(number):
        try:
            return system.rotate(CHANNELS[number % 3], totp=code)["key"]
        except (RuntimeError, xmlrpc.client.Fault) as error:
            assert "used before" in str(error), error

    with quiet_log(server, "used before"), ThreadPoolExecutor(CALLS) as pool:
        keys = [key for key in pool.map(attempt, range(CALLS)) if key]
    assert len(keys) == 1
    assert len(system.keys()) == 2


def test_one_code_presented_with_two_keys_at_once(server):
    """Two hosts of one integration have their own keys, but a code can still be used only once."""
    system = System(server, enrolled=True)
    other = server.shell(
        "result = env['auth.integration'].browse(id_).issue_key()['key']", id_=system.id
    )
    system.call("json2", "whoami", other)
    system.end_in(20)
    code = system.totp()

    def attempt(key):
        try:
            return system.rotate("json2", key, totp=code)["key"]
        except RuntimeError as error:
            assert "used before" in str(error), error

    with quiet_log(server, "used before"), ThreadPoolExecutor(2) as pool:
        with halted_at_commit(server, "auth_integration", lambda: attempt(system.key)):
            late = pool.submit(attempt, other)
            assert wait_for_locks(server, 2, late), late.result()
        assert late.result() is None
    assert len(system.keys()) == 3


def test_wrong_codes_at_once(server):
    """Concurrent wrong codes do not get more tries than consecutive ones."""
    system = System(server, enrolled=True)
    server.expect_log("wrong codes of its second factor")
    one_is_left = "UPDATE auth_integration SET totp_wrong_codes = 4 WHERE id = %s"
    server.sql(one_is_left, [system.id])

    def attempt(channel):
        with pytest.raises((RuntimeError, xmlrpc.client.Fault)) as error:
            system.rotate(channel, totp="no code")
        return "Too many" in str(error.value)

    with (
        quiet_log(server, "wrong codes", "Too many", "is wrong"),
        contextlib.closing(postgres.connect(server.db)) as holder,
        ThreadPoolExecutor(2) as pool,
    ):
        cursor = holder.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM auth_integration WHERE id = %s FOR UPDATE", [system.id])
        attempts = [pool.submit(attempt, channel) for channel in CHANNELS[:2]]
        assert wait_for_locks(server, 2, *attempts)
        cursor.execute("ROLLBACK")
        assert sorted(found.result() for found in attempts) == [False, True]


def test_owners_claim_at_once(server):
    """Each gets their own working key, and no more keys are created than may be unused."""
    system = System(server, "claim", known=True)
    open_rotation(server, system)
    [rotation] = rotations(system)
    sessions = [Session(server, "admin", "admin") for _number in range(8)]
    for session in sessions:
        session.call_checked("auth.integration", "confirm_identity")

    def claim(session):
        model = "auth.integration.claim"
        [wizard] = session.call(model, "create", [{"rotation_id": rotation["id"]}])
        try:
            return session.call(model, "action_claim", [wizard])["context"]["default_key"]
        except RuntimeError as error:
            assert "none has been used" in str(error), error
            return None

    with ThreadPoolExecutor(len(sessions)) as pool:
        keys = [key for key in pool.map(claim, sessions) if key]
    [made] = server.sql(
        "SELECT count(*) FROM auth_integration_key n JOIN auth_integration_key o"
        " ON o.id = n.replaces_id WHERE o.prefix = %s", [system.key[:8]],
    )
    assert len(set(keys)) == len(keys) == made["count"] == 5
    assert Json2(server, keys[-1]).call("auth.integration.key", "whoami")["prefix"] == keys[-1][:8]
