"""Who may do what, and in whose presence: each act tried over RPC and over a web session."""

import json
import re
import xmlrpc.client

import pytest

from callers.clients import Json2, Jsonrpc, Line, Refused, Session, Xmlrpc

PASSWORD = "a good password"
INTEGRATION, KEY, USERS = "auth.integration", "auth.integration.key", "res.users"
IDENTITY = "IdentityCheckRequired"

MAKE_WORLD = """
    from datetime import datetime, timedelta
    soon = datetime.now() + timedelta(days=1)
    people, ids = {}, {}

    def person(login, *groups):
        user = env["res.users"].create({
            "name": login, "login": login, "password": password,
            "group_ids": [(6, 0, [env.ref(group).id for group in groups])]})
        people[login] = [user.id, env["res.users.apikeys"].with_user(user).sudo()._generate(
            None, login, soon)]
        return user

    def integration(code, owner, **values):
        made = env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(6, 0, owner.ids)], **values})
        ids[code] = made.id
        ids[code + "_user"] = made.user_id.id
        return made

    person("portal", "base.group_portal")
    person("employee", "base.group_user")
    person("access_rights", "base.group_user", "base.group_erp_manager")
    person("manager", "base.group_user", "auth_integration.auth_integration_group_manager")
    person("settings", "base.group_user", "base.group_system")
    owner = person("owner", "base.group_user")
    person("second", "base.group_user")
    policy = env["auth.integration.policy"].create({"name": "another"})
    shop = integration("shop", owner, allowed_networks="10.0.0.0/8\\n127.0.0.0/8",
                       allowed_channels="jsonrpc,json2,xmlrpc")
    shop.totp_enrolled_at = datetime.now()
    open_one = integration("open", owner)
    integration("foreign", person("third", "base.group_user"))
    privileged = integration("privileged", owner)
    privileged.user_id.group_ids = [(4, env.ref("base.group_system").id)]
    open_one.user_id.password = "from before"
    spare = env["res.users"].create({"name": "spare", "login": "spare"})
    for name in ("shop", "open", "privileged"):
        ids[name + "_key"] = 0
        issued = env["auth.integration"].browse(ids[name]).issue_key()
        people[name] = [ids[name + "_user"], issued["key"]]
        ids[name + "_key"] = env["auth.integration.key"].search(
            [("prefix", "=", issued["prefix"])]).id
    rotating = integration("rotating", owner)
    rotating.issue_key()
    rotating.key_ids.action_rotate_now()
    ids["rotation"] = env["auth.integration.rotation"].search(
        [("integration_id", "=", rotating.id)]).id
    ids.update(policy=policy.id, company=env.company.id, default_policy=shop.policy_id.id,
               spare=spare.id,
               **{"me_" + login: uid for login, (uid, secret) in people.items()},
               system=env.ref("base.group_system").id)
    env["auth.integration.key.address"].sudo().create({
        "key_id": ids["shop_key"], "address": "192.0.2.77", "first_seen": soon, "last_seen": soon})
    result = {"people": people, "ids": ids}
"""
STATE = (
    "SELECT id, name, code, active, user_id, webhook_url, alert_url, allowed_networks,"
    " allowed_channels, totp_enrolled_at, totp_locked_until, policy_id FROM auth_integration"
    " ORDER BY id",
    "SELECT * FROM auth_integration_owner_rel ORDER BY 1, 2",
    "SELECT id, ended_at, expires_at, end_reason FROM auth_integration_key ORDER BY id",
    "SELECT id, user_id FROM res_users_apikeys ORDER BY id",
    "SELECT id, active, password FROM res_users ORDER BY id",
    "SELECT id, cancelled_at FROM auth_integration_rotation ORDER BY id",
    "SELECT id, alert_url FROM res_company ORDER BY id",
    "SELECT id, max_age_days, delivery FROM auth_integration_policy ORDER BY id",
)


