"""Personal keys are converted to an integration's while in use, only by those who may do it."""

import itertools

import pytest

from callers.clients import Jsonrpc, Refused, Session, accepted, administrator, ways
from callers.continuous_calls import Traffic

KEY, DIALOG, LINE = (
    "auth.integration.key", "auth.integration.convert", "auth.integration.convert.line",
)
PASSWORD = "a good password"
numbers = itertools.count(1)

MAKE_ACCOUNT = """
    from datetime import datetime, timedelta
    user = env["res.users"].create({
        "name": login, "login": login, "password": password,
        "group_ids": [(6, 0, [env.ref(group).id for group in groups])]})
    if is_person:
        env["mail.presence"].create({"user_id": user.id})
    secret = env["res.users.apikeys"].with_user(user).sudo()._generate(
        None, "export", datetime.now() + timedelta(days=1))
    key = env["auth.integration.key"].search([("prefix", "=", secret[:8])])
    result = {"uid": user.id, "code": login, "key": secret, "id": key.id}
"""
STATE = (
    "SELECT id, code, user_id FROM auth_integration ORDER BY id",
    "SELECT id, integration_id, replaces_id, ended_at, retire_at FROM auth_integration_key"
    " ORDER BY id",
    "SELECT id, user_id FROM res_users_apikeys ORDER BY id",
    "SELECT id, login, active FROM res_users ORDER BY id",
    "SELECT gid, uid FROM res_groups_users_rel ORDER BY gid, uid",
)


def account(server, login=None, is_person=False, groups=("base.group_user",)):
    """Make an account with a personal key: its user ID, login, secret and the key's ID."""
    return server.shell(
        MAKE_ACCOUNT,
        login=login or f"account{next(numbers)}",
        password=PASSWORD,
        is_person=is_person,
        groups=list(groups),
    )


def by_key(server, who):
    return Jsonrpc(server, who["uid"], who["key"])


def settings(server):
    return Jsonrpc(server, 2, administrator(server).secret)


def convert(server, account):
    """Convert a key as an administrator does; return the dialog's answer and the integration."""
    admin = settings(server)
    dialog = admin.call(KEY, "action_convert", [account["id"]])["res_id"]
    [line] = admin.call(LINE, "search_read", [("wizard_id", "=", dialog)], ["code"])
    answer = admin.call(DIALOG, "action_convert", [dialog])
    [integration] = admin.call(
        "auth.integration", "search_read", [("code", "=", line["code"])], ["user_id", "login"]
    )
    return answer, integration


def test_no_call_fails_while_an_account_is_converted(server):
    made = account(server)
    with Traffic(server, made, made["key"]) as traffic:
        traffic.wait_for_calls()
        answer, integration = convert(server, made)
        traffic.wait_for_calls(5)
    assert not traffic.refusals and not traffic.errors
    assert answer["res_model"] == "auth.integration"
    assert integration["user_id"][0] == made["uid"]
    assert not accepted(ways(server, made["uid"], made["code"], PASSWORD)["jsonrpc"])
    [row] = server.sql(
        "SELECT ended_at, integration_id FROM auth_integration_key WHERE id = %s", [made["id"]]
    )
    assert (row["ended_at"], row["integration_id"]) == (None, integration["id"])


def test_the_old_key_works_until_after_the_first_use_of_the_new_one(server):
    person = account(server, is_person=True)
    with Traffic(server, person, person["key"]) as old_calls:
        old_calls.wait_for_calls()
        answer, integration = convert(server, person)
        new_key = answer["context"]["default_key"]
        assert integration["user_id"][0] != person["uid"]
        old_calls.wait_for_calls()
        assert end_of(server, person)["retire_at"] is None
        user = {"uid": integration["user_id"][0], "code": integration["login"]}
        with Traffic(server, user, new_key) as new_calls:
            new_calls.wait_for_calls()
            old_calls.wait_for_calls()
    for calls in (old_calls, new_calls):
        assert not calls.refusals and not calls.errors
    ends = end_of(server, person)
    assert ends["retire_at"] and ends["native_end"] <= ends["retire_at"]
    pass_overlap(server, person)
    for name, call in ways(server, person["uid"], person["code"], person["key"]).items():
        assert not accepted(call), name
    for name, call in ways(server, user["uid"], user["code"], new_key).items():
        assert accepted(call), name


def end_of(server, account):
    [row] = server.sql(
        "SELECT k.retire_at, n.expiration_date AS native_end FROM auth_integration_key k"
        " JOIN res_users_apikeys n ON n.id = k.apikey_id WHERE k.id = %s",
        [account["id"]],
    )
    return row


def pass_overlap(server, account):
    server.sql(
        "WITH moved AS (UPDATE auth_integration_key SET retire_at = now() AT TIME ZONE 'UTC'"
        " - interval '1 minute' WHERE id = %s RETURNING apikey_id, retire_at)"
        " UPDATE res_users_apikeys n SET expiration_date = moved.retire_at"
        " FROM moved WHERE n.id = moved.apikey_id",
        [account["id"]],
    )


# By whom -----------------------------------------------------------------------------------------


