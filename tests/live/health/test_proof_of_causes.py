"""The proof of all three readers: each cause is made to happen for real, and named with its remedy
by Diagnose, by doctor.py and by the form of the attempt.
"""

import itertools
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from callers.clients import Authenticate, Json2, Line, Refused, Session, Xmlrpc
from worlds.diagnosis import SERVER, UNKNOWN_KEY, diagnose, doctor, found, make, set_base_url

__all__ = ["SERVER"]  # conftest.py starts the servers as it says


@pytest.fixture(scope="module")
def server(live_server):
    server = live_server("main")
    set_base_url(server, server.url)
    return server


@dataclass(frozen=True)
class Case:
    """A way to fail, provoked for real, and what the three places say about it.

    :ivar call: takes the server, the integration and a :class:`Line` from its own address
    :ivar cause: the cause in the log; by default the name of the case
    :ivar change: code that runs in Odoo before the call, with ``integration``, ``key`` and ``now``
    :ivar told: part of what the attempt's form says about this case
    :ivar fix: the button that Diagnose offers
    :ivar settings: the settings of the failing program, for doctor.py
    :ivar doctor: the cause that doctor.py names; by default the same
    :ivar remedy: part of the remedy that doctor.py shows
    :ivar certain: whether the log knows for sure that it was this integration
    """

    call: object
    remedy: str
    cause: str | None = None
    change: str = ""
    told: str = ""
    fix: str = "open"
    settings: dict | None = None
    doctor: str | None = None
    certain: bool = True


def json2(server, shop, at):
    Json2(server, shop.secret, at).call("res.users", "context_get")


def rpc(server, shop, at):
    Xmlrpc(server, shop.uid, shop.secret, at).call("res.users", "context_get")


def wrong_database(server, shop, at):
    params = ("nowhere", shop.login, shop.secret, {})
    Xmlrpc(server, None, None, at).service("common", "authenticate", params)


def wrong_endpoint(server, shop, at):
    status, headers, _answer = at.post("/xmlrpc/2/xmlrpc/2/common", b"")
    raise Refused(status, "", headers)


def skipped(server, shop, at):
    """Use False as the user ID, as a program does that ignores the result of authenticate."""
    with suppress(Refused):
        Authenticate(server, shop.login, UNKNOWN_KEY, at).call()
    Xmlrpc(server, False, UNKNOWN_KEY, at).call("res.users", "context_get")


def log_in(login, password):
    return lambda server, shop, at: Authenticate(server, login or shop.login, password, at).call()


def ended_session(server, shop, at):
    """Continue in a session that was logged out."""
    session = Session(server, "pat", "the new one", at)
    held = dict(session.cookies)
    session.post("/web/session/destroy", {})
    session.cookies = held
    shop.session_id = held["session_id"]
    session.call("res.users", "context_get")