class World:
    """The people, their keys, and the ids of what there is, by name."""

    def __init__(self, server):
        self.server = server
        made = server.shell(MAKE_WORLD, password=PASSWORD)
        self.people, self.ids = made["people"], made["ids"]

    def state(self):
        return [self.server.sql(query) for query in STATE]

    def by_key(self, who, model, method, *args, **kwargs):
        client = Jsonrpc(self.server, *self.people[who])
        return client.call(model, method, *self.filled(args), **self.filled(kwargs))

    def session(self, who):
        return Session(self.server, who, PASSWORD)

    def filled(self, value):
        if isinstance(value, str) and value.startswith("$"):
            return self.ids[value[1:]]
        if isinstance(value, list | tuple):
            return [self.filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        return value


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


def answer_of(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except (RuntimeError, Refused) as error:
        return error


# In whose presence -------------------------------------------------------------------------------

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
    "choose a policy": ("manager", INTEGRATION, "write", ["$open"], {"policy_id": "$policy"}),
    "choose a policy, from there": (
        "manager", "auth.integration.policy", "write", ["$policy"],
        {"integration_ids": [[4, "$open"]]},
    ),
    "loosen the policy": (
        "manager", "auth.integration.policy", "write", ["$policy"], {"max_age_days": 999},
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


# Who may -----------------------------------------------------------------------------------------

PRIVILEGED = {
    "archive": (INTEGRATION, "action_archive", ["$privileged"]),
    "archive by write": (INTEGRATION, "write", ["$privileged"], {"active": False}),
    "networks": (INTEGRATION, "write", ["$privileged"], {"allowed_networks": "10.0.0.0/8"}),
    "channels": (INTEGRATION, "write", ["$privileged"], {"allowed_channel_http": True}),
    "environment": (INTEGRATION, "write", ["$privileged"], {"environment": "test"}),
    "code": (INTEGRATION, "write", ["$privileged"], {"code": "other"}),
    "second-factor lock": (INTEGRATION, "write", ["$privileged"], {"totp_locked_until": False}),
    "policy": (INTEGRATION, "write", ["$privileged"], {"policy_id": "$policy"}),
    "policy, from there": (
        "auth.integration.policy", "write", ["$policy"], {"integration_ids": [[4, "$privileged"]]},
    ),
    "delete": (INTEGRATION, "unlink", ["$privileged"]),
    "rotate": (KEY, "action_rotate_now", ["$privileged_key"]),
    "issue": (INTEGRATION, "issue_key", ["$privileged"]),
}


@pytest.mark.parametrize("name", PRIVILEGED)
def test_a_privileged_integration_is_settings_business(world, name):
    before = world.state()
    for who in ("manager", "owner", "access_rights"):
        answer = answer_of(world.by_key, who, *PRIVILEGED[name])
        assert isinstance(answer, RuntimeError), (who, answer)
        assert world.state() == before, who


def test_a_privileged_integration_may_be_described(world):
    """By managers; and its keys are revoked by any owner or manager."""
    values = {"name": "Privileged", "purpose": "x", "documentation_url": "https://docs.example"}
    assert world.by_key("manager", INTEGRATION, "write", ["$privileged"], values)
    for who in ("owner", "manager"):
        issued = world.by_key("settings", INTEGRATION, "issue_key", ["$privileged"])
        [key] = world.by_key("settings", KEY, "search", [("prefix", "=", issued["prefix"])])
        assert world.by_key(who, KEY, "revoke", [key], "leaked") is True
        answer = answer_of(world.by_key, "manager", KEY, "action_undo_revocation", [key])
        assert isinstance(answer, RuntimeError)


def test_a_password_is_removed_by_managers_only(world):
    """From the user and from the issue, whatever the protocol of the call."""
    call = ("auth.integration.finding", "search", [
        ("code", "=", "password_set"), ("integration_id", "=", world.ids["open"])])
    [finding] = world.by_key("owner", *call)
    before = world.state()
    for who in ("portal", "employee", "second", "owner", "access_rights"):
        for model, id_ in ((USERS, world.ids["open_user"]), (call[0], finding)):
            answer = answer_of(world.by_key, who, model, "action_remove_password", [id_])
            assert isinstance(answer, RuntimeError), (who, answer)
    assert world.state() == before
    assert world.by_key("manager", call[0], "action_remove_password", [finding]) is True
    assert world.state() != before
    assert world.by_key("owner", *call) == []


RETIRED = """
    from datetime import datetime
    record = env["auth.integration"].browse(integration)
    prefixes = [record.issue_key()["prefix"] for _number in range(2)]
    key = env["auth.integration.key"].search([("prefix", "=", prefixes[0])])
    key._revoke("retired")
    now = datetime.now().replace(microsecond=0)
    row = dict.fromkeys(("auth_type", "login", "user_id", "attribution", "user_agent", "reference"))
    env["auth.attempt"]._upsert(row | {
        "outcome": "failure", "cause": "key_revoked", "channel": "json2", "key_id": key.id,
        "database": env.cr.dbname, "integration_id": integration, "remote_addr": "192.0.2.9",
    }, 1, now, now)
    result = key.id
"""


def test_a_retired_host_is_dismissed_by_owners_and_managers_only(world):
    """Neither by an owner of another integration, nor for an integration of Settings."""
    model = "auth.integration.finding"
    for name, refused, allowed in (
        ("rotating", ("portal", "employee", "second", "third", "access_rights", "open"), "owner"),
        ("privileged", ("second", "owner", "manager"), "settings"),
    ):
        key = world.server.shell(RETIRED, integration=world.ids[name])
        domain = [("code", "=", "key_expired_still_used"), ("key_id", "=", key)]
        [finding] = world.by_key("settings", model, "search", domain)
        for who in refused:
            answer = answer_of(world.by_key, who, model, "action_dismiss", [finding])
            assert isinstance(answer, RuntimeError), (name, who, answer)
            answer = answer_of(
                world.by_key, who, KEY, "write", [key], {"calls_dismissed_at": "2099-01-01"})
            assert isinstance(answer, RuntimeError), (name, who, answer)
        assert world.by_key("settings", model, "search", domain) == [finding]
        assert world.by_key(allowed, model, "action_dismiss", [finding]) is True
        assert world.by_key("settings", model, "search", domain) == []


def test_nobody_writes_what_is_maintained(world):
    before = world.state()
    for field, value in (
        ("totp_locked_until", "2020-01-01 00:00:00"), ("totp_enrolled_at", False),
        ("webhook_secret_set_at", "2020-01-01 00:00:00"), ("user_archived_along", True),
    ):
        answer = answer_of(world.by_key, "manager", INTEGRATION, "write", ["$shop"], {field: value})
        assert isinstance(answer, RuntimeError), field
    assert world.state() == before


def test_an_archived_user_is_restored_by_who_may(world):
    """An owner does not undo what an administrator did on the user form, and a manager neither
    by archiving and restoring the integration."""
    made = world.by_key("manager", INTEGRATION, "create", {"name": "r", "code": "r"})
    world.by_key("manager", INTEGRATION, "write", [made], {"owner_ids": [[4, "$me_owner"]]})
    [row] = world.by_key("manager", INTEGRATION, "read", [made], ["user_id"])
    user = row["user_id"][0]

    def active():
        [row] = world.server.sql("SELECT active FROM res_users WHERE id = %s", [user])
        return row["active"]

    world.by_key("access_rights", USERS, "write", [user], {"active": False})
    for who in ("owner", "manager"):
        answer = answer_of(world.by_key, who, INTEGRATION, "action_restore_user", [made])
        assert isinstance(answer, RuntimeError) and not active(), who
    world.by_key("manager", INTEGRATION, "write", [made], {"active": False})
    world.by_key("manager", INTEGRATION, "write", [made], {"active": True})
    assert not active()
    world.by_key("access_rights", USERS, "write", [user], {"active": True})
    assert active()
    # Archived as an integration: restored as one, by a manager and by nobody else.
    world.by_key("manager", INTEGRATION, "action_archive", [made])
    assert not active()
    for who, model, method, id_ in (
        ("owner", INTEGRATION, "action_unarchive", made),
        ("owner", INTEGRATION, "action_restore_user", made),
        ("access_rights", USERS, "action_unarchive", user),
    ):
        answer = answer_of(world.by_key, who, model, method, [id_])
        assert isinstance(answer, RuntimeError) and not active(), (who, method)
    world.by_key("manager", INTEGRATION, "action_unarchive", [made])
    assert active()
    # What an administrator archived once more on the user form stays archived.
    world.by_key("manager", INTEGRATION, "action_archive", [made])
    world.by_key("access_rights", USERS, "write", [user], {"active": False})
    world.by_key("manager", INTEGRATION, "action_unarchive", [made])
    assert not active()


def test_no_way_to_restore_whom_an_administrator_archived(world):
    """By a manager, who has another integration pretend to have archived the user."""
    user = world.server.shell(
        "result = env['res.users'].create({'name': 'a', 'login': 'a', 'active': False}).id"
    )
    trick = {"default_user_archived_along": True}
    made = world.by_key(
        "manager", INTEGRATION, "create", {"name": "a", "code": "a", "user_id": user}, context=trick
    )
    other = world.by_key("manager", INTEGRATION, "create", {"name": "b", "code": "b"})
    world.by_key("manager", INTEGRATION, "write", [made], {"active": False})
    world.by_key("manager", INTEGRATION, "write", [made], {"active": True})
    world.by_key("manager", INTEGRATION, "unlink", [made])
    world.by_key("manager", INTEGRATION, "write", [other], {"active": False})
    world.by_key("manager", INTEGRATION, "write", [other], {"user_id": user})
    world.by_key("manager", INTEGRATION, "write", [other], {"active": True})
    [row] = world.server.sql("SELECT active FROM res_users WHERE id = %s", [user])
    assert not row["active"]


@pytest.mark.parametrize("login", ["employee", "portal", "second", "logged_in"])
def test_a_person_is_taken_over_by_settings_only(world, login):
    """Whoever has a password or has ever logged in, whichever way the user is named."""
    if login == "logged_in":
        user = world.server.shell(
            "user = env['res.users'].create({'name': 'l', 'login': 'l'})\n"
            "env['res.users.log'].with_user(user).sudo().create({})\n"
            "result = user.id"
        )
    else:
        user = world.ids[f"me_{login}"]
    before = world.state()
    for call in (
        (INTEGRATION, "create", {"name": "t", "code": "t", "user_id": user}),
        (INTEGRATION, "write", ["$open"], {"user_id": user}),
        ("auth.integration.policy", "write", ["$policy"],
         {"integration_ids": [[0, 0, {"name": "t", "code": "t", "user_id": user}]]}),
    ):
        answer = answer_of(world.by_key, "manager", *call)
        assert isinstance(answer, RuntimeError) and "Settings" in str(answer), answer
    assert world.state() == before


def test_an_owner_is_no_integration_user(world):
    before = world.state()
    for call in (
        (INTEGRATION, "create", {"name": "o", "code": "o", "user_id": "$me_owner"}),
        (INTEGRATION, "write", ["$open"], {"user_id": "$me_owner"}),
        (INTEGRATION, "write", ["$open"], {"owner_ids": [[4, "$shop_user"]]}),
        (USERS, "write", ["$me_owner"], {"integration_ids": [[4, "$open"]]}),
    ):
        answer = answer_of(world.by_key, "settings", *call)
        assert isinstance(answer, RuntimeError), answer
    assert world.state() == before


def test_an_owner_who_is_one_already_is_found(world):
    """From before this was refused: seen among the findings, and at the next save."""
    world.server.sql(
        "INSERT INTO auth_integration_owner_rel (integration_id, user_id) VALUES (%s, %s)",
        [world.ids["open"], world.ids["shop_user"]],
    )
    try:
        found = world.by_key(
            "manager", "auth.integration.finding", "search_read",
            [("code", "=", "owner_is_integration_user")], ["message", "integration_id", "user_id"],
        )
        assert [row["integration_id"][0] for row in found] == [world.ids["open"]]
        assert "open" in found[0]["message"] and "shop" in found[0]["message"]
        answer = answer_of(
            world.by_key, "manager", INTEGRATION, "write", ["$open"],
            {"owner_ids": [[4, "$me_second"]]},
        )
        assert isinstance(answer, RuntimeError)
    finally:
        world.server.sql(
            "DELETE FROM auth_integration_owner_rel WHERE user_id = %s", [world.ids["shop_user"]]
        )


# What is told ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["has_live_api_key", "api_key_flag", "archive_warning"])
def test_no_filter_tells_who_holds_a_key(world, field):
    """Not to employees: neither as filter, nor by a path, an order or a group."""
    leaf = [(field, "=", True)]
    for who in ("employee", "portal", "owner", "shop"):
        for call in (
            (USERS, "search", leaf), (USERS, "search_count", leaf), (USERS, "search_read", leaf),
            (USERS, "name_search", "", leaf), (USERS, "read", ["$me_owner"], [field]),
            (USERS, "formatted_read_group", [], [field], ["__count"]),
            (USERS, "formatted_read_group", leaf, [], ["__count"]),
            (USERS, "search", [], 0, 5, field),
            ("res.partner", "search", [(f"user_ids.{field}", "=", True)]),
            ("res.partner", "search", [("user_ids", "any", leaf)]),
            ("res.users.settings", "search", [(f"user_id.{field}", "=", True)]),
            (USERS, "export_data", ["$me_owner"], [field]),
            (USERS, "filtered_domain", ["$me_owner"], leaf),
        ):
            answer = answer_of(world.by_key, who, *call)
            assert isinstance(answer, RuntimeError), (who, call, answer)


@pytest.mark.parametrize(
    "path", ["api_key_record_ids", "integration_ids", "owned_integration_ids"]
)
def test_no_filter_tells_more_than_the_records(world, path):
    """Of users: whoever may not see a key or an integration does not find whose it is."""
    everybody = world.by_key("settings", USERS, "search", [(path, "!=", False)])
    hidden = {world.ids["me_third"], world.ids["foreign_user"]}
    assert hidden & set(everybody)
    for who in ("employee", "owner", "shop", "portal"):
        for leaf in (
            (path, "!=", False), ("id", "any", [(path, "!=", False)]), (path, "in", [1, 2, 3, 4]),
        ):
            answer = answer_of(world.by_key, who, USERS, "search", [leaf])
            assert isinstance(answer, RuntimeError) or not hidden & set(answer), (who, answer)


def test_restoring_a_user_tells_nothing_of_an_integration(world):
    made = world.by_key("manager", INTEGRATION, "create", {"name": "Hidden", "code": "hidden"})
    [row] = world.by_key("manager", INTEGRATION, "read", [made], ["user_id"])
    world.by_key("manager", INTEGRATION, "action_archive", [made])
    for who in ("employee", "portal", "owner"):
        for method, *values in (("write", {"active": True}), ("action_unarchive",)):
            answer = answer_of(world.by_key, who, USERS, method, row["user_id"][:1], *values)
            assert isinstance(answer, RuntimeError) and "Hidden" not in str(answer)


def test_the_holder_of_a_key_does_not_read_about_it(world):
    """Whoever stole it learns neither the addresses it is known from nor whom to fool."""
    hidden = ("192.0.2.77", world.ids["me_owner"])
    spec = {
        "owner_ids": {"fields": {"login": {}}}, "last_used_address": {}, "issued_by": {},
        "address_ids": {"fields": {"address": {}}},
    }
    for call in (
        ("auth.integration.key.address", "search_read", []),
        ("auth.integration.key.address", "search_count", [("address", "=like", "192%")]),
        (KEY, "read", ["$shop_key"], ["owner_ids", "last_used_address"]),
        (KEY, "search_read", []),
        (KEY, "search_count", [("owner_ids", "in", "$me_owner")]),
        (KEY, "web_read", ["$shop_key"], spec),
        (USERS, "web_read", ["$shop_user"], {"api_key_record_ids": {"fields": spec}}),
        (USERS, "search_count", [("api_key_record_ids.address_ids.address", "=like", "192%")]),
        (USERS, "export_data", ["$shop_user"], ["api_key_record_ids/address_ids/address"]),
    ):
        answer = answer_of(world.by_key, "shop", *call)
        assert not answer or isinstance(answer, RuntimeError) or not any(
            str(text) in json.dumps(answer) for text in (*hidden, "issued_by\": [")
        ), (call, answer)


def test_a_session_that_a_takeover_ended_stays_ended(world):
    """Also when the user is released: by another user, or with the integration."""
    for release in (("write", {"user_id": "$spare"}), ("unlink",)):
        user = world.server.shell(
            "user = env['res.users'].create({'name': n, 'login': n, 'password': n,"
            " 'group_ids': [(4, env.ref('base.group_user').id)]})\nresult = user.id",
            n=f"person {release[0]}",
        )
        login = f"person {release[0]}"
        session = Session(world.server, login, login)
        assert session.call(USERS, "context_get")["uid"] == user
        code = f"taken_{release[0]}"
        made = world.by_key(
            "settings", INTEGRATION, "create", {"name": code, "code": code, "user_id": user}
        )
        with pytest.raises(Refused):
            session.call(USERS, "context_get")
        method, *values = release
        world.by_key("settings", INTEGRATION, method, [made], *values)
        world.by_key("settings", USERS, "write", [user], {"active": True})
        with pytest.raises(Refused):
            session.call(USERS, "context_get")
        assert Session(world.server, login, login).call(USERS, "context_get")["uid"] == user
        world.server.shell("env['auth.integration'].search([('code','=',c)]).unlink()", c=code)


# What people type --------------------------------------------------------------------------------

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