class People:
    """Users who might try, and a victim with a key."""

    def __init__(self, server):
        self.server = server
        manager = ("base.group_user", "auth_integration.auth_integration_group_manager")
        self.who = {
            "manager": account(server, "manager", True, manager),
            "access_rights": account(
                server, "access_rights", True, (*manager, "base.group_erp_manager")
            ),
            "owner": account(server, "owner", True),
            "employee": account(server, "employee", True),
            "portal": account(server, "portal", True, ["base.group_portal"]),
            "settings": account(server, "settings", True, ["base.group_system"]),
        }
        self.victim = account(server, "victim", True, ["base.group_system"])
        server.shell(
            "env['auth.integration'].create("
            "{'name': 'o', 'code': 'o', 'owner_ids': [(6, 0, [id_])]}); result = None",
            id_=self.who["owner"]["uid"],
        )

    def state(self):
        return [self.server.sql(query) for query in STATE]

    def client(self, name):
        return by_key(self.server, self.who[name])

    def dialog(self, name, account):
        client = self.client(name)
        dialog = client.call(KEY, "action_convert", [account["id"]])["res_id"]
        return dialog, client.call(LINE, "search", [("wizard_id", "=", dialog)])

    def assert_refused(self, name, model, method, *args):
        try:
            answer = self.client(name).call(model, method, *args)
        except (RuntimeError, Refused):
            return
        raise AssertionError((name, model, method, answer))


@pytest.fixture(scope="module")
def people(live_server):
    return People(live_server("people"))


@pytest.mark.parametrize("who", ["manager", "access_rights", "owner", "employee", "portal"])
def test_nobody_converts_the_key_of_another(people, who):
    """The conversion would end the key, which only its user and Settings may do."""
    before = people.state()
    people.assert_refused(who, KEY, "action_convert", [people.victim["id"]])
    people.assert_refused(
        who, "res.users", "action_convert_api_keys", [people.victim["uid"]]
    )
    values = {
        "key_ids": [[6, 0, [people.victim["id"]]]], "method": "replace", "name": "x", "code": "x",
        "owner_id": people.who[who]["uid"],
    }
    for method in ("replace", "keep"):
        made = None
        try:
            made = people.client(who).call(
                DIALOG, "create", {"line_ids": [[0, 0, {**values, "method": method}]]}
            )
        except (RuntimeError, Refused):
            continue
        people.assert_refused(who, DIALOG, "action_convert", [made])
    assert people.state() == before


@pytest.mark.parametrize("who", ["manager", "access_rights"])
def test_a_dialog_of_theirs_reaches_no_other_key(people, who):
    before = people.state()
    dialog, lines = people.dialog(who, people.who[who])
    client = people.client(who)
    for values in (
        {"method": "keep"},
        {"group_ids": [[6, 0, group_ids(people.server, "base.group_system")]]},
        {"key_ids": [[4, people.victim["id"]]]},
        {"key_ids": [[6, 0, [people.victim["id"]]]]},
    ):
        try:
            client.call(LINE, "write", lines, values)
        except (RuntimeError, Refused):
            continue
        people.assert_refused(who, DIALOG, "action_convert", [dialog])
        client.call(
            LINE, "write", lines,
            {"method": "replace", "group_ids": [[5]],
             "key_ids": [[6, 0, [people.who[who]["id"]]]]},
        )
    assert people.state() == before


def group_ids(server, *names):
    return server.shell("result = [env.ref(name).id for name in names]", names=list(names))


def test_a_dialog_is_its_users_own(people):
    before = people.state()
    dialog, lines = people.dialog("settings", people.victim)
    for who in ("manager", "access_rights", "owner", "employee"):
        people.assert_refused(who, DIALOG, "action_convert", [dialog])
        people.assert_refused(who, LINE, "write", lines, {"name": "mine"})
        people.assert_refused(who, LINE, "read", lines, ["name"])
    assert people.state() == before


def test_settings_keep_no_administrator_account(people):
    people.server.shell(
        "result = env['res.users.apikeys'].with_user(2).sudo()._generate(None, 'admin', False)"
    )
    before = people.state()
    client = people.client("settings")
    keys = client.call(KEY, "search", [("user_id", "=", 2)])
    dialog = client.call(KEY, "action_convert", keys[:1])["res_id"]
    lines = client.call(LINE, "search", [("wizard_id", "=", dialog)])
    client.call(LINE, "write", lines, {"method": "keep"})
    people.assert_refused("settings", DIALOG, "action_convert", [dialog])
    assert people.state() == before


def test_a_browser_left_alone_converts_nothing(people):
    session = Session(people.server, "settings", PASSWORD)
    dialog = session.call(KEY, "action_convert", [people.victim["id"]])["res_id"]
    before = people.state()
    answer = session.call(DIALOG, "action_convert", [dialog])
    assert answer["res_model"] == "res.users.identitycheck"
    assert people.state() == before


def test_a_limited_key_converts_nothing(people):
    """The replacement would not have the limits of the converting key."""
    limited = account(
        people.server, "limited", True,
        ["base.group_user", "auth_integration.auth_integration_group_manager"],
    )
    people.server.shell(
        "env['auth.integration.key'].browse(id_)._set_access('listed', 'enforce',"
        " [['auth.integration.key', 'action_convert'],"
        " ['auth.integration.convert', 'action_convert']], '', 'x')\nresult = None",
        id_=limited["id"],
    )
    client = by_key(people.server, limited)
    dialog = client.call(KEY, "action_convert", [limited["id"]])["res_id"]
    before = people.state()
    with pytest.raises(RuntimeError, match="limited"):
        client.call(DIALOG, "action_convert", [dialog])
    assert people.state() == before


def test_a_manager_converts_their_own(people):
    dialog, _lines = people.dialog("manager", people.who["manager"])
    answer = people.client("manager").call(DIALOG, "action_convert", [dialog])
    assert len(answer["context"]["default_key"]) == 40
