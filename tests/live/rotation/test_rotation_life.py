"""``rotate`` over every protocol under attack, and in a copied database."""


import pytest

from callers.clients import Json2, Jsonrpc, Line, Refused, Xmlrpc, accepted, administrator, ways
from callers.rotating_system import ANSWER, CHANNELS, ELSEWHERE, HOME, System, reason
from dev.servers import postgres
from dev.servers.live_server import LiveServer
from processes import each_worker


@pytest.fixture(scope="module")
def server(live_server, environment):
    """A server with two workers, and a key to encrypt secrets."""
    return live_server("main", workers=2)


# Every protocol, every condition -----------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
def test_from_a_known_address(server, channel):
    """A thief with the key calls from elsewhere, at any time, repeatedly."""
    system = System(server, due=False, known=True)
    assert "too early" in system.refusal(channel, source=HOME)
    system.end_in(20)
    for source in (ELSEWHERE, "127.0.0.1"):
        assert "not known" in system.refusal(channel, source=source)
    system.know(ELSEWHERE, days=6)
    assert "not known" in system.refusal(channel, source=ELSEWHERE)
    assert "no second factor" in system.refusal(channel, source=HOME, totp="123456")
    system.set_policy(delivery="claim")
    assert "policy" in system.refusal(channel, source=HOME)
    system.set_policy(delivery="self_service")
    old, answer = system.key, system.rotate(channel, source=HOME)
    assert set(answer) == ANSWER and None not in answer.values()
    system.call(channel, "whoami", answer["key"])  # its first use
    assert system.call(channel, "whoami", answer["key"])["state"] == "active"
    assert system.call(channel, "whoami", old)["state"] == "retiring"
    assert "Being Replaced" in system.refusal(channel, key=old, source=HOME)
    assert "too early" in system.refusal(channel, key=answer["key"], source=HOME)


def test_header_that_claims_a_known_address(server):
    """Without a trusted proxy, addresses in headers are ignored."""
    system = System(server, known=True)
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        client = system.client("json2", headers={name: HOME, "X-Forwarded-Host": "odoo"})
        words = reason(lambda client=client: client.call("auth.integration.key", "rotate"))
        assert "came through a proxy" in words


@pytest.mark.parametrize("channel", CHANNELS)
def test_with_a_second_factor(server, channel):
    """It works from anywhere with a current code, once per code; guessing locks it."""
    server.expect_log("wrong codes of its second factor")
    system = System(server, enrolled=True)
    assert "not known" in system.refusal(channel)
    for nonsense in ("000", "12 34 56", {"code": 1}):
        assert "wrong" in system.refusal(channel, totp=nonsense)
    for shift in (-2, 2):
        assert "wrong" in system.refusal(channel, totp=system.totp(shift))
    assert "Too many" in system.refusal(channel, totp=system.totp())
    server.sql(
        "UPDATE auth_integration SET totp_locked_until = NULL WHERE id = %s", [system.id]
    )
    code = system.totp()
    answer = system.rotate(channel, totp=code)
    assert set(answer) == ANSWER
    for _worker in each_worker(server):
        assert "used before" in system.refusal(channel, totp=code)
    assert system.call(channel, "whoami", answer["key"])["state"] == "active"
    assert system.call(channel, "whoami")["state"] == "retiring"


@pytest.mark.parametrize("channel", CHANNELS)
def test_keys_that_fetch_nothing(server, channel):
    """No key at all, a personal key, and a key that has ended."""
    system = System(server, known=True)
    admin = administrator(server)
    words = {
        "not authenticated with an API key": (2, "admin"),
        "is a personal key": (2, admin.secret),
    }
    for expected, (uid, secret) in words.items():
        client = {
            "xmlrpc": lambda uid=uid, secret=secret: Xmlrpc(server, uid, secret),
            "jsonrpc": lambda uid=uid, secret=secret: Jsonrpc(server, uid, secret),
            "json2": lambda uid=uid, secret=secret: Json2(server, secret),
        }[channel]()
        if channel == "json2" and secret == "admin":
            continue  # accepts no passwords
        told = reason(lambda client=client: client.call("auth.integration.key", "rotate"))
        assert expected in told
    [key] = admin.call("auth.integration.key", "search", [("prefix", "=", system.key[:8])])
    admin.call("auth.integration.key", "revoke", [key], "lost")
    before = system.keys()
    with pytest.raises(Refused):
        system.rotate(channel, source=HOME)
    assert system.keys() == before