EXPIRE = """
env.cr.execute("UPDATE auth_integration_key SET expires_at = %s WHERE id = %s",
               [now - timedelta(hours=1), key.id])
key.invalidate_recordset(); key._write_native_end()
"""
SCOPE = """
for table, number in (("auth_integration_key", key.id), ("res_users_apikeys", key.apikey_id.id)):
    env.cr.execute(f"UPDATE {table} SET scope = 'plugin' WHERE id = %s", [number])
"""
SUPERSEDE = """
_secret, new = env["auth.integration.key"]._issue(integration, "new")
new.write({"first_used_at": now - timedelta(hours=2), "last_used_at": now - timedelta(hours=2)})
key._retire(now - timedelta(hours=1), new)
"""
# The system uses the account of a person, and she has changed her password a minute ago.
CHANGE_PASSWORD = """
pat = env["res.users"].search([("login", "=", "pat")])
pat.password = "the new one"
env.flush_all()
env.cr.execute(
    "UPDATE auth_integration_password_change SET changed_at = '2026-03-04 05:06:07'"
    " WHERE user_id = %s", [pat.id])
"""
PROOF = {
    "wrong database": Case(
        wrong_database, cause="database_unknown", told="last successful call",
        settings={"database": "nowhere"}, remedy="uppercase letters",
    ),
    "wrong endpoint": Case(
        wrong_endpoint, cause="endpoint_unknown", told="last successful call",
        settings={"path": "/xmlrpc/2/xmlrpc/2/common"}, doctor="path_doubled",
        remedy="base URL only",
    ),
    "skipped authentication": Case(
        skipped, cause="authenticate_skipped", told="rejected for",
        settings={"secret": UNKNOWN_KEY, "options": ["--uid", "False"]},
        remedy="Call authenticate first",
    ),
    "wrong password": Case(
        log_in("pat", "not hers"), cause="password_wrong", told="last changed on",
        settings={"login": "pat", "secret": "not hers"}, remedy="current password", certain=False,
    ),
    "password changed a minute ago": Case(
        log_in("pat", "the old one"), cause="password_wrong", change=CHANGE_PASSWORD,
        told="last changed on Mar 4, 2026, 5:06",
        settings={"login": "pat", "secret": "the old one"}, remedy="may have changed",
        certain=False,
    ),
    "ended session": Case(
        ended_session, cause="session_expired", told="last successful call",
        settings={"login": "", "secret": ""}, remedy="Authenticate again",
    ),
    "password instead of a key": Case(
        log_in(None, "a password"), cause="password_not_allowed", told="integration user",
        fix="issue_key", settings={"secret": "a password"}, doctor="password_wrong",
        remedy="Integrations and users with a second factor need one",
    ),
    "wrong key": Case(
        log_in(None, UNKNOWN_KEY), cause="key_unknown", told="Working keys", fix="issue_key",
        settings={"secret": UNKNOWN_KEY}, remedy="Compare its first 8 characters",
    ),
    "revoked key": Case(
        json2, cause="key_revoked", change="key.revoke('laptop stolen')", told="laptop stolen",
        fix="issue_key", remedy="a new key",
    ),
    "expired key": Case(
        json2, cause="key_expired", change=EXPIRE, told="stopped working on", fix="issue_key",
        remedy="a new key",
    ),
    "key of another scope": Case(
        json2, cause="key_wrong_scope", change=SCOPE, told="plugin", fix="issue_key",
        remedy="valid for API calls",
    ),
    "key rotated out": Case(
        rpc, cause="key_superseded", change=SUPERSEDE, told="replaced by",
        remedy="Install the new key",
    ),
    "archived user": Case(
        rpc, cause="user_archived", change="integration.user_id.action_archive()",
        told="is archived", fix="restore_user", remedy="restore the user",
    ),
    "address blocked by us": Case(
        json2, cause="address_not_allowed", change="integration.allowed_networks = '192.0.2.0/24'",
        told="192.0.2.0/24", fix="add_network", remedy="allow the address",
    ),
    "protocol not allowed": Case(
        json2, cause="channel_not_allowed", change="integration.allowed_channels = 'http'",
        told="used JSON-2", fix="allow_protocol", remedy="another protocol",
    ),
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def pat(server):
    """A person whose password a system uses."""
    server.shell(
        """
        env["res.users"].create({"name": "Pat", "login": "pat", "password": "the old one"})
        env["ir.config_parameter"].set_param("base.login_cooldown_after", "0")
        result = 1
        """
    )


def attempt_of(server, cause, address):
    """Return what the form shows an administrator of the newest attempt of a cause and address."""
    return SimpleNamespace(
        **server.shell(
            """
            attempt = env(user=2)["auth.attempt"].search(
                [("cause", "=", cause), ("remote_addr", "=", address)], limit=1)
            result = {
                "id": attempt.id, "remedy": attempt.cause_remedy, "can_open": attempt.fix_open,
                "told": attempt.case_explanation, "integration": attempt.integration_id.id}
            """,
            cause=cause,
            address=address,
        )
    )


@pytest.mark.parametrize("name", PROOF)
def test_proof(server, pat, name):
    """An administrator and an integrator see the same cause in all three places."""
    case = PROOF[name]
    server.expect_log(r'FATAL:  database "\w+" does not exist')
    number = next(_numbers)
    shop = make(server, f"proof_{number}")
    at = Line(server, source=f"127.8.1.{number}")
    rpc(server, shop, at)  # it worked, from here
    server.shell(
        "from datetime import timedelta\nfrom odoo import fields\n"
        "now = fields.Datetime.now()\nkey = env['auth.integration.key'].browse(k)\n"
        "integration = env['auth.integration'].browse(i)\nresult = 1\n" + case.change,
        k=shop.key,
        i=shop.id,
    )
    with pytest.raises((Refused, xmlrpc.client.Fault)):
        case.call(server, shop, at)
    # The form of the attempt
    attempt = attempt_of(server, case.cause, at.source)
    assert case.told in attempt.told, attempt
    assert (attempt.integration == shop.id) == case.certain == attempt.can_open, attempt
    # Diagnose
    lines = diagnose(server, shop)
    diagnosed = found(lines, "failed" if case.certain else "warning")[case.cause]
    assert diagnosed["remedy"] == attempt.remedy
    assert case.told in found_attempt(lines, attempt.id)["seen"]
    assert diagnosed["fix"] == case.fix
    # doctor.py
    settings = {"login": shop.login, "secret": shop.secret, **(case.settings or {})}
    step = doctor(server, **settings, session_id=getattr(shop, "session_id", ""))
    assert step["cause"] == (case.doctor or case.cause), step
    assert case.remedy in step["remedy"], step


def found_attempt(lines, attempt_id):
    """The line of Diagnose that leads to an attempt."""
    [line] = [
        line for line in lines
        if (line["res_model"], line["res_id"]) == ("auth.attempt", attempt_id)
    ]
    return line


def test_proof_login_wrong(server):
    """The attempt of a misspelled login has no integration, but leads to the one that was meant."""
    shop = make(server, "proof_login")
    with pytest.raises(Refused):
        Authenticate(server, "prof_login", shop.secret, Line(server, source="127.8.2.1")).call()
    attempt = attempt_of(server, "user_unknown", "127.8.2.1")
    assert "“proof_login”" in attempt.told and attempt.can_open
    assert "“proof_login”" in found(diagnose(server, shop))["user_unknown"]["seen"]
    step = doctor(server, "prof_login", shop.secret)
    assert step["cause"] == "login_wrong" and "proof_login" in step["meaning"]


def test_the_button_allows_the_refused_address(server):
    """Integration administrators can use it; the next call is accepted, the history shows it."""
    shop = make(server, "proof_button", allowed_networks="192.0.2.0/24")
    at = Line(server, source="127.8.2.2")
    with pytest.raises(Refused):
        json2(server, shop, at)
    line = found(diagnose(server, shop))["address_not_allowed"]
    assert line["fix"] == "add_network"
    history = server.shell(
        """
        from odoo.exceptions import AccessError, UserError
        owner = env["res.users"].create({"name": "Otto", "login": "otto"})
        integration = env["auth.integration"].browse(i)
        integration.owner_ids += owner
        line = env["auth.integration.diagnosis.line"].browse(line)
        try:
            line.with_user(owner).action_fix()
            result = "an owner allowed an address"
        except (AccessError, UserError):
            line.with_user(2).action_fix()
            result = " ".join(integration.message_ids.mapped("body"))
        """,
        i=shop.id,
        line=line["id"],
    )
    assert "allowed calls from 127.8.2.2" in history
    json2(server, shop, at)
