"""In whose presence an act is done: a session is asked to confirm, a credential is not."""

import pytest

from callers.clients import Json2, Jsonrpc, Xmlrpc
from worlds.rights import INTEGRATION, KEY, PASSWORD, USERS, World, answer_of

IDENTITY = "IdentityCheckRequired"


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


EVIL = "https://evil.example/"
# What a browser left alone could be used for: by whom, and the call.
ACTS = {
    "issue": ("owner", INTEGRATION, "issue_key", ["$open"]),
    "revoke": ("owner", KEY, "revoke", ["$open_key"], "for fun"),
    "rotate": ("owner", KEY, "action_rotate_now", ["$open_key"]),
    "rotate and show": ("owner", KEY, "action_rotate", ["$open_key"]),
    "cancel a rotation": (
        "owner", "auth.integration.rotation", "action_cancel", ["$rotation"],
    ),
    "remove the second factor": ("owner", INTEGRATION, "action_remove_totp", ["$shop"]),
    "allow every network": ("manager", INTEGRATION, "write", ["$shop"], {"allowed_networks": ""}),
    "allow a wider network": (
        "manager", INTEGRATION, "web_save", ["$shop"],
        {"allowed_networks": "10.0.0.0/7\n127.0.0.1"}, {},
    ),
    "allow every channel": ("manager", INTEGRATION, "write", ["$shop"], {"allowed_channels": ""}),
    "allow another channel": (
        "manager", INTEGRATION, "write", ["$shop"], {"allowed_channel_http": True},
    ),
    "choose a wider policy": ("manager", INTEGRATION, "write", ["$open"], {"policy_id": "$policy"}),
    "choose a wider policy, from there": (
        "manager", "auth.integration.policy", "write", ["$policy"],
        {"integration_ids": [[4, "$open"]]},
    ),
    "loosen the policy": (
        "settings", "auth.integration.policy", "write", ["$default_policy"],
        {"max_age_days": 999},
    ),
    "set a target": ("manager", INTEGRATION, "write", ["$open"], {"webhook_url": EVIL}),
    "set an alert target": ("manager", INTEGRATION, "write", ["$open"], {"alert_url": EVIL}),
    "set the company's alert target": (
        "settings", "res.company", "write", ["$company"], {"alert_url": EVIL},
    ),
    "set the company's alert target in Settings": (
        "settings", "res.config.settings", "web_save", [],
        {"auth_integration_alert_url": EVIL}, {},
    ),
    "set a target, from the policy": (
        "manager", "auth.integration.policy", "write", ["$default_policy"],
        {"integration_ids": [[1, "$open", {"webhook_url": EVIL}]]},
    ),
    "set a target at once": (
        "manager", INTEGRATION, "create",
        {"name": "x", "code": "x", "webhook_url": EVIL, "owner_ids": [[4, "$me_owner"]]},
    ),
    "import a target": (
        "manager", INTEGRATION, "load", ["id", "webhook_url"],
        [["auth_integration_test.open", EVIL]],
    ),
    "name an owner": (
        "manager", INTEGRATION, "write", ["$open"], {"owner_ids": [[4, "$me_second"]]},
    ),
    "take a user over": (
        "manager", INTEGRATION, "create", {"name": "y", "code": "y", "user_id": "$spare"},
    ),
    "take another user": ("manager", INTEGRATION, "write", ["$open"], {"user_id": "$spare"}),
    "take a user over, from the user": (
        "settings", USERS, "write", ["$spare"], {"integration_ids": [[4, "$open"]]},
    ),
    "delete": ("manager", INTEGRATION, "unlink", ["$open"]),
    "remove a password": ("manager", USERS, "action_remove_password", ["$open_user"]),
}
WIZARDS = {
    "revoke in the dialog": (
        "owner", "auth.integration.revoke", {"key_ids": [[6, 0, ["$open_key"]]], "reason": "fun"},
        "action_revoke",
    ),
    "issue in the dialog": (
        "owner", "auth.integration.issue",
        {"integration_id": "$open", "name": "x", "expires_at": "2026-12-24 00:00:00"},
        "action_issue",
    ),
}