# A copied database -------------------------------------------------------------------------------


def counts(server):
    """Return the number of everything that a rotation creates and sends."""
    [row] = server.sql(
        """
        SELECT (SELECT count(*) FROM auth_integration_key) AS keys,
               (SELECT count(*) FROM res_users_apikeys) AS natives,
               (SELECT count(*) FROM auth_integration_rotation) AS rotations,
               (SELECT sum(tries) FROM auth_integration_rotation) AS tries,
               (SELECT count(*) FROM mail_mail) AS mails,
               (SELECT count(*) FROM mail_activity) AS activities,
               (SELECT count(*) FROM auth_integration_digest) AS digests
        """
    )
    return row


def _original_works(copy, system):
    client = Json2(copy, system.key, Line(copy, source=HOME))
    assert client.call("auth.integration.key", "whoami")["state"] == "active"
    told = reason(lambda: client.call("auth.integration.key", "rotate"))
    assert "database is a copy" in told


def _original_is_refused(copy, system):
    """The keys of the original have ended for good, and the log says why; new keys work."""
    [row] = copy.sql(
        "SELECT count(*) AS count FROM res_users_apikeys n JOIN auth_integration i"
        " ON i.user_id = n.user_id"
    )
    assert not row["count"]
    for call in ways(copy, system.uid, system.code, system.key).values():
        assert not accepted(call)
    copy.shell("env['auth.integration.key']._cron_reconcile()")
    [(causes, said)] = copy.shell(
        """
        attempts = env["auth.attempt"].search(
            [("key_id.prefix", "=", prefix), ("outcome", "=", "failure")])
        key = attempts.key_id
        result = [(
            sorted(set(attempts.mapped(lambda a: f"{a.channel} {a.cause}"))),
            [key.state, key.may_undo_revocation, key.may_extend],
        )]
        """,
        prefix=system.key[:8],
    )
    assert causes == ["json2 key_copied", "jsonrpc key_copied", "xmlrpc key_copied"]
    assert said == ["copied", False, False]
    new = copy.shell(
        "result = env['auth.integration'].browse(id_).issue_key()['key']", id_=system.id
    )
    calls = ways(copy, system.uid, system.code, new)
    assert set(map(accepted, calls.values())) == {True}


def test_copied_database_rotates_nothing(server):
    """A real copy of a database with due keys, with a new uuid or neutralized."""
    systems = [System(server, way, known=True) for way in ("self_service", "claim", "webhook")]
    server.sql("DELETE FROM auth_integration_digest")
    names = f"{server.db}_duplicate", f"{server.db}_neutralized"
    for name in names:
        if name in postgres.databases():
            postgres.drop(name)
    server.stop()  # a template must have no connections
    for name in names:
        postgres.create(name, server.db)
    server.start()
    # What Odoo does to a duplicate, and to a neutralized copy.
    for name, change, check in zip(
        names,
        (
            "env['ir.config_parameter'].init(force=True)",
            "import odoo.modules.neutralize as n; n.neutralize_database(cr)",
        ),
        (_original_works, _original_is_refused),
        strict=True,
    ):
        copy = LiveServer(name)
        try:
            copy.shell(change)
            copy.start()
            _rotates_nothing(copy)
            check(copy, systems[0])
        finally:
            copy.drop()
    # The original continues to work.
    assert set(systems[0].rotate("json2", source=HOME)) == ANSWER


def _rotates_nothing(copy):
    copy.expect_log("This database is a copy")
    before = counts(copy)
    copy.shell("env['auth.integration.rotation']._cron_rotate()")
    assert counts(copy) == before
    assert "This database is a copy" in (copy.folder / "shell.log").read_text()
    findings = copy.shell(
        "result = env['auth.integration.finding'].search([('code', '=', 'database_copied')])"
        ".mapped('remedy')"
    )
    assert len(findings) == 1 and "auth_integration.confirm_move" in findings[0]
    assert counts(copy) == before
