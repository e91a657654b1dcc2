"""Who may do what and learns of what: each act tried over RPC and over a web session."""

import json

import pytest

from callers.clients import Refused, Session
from worlds.rights import INTEGRATION, KEY, USERS, World, answer_of


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


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
