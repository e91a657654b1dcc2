"""What callers send that is unusual: keys where they do not belong, texts without end, addresses
that prove nothing and secrets that are no text.
"""

import json
import re
import xmlrpc.client

import pytest

from callers.clients import Json2, Line
from worlds.rights import INTEGRATION, KEY, USERS, World, answer_of


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


PASTED = "f00dfeed" * 5
TEXTS = {
    "a key's description": ("owner", INTEGRATION, "issue_key", ["$open"], f"for {PASTED} x"),
    "an integration's name": ("manager", INTEGRATION, "write", ["$open"], {"name": f"o {PASTED}"}),
    "its purpose": (
        "manager", INTEGRATION, "write", ["$open"], {"purpose": f"o\n{PASTED.upper()}"},
    ),
    "its documentation": (
        "manager", INTEGRATION, "write", ["$open"],
        {"documentation_url": f"https://x.example/?key={PASTED}"},
    ),
    "a comment among its networks": (
        "manager", INTEGRATION, "write", ["$open"], {"allowed_networks": f"127.0.0.1 # {PASTED}"},
    ),
    "an integration's code": (
        "manager", INTEGRATION, "create", {"name": "ok", "code": PASTED},
    ),
    "a policy's name": ("manager", "auth.integration.policy", "create", {"name": f"a {PASTED}"}),
    "a policy's name in a language": (
        "manager", "auth.integration.policy", "update_field_translations", ["$policy"], "name",
        {"en_US": PASTED},
    ),
    "a finding's acceptance": (
        "manager", "auth.integration.finding.acceptance", "create",
        {"finding_id": 7, "reason": f"because {PASTED}", "finding_text": PASTED},
    ),
    "a revocation's reason": (
        "owner", "auth.integration.revoke", "create",
        {"key_ids": [[6, 0, ["$open_key"]]], "reason": f"leaked: {PASTED}"},
    ),
    "an issue dialog": (
        "owner", "auth.integration.issue", "create",
        {"integration_id": "$open", "name": PASTED, "expires_at": "2026-12-24 00:00:00"},
    ),
    "a personal key": ("employee", "res.users.apikeys.description", "create",
                       {"name": "ok", "duration": "1"}),
}


def count_pasted(world):
    found = []
    for table, column in (
        ("auth_integration_key", "name"), ("res_users_apikeys", "name"),
        ("auth_integration_key", "end_reason"),
        ("auth_integration", "name"), ("auth_integration", "purpose"),
        ("auth_integration", "documentation_url"), ("auth_integration", "allowed_networks"),
        ("auth_integration_policy", "name::text"),
        ("auth_integration_finding_acceptance", "reason"),
        ("auth_integration_finding_acceptance", "finding_text"),
        ("auth_integration_revoke", "reason"), ("auth_integration_issue", "name"),
        ("auth_integration_postpone", "reason"), ("auth_integration_rotation", "postponed_reason"),
        ("mail_message", "body"), ("mail_tracking_value", "new_value_char"),
        ("mail_tracking_value", "new_value_text"), ("res_users", "login"), ("res_partner", "name"),
    ):
        rows = world.server.sql(
            f"SELECT count(*) AS n FROM {table} WHERE {column} ILIKE %s", [f"%{PASTED}%"]
        )
        if rows[0]["n"]:
            found.append((table, column))
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_a_pasted_key_is_not_kept(world, name):
    who, *call = TEXTS[name]
    answer = answer_of(world.by_key, who, *call)
    # As a code it would be a login: then nothing is made at all.
    assert isinstance(answer, RuntimeError) is (name == "an integration's code")
    assert not count_pasted(world)


def test_a_pasted_key_is_not_kept_as_a_reason(world):
    """The record says that something was removed."""
    issued = world.by_key("owner", INTEGRATION, "issue_key", ["$open"], "for a reason")
    [key] = world.by_key("owner", KEY, "search", [("prefix", "=", issued["prefix"])])
    world.by_key("owner", KEY, "action_rotate_now", [key])
    [rotation] = world.by_key(
        "owner", "auth.integration.rotation", "search", [("old_key_id", "=", key)]
    )
    [[old_end]] = [
        row.values() for row in world.server.sql(
            "SELECT (expires_at - interval '1 hour')::text FROM auth_integration_key WHERE id = %s",
            [key],
        )
    ]
    world.by_key(
        "owner", "auth.integration.rotation", "postpone", [rotation], old_end[:19], f"x {PASTED}"
    )
    world.by_key("owner", KEY, "revoke", [key], f"it is {issued['key']}, and {PASTED}")
    assert not count_pasted(world)
    [row] = world.server.sql("SELECT end_reason FROM auth_integration_key WHERE id = %s", [key])
    assert row["end_reason"] == "it is [removed], and [removed]"