@pytest.fixture(scope="module")
def named(world):
    """Give the integration an external id, as an import uses."""
    world.server.shell(
        "env['ir.model.data'].create({'module': 'auth_integration_test', 'name': 'open',"
        " 'model': 'auth.integration', 'res_id': id})",
        id=world.ids["open"],
    )


def is_asked(answer):
    if isinstance(answer, dict) and answer.get("messages"):  # of an import
        return "identity" in str(answer["messages"])
    if isinstance(answer, dict):
        return answer.get("res_model") == "res.users.identitycheck"
    return isinstance(answer, RuntimeError) and IDENTITY in str(answer)


@pytest.mark.parametrize("name", ACTS)
def test_a_session_is_asked_who_sits_there(world, named, name):
    who, *call = ACTS[name]
    session, before = world.session(who), world.state()
    answer = answer_of(session.call, *world.filled(call))
    assert is_asked(answer), answer
    assert world.state() == before


@pytest.mark.parametrize("name", WIZARDS)
def test_a_dialog_asks_who_sits_there(world, name):
    who, model, values, button = WIZARDS[name]
    session = world.session(who)
    [wizard] = session.call(model, "create", [world.filled(values)])
    before = world.state()
    assert is_asked(answer_of(session.call, model, button, [wizard]))
    assert world.state() == before


def test_once_confirmed_a_session_may(world):
    """For ten minutes, as with everything that core asks it for."""
    session = world.session("manager")
    assert session.call_checked(INTEGRATION, "confirm_identity")["type"] == (
        "ir.actions.act_window_close"
    )
    session.call(INTEGRATION, "write", [world.ids["shop"]], {"allowed_networks": "126.0.0.0/7"})
    issued = session.call(INTEGRATION, "issue_key", [world.ids["open"]])
    assert len(issued["key"]) == 40
    other = world.session("manager")
    before = world.state()
    assert is_asked(answer_of(other.call, INTEGRATION, "issue_key", [world.ids["open"]]))
    assert world.state() == before


def test_a_session_of_the_superuser_is_asked(world):
    """An administrator may become the superuser, whom nobody asks for any right."""
    session = world.session("settings")
    cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
    status, headers, _body = session.line.request("GET", "/web/become", None, {"Cookie": cookie})
    assert status == 303
    session._keep_cookies(headers)
    [me] = session.call(USERS, "read", [session.call(USERS, "context_get")["uid"]], ["login"])
    assert me["login"] == "__system__"
    before = world.state()
    for call in (
        (INTEGRATION, "issue_key", ["$open"]),
        (INTEGRATION, "write", ["$shop"], {"allowed_networks": ""}),
        (KEY, "revoke", ["$open_key"], "for fun"),
    ):
        assert is_asked(answer_of(session.call, *world.filled(call)))
    assert world.state() == before


def test_what_narrows_is_not_asked_for(world):
    session = world.session("manager")
    for values in (
        {"allowed_networks": "127.0.0.0/8"}, {"allowed_channels": "jsonrpc,json2"},
        {"name": "Shop"}, {"purpose": "sells"}, {"webhook_url": False},
        {"policy_id": world.ids["narrow_policy"]},
    ):
        assert session.call(INTEGRATION, "write", [world.ids["shop"]], values) is True
    assert session.call(INTEGRATION, "create", {"name": "fresh", "code": "fresh"})


@pytest.mark.parametrize("protocol", [Xmlrpc, Jsonrpc])
def test_a_call_with_its_credential_is_not_asked(world, protocol):
    """By key or by password, over RPC and as a bearer."""
    uid, key = world.people["owner"]
    for secret in (key, PASSWORD):
        issued = protocol(world.server, uid, secret).call(
            INTEGRATION, "issue_key", [world.ids["open"]]
        )
        assert len(issued["key"]) == 40
    issued = Json2(world.server, key).call(INTEGRATION, "issue_key", ids=[world.ids["open"]])
    assert len(issued["key"]) == 40


def test_private_workers_have_no_door(world):
    session = world.session("settings")
    for model, method in (
        (KEY, "_revoke"), (KEY, "_end"), (INTEGRATION, "_issue_key"), (KEY, "_issue"),
        ("auth.integration.rotation", "_claim"),
    ):
        with pytest.raises(RuntimeError, match="AccessError|AttributeError"):
            session.call(model, method, [world.ids["open_key"]], "x")