LONG = {
    "issue": ("owner", INTEGRATION, "issue_key", ["$open"], "x" * 3_000_000),
    "issue in the dialog": (
        "owner", "auth.integration.issue", "create",
        {"integration_id": "$open", "name": "x" * 3_000_000},
    ),
    "revoke": ("owner", KEY, "revoke", ["$open_key"], "x" * 3_000_000),
    "revoke in the dialog": (
        "owner", "auth.integration.revoke", "create",
        {"key_ids": [[6, 0, ["$open_key"]]], "reason": "x" * 3_000_000},
    ),
    "name": ("manager", INTEGRATION, "write", ["$open"], {"name": "x" * 201}),
}


@pytest.mark.parametrize("name", LONG)
def test_a_text_without_end_is_refused(world, name):
    who, *call = LONG[name]
    before = world.state()
    answer = answer_of(world.by_key, who, *call)
    assert isinstance(answer, RuntimeError) and "UserError" in str(answer)
    assert "200 characters" in str(answer) or "500 characters" in str(answer)
    assert world.state() == before


@pytest.mark.parametrize("name", [["x"], {"a": 1}], ids=str)
def test_a_description_is_text(world, name):
    answer = answer_of(world.by_key, "owner", INTEGRATION, "issue_key", ["$open"], name)
    assert isinstance(answer, RuntimeError) and "UserError" in str(answer)


def test_keys_are_limited(world):
    """Twenty, or what Settings say; also when many ask at once. A rotation replaces a key."""
    from concurrent.futures import ThreadPoolExecutor

    made = world.by_key("manager", INTEGRATION, "create", {"name": "many", "code": "many"})
    for _number in range(17):
        world.by_key("manager", INTEGRATION, "issue_key", [made])

    def issue(_number):
        return answer_of(world.by_key, "manager", INTEGRATION, "issue_key", [made])

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(issue, range(6)))
    given = [answer for answer in answers if isinstance(answer, dict)]
    assert len(given) == 3, answers
    assert all("UserError" in str(answer) for answer in answers if answer not in given)
    [key] = world.by_key("manager", KEY, "search", [("prefix", "=", given[0]["prefix"])])
    world.by_key("manager", KEY, "action_rotate_now", [key])
    world.server.shell(
        "rotation = env['auth.integration.rotation'].search([('old_key_id', '=', key)])\n"
        "rotation._claim()", key=key,
    )
    world.by_key("manager", KEY, "revoke", [key], "enough")
    # The replacement has its place now.
    assert isinstance(issue(0), RuntimeError)
    world.server.sql(
        "INSERT INTO ir_config_parameter (key, value) VALUES"
        " ('auth_integration.max_active_keys', '21')"
    )
    world.server.restart()
    assert isinstance(issue(0), dict) and isinstance(issue(0), RuntimeError)


# Addresses that prove nothing --------------------------------------------------------------------

FORWARDED = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Host": "odoo.example"}


def test_an_address_that_nobody_vouches_for(world):
    """With ``proxy_mode`` off, whoever comes through the proxy has its address: it neither counts
    as second factor nor becomes known."""
    server = world.server
    made = world.by_key("manager", INTEGRATION, "create", {"name": "proxied", "code": "proxied"})
    issued = world.by_key("manager", INTEGRATION, "issue_key", [made])
    [key] = world.by_key("manager", KEY, "search", [("prefix", "=", issued["prefix"])])

    def client(**headers):
        return Json2(server, issued["key"], headers=headers)

    def known():
        return server.sql(
            "SELECT address FROM auth_integration_key_address WHERE key_id = %s", [key]
        )

    client(**FORWARDED).call(USERS, "context_get")
    assert known() == []
    client().call(USERS, "context_get")
    assert known() == [{"address": "127.0.0.1"}]
    server.sql(
        "UPDATE auth_integration_key_address SET first_seen = first_seen - interval '30 days'"
        " WHERE key_id = %s", [key],
    )
    policy = world.by_key(
        "manager", "auth.integration.policy", "create",
        {"name": "fetches", "delivery": "self_service"},
    )
    world.by_key("manager", INTEGRATION, "write", [made], {"policy_id": policy})
    world.by_key("manager", KEY, "action_rotate_now", [key])
    with pytest.raises(RuntimeError, match="through a proxy"):
        client(**FORWARDED).call(KEY, "rotate")
    assert len(client().call(KEY, "rotate")["key"]) == 40


# Secrets that are no text ------------------------------------------------------------------------

NO_TEXTS = {
    "list": ["x"], "dict": {"a": 1}, "number": 5, "None": None, "True": True, "bytes": b"x",
    "empty list": [], "list of lists": [["x"]],
}


def without_chance(text):
    """The lines of an answer without what differs from call to call, and between stock and us."""

    def hide_stock(found):
        return found[0] if "/addons/auth_integration/" in found[0] else "File"

    text = re.sub(r'File \\*"[^"]*", line \d+', hide_stock, text)
    text = re.sub(r"0x[0-9a-f]+|call=[\d.-]+|live_\w+", "", text)
    return [
        line.strip() for line in text.replace("\\n", "\n").splitlines()
        if not re.match(r"\s*[~^]+\s*$", line)
    ]


def raw_xmlrpc(server, path, method, args):
    """The status and the lines of an answer over XML-RPC."""
    body = xmlrpc.client.dumps(tuple(args), method, allow_none=True)
    status, _headers, answer = Line(server).post(path, body, {"Content-Type": "text/xml"})
    try:
        said = repr(xmlrpc.client.loads(answer)[0])
    except xmlrpc.client.Fault as fault:
        said = f"{fault.faultCode} {fault.faultString}"
    return status, without_chance(said)


def raw_jsonrpc(server, path, params):
    """The status and the lines of an answer over JSON-RPC."""
    body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})
    status, _headers, answer = Line(server).post(path, body, {"Content-Type": "application/json"})
    answer = json.loads(answer)
    return status, without_chance(json.dumps(answer.get("error", answer)))


def raw_answers(server, uid, login, secret):
    """What every protocol answers to a secret; JSON knows no bytes."""
    answers, json_knows_it = {}, not isinstance(secret, bytes)
    for service, method, args in (
        ("common", "authenticate", [server.db, login, secret, {}]),
        ("common", "login", [server.db, login, secret]),
        ("object", "execute_kw", [server.db, uid, secret, USERS, "context_get", []]),
    ):
        for path in ("/xmlrpc/2/", "/xmlrpc/"):
            answers[path + service + method] = raw_xmlrpc(server, path + service, method, args)
        if json_knows_it:
            params = {"service": service, "method": method, "args": args}
            answers["jsonrpc" + method] = raw_jsonrpc(server, "/jsonrpc", params)
    if json_knows_it:
        params = {"db": server.db, "login": login, "password": secret}
        answers["session"] = raw_jsonrpc(server, "/web/session/authenticate", params)
    return answers


@pytest.mark.parametrize("name", NO_TEXTS)
def test_a_secret_that_is_no_text(world, stock_server, name):
    """The answer is stock's to a wrong password, and shows nothing of this add-on, to people and
    integrations. Stock's own to this, an error, tells that there is such a user."""
    for server in (stock_server, world.server):  # Odoo's own limit would answer instead
        server.shell("env['ir.config_parameter'].set_param('base.login_cooldown_after', '0')")
    theirs = raw_answers(stock_server, 2, "admin", "wrong")
    for uid, login in ((2, "admin"), (world.people["shop"][0], "shop")):
        ours = raw_answers(world.server, uid, login, NO_TEXTS[name])
        assert "/addons/auth_integration/" not in json.dumps(ours)
        if login == "admin":
            for call, (status, lines) in ours.items():
                assert status == theirs[call][0]
                assert set(lines) <= set(theirs[call][1]), call
