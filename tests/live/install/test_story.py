"""The product's story on a real server, told from the first integration to the end of its old key.

No step waits: where days must pass, dates are moved in the database.
"""

import json
import urllib.error
import urllib.request
import xmlrpc.client

import pytest

from callers.clients import Jsonrpc, Refused, Session, Xmlrpc, accepted, ways
from processes import each_worker

PASSWORD = "an owner's password"
MODELS = (
    "auth.integration",
    "auth.integration.key",
    "auth.integration.key.address",
    "auth.integration.rotation",
    "auth.integration.finding",
    "auth.attempt",
)
# Of each model: the field that leads to the integration.
TO_INTEGRATION = dict.fromkeys(MODELS, "integration_id") | {"auth.integration": "id"}


@pytest.fixture(scope="module")
def server(live_server):
    """Give the harder of the two modes: each step must hold in either worker."""
    return live_server("main", workers=2)


@pytest.fixture(scope="module")
def told():
    """What the story leaves behind, for the tests that read it."""
    return {}


@pytest.fixture(scope="module")
def otto(server):
    """The other integration's owner, in his browser."""
    return Session(server, "otto", PASSWORD)


def json2(server, key, model, method, **kwargs):
    """Call as a client would that has nothing but the standard library."""
    request = urllib.request.Request(
        f"{server.url}/json/2/{model}/{method}",
        json.dumps(kwargs).encode(),
        {"Authorization": f"bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def causes(client, integration_id, *more):
    """Causes of the failures in an integration's log, as its owner reads them over the API."""
    domain = [("integration_id", "=", integration_id), ("outcome", "=", "failure"), *more]
    rows = client.call("auth.attempt", "search_read", domain, ["cause", "channel", "count"])
    return {row["channel"]: row["cause"] for row in rows}


def test_story(server, told):
    """From the first integration to the end of its rotated key."""
    admin = Xmlrpc(server, 2, "admin")
    olive, otto = (
        admin.call("res.users", "create", [{"name": name, "login": name, "password": PASSWORD}])[0]
        for name in ("olive", "otto")
    )
    # They may export: what stops an owner's export is whose the records are.
    [export] = admin.call(
        "ir.model.data", "search_read", [("name", "=", "group_allow_export")], ["res_id"]
    )
    admin.call("res.users", "write", [olive, otto], {"group_ids": [(4, export["res_id"])]})

    # An administrator makes two integrations, each with another owner, and a key.
    shop, depot = admin.call(
        "auth.integration",
        "create",
        [
            {"name": "Web shop", "code": "shop", "owner_ids": [(6, 0, [olive])]},
            {"name": "Depot", "code": "depot", "owner_ids": [(6, 0, [otto])]},
        ],
    )
    issued = admin.call("auth.integration", "issue_key", [shop])
    key = issued["key"]
    assert key.startswith(issued["prefix"])
    depot_key = admin.call("auth.integration", "issue_key", [depot])["key"]
    [shop_user] = admin.call("auth.integration", "read", [shop], ["user_id"])
    shop_uid, shop_name = shop_user["user_id"]
    assert shop_name == "Web shop"

    # xmlrpc.client and a /json/2 client work with it.
    assert (
        xmlrpc.client.ServerProxy(f"{server.url}/xmlrpc/2/common").authenticate(
            server.db, "shop", key, {}
        )
        == shop_uid
    )
    execute = xmlrpc.client.ServerProxy(f"{server.url}/xmlrpc/2/object").execute_kw
    arguments = (server.db, shop_uid, key, "res.users", "context_get", [])
    assert execute(*arguments)["uid"] == shop_uid
    assert json2(server, key, "res.users", "context_get")["uid"] == shop_uid
    assert json2(server, key, "auth.integration.key", "whoami")["integration"] == "shop"
    assert json2(server, depot_key, "res.users", "context_get")["uid"] != shop_uid

    # The user is archived: the call fails, and the log says why.
    admin.call("res.users", "write", [shop_uid], {"active": False})
    with pytest.raises(xmlrpc.client.Fault) as fault:
        execute(*arguments)
    assert fault.value.faultCode == 3
    with pytest.raises(urllib.error.HTTPError) as answer:
        json2(server, key, "res.users", "context_get")
    assert answer.value.code == 401
    owner = Session(server, "olive", PASSWORD)
    assert causes(owner, shop) == {"xmlrpc": "user_archived", "json2": "user_archived"}

    # Restored by whoever may write users, the key works again as it was.
    with pytest.raises(RuntimeError, match="AccessError"):
        owner.call("auth.integration", "action_restore_user", [shop])
    admin.call("auth.integration", "action_restore_user", [shop])
    assert execute(*arguments)["uid"] == shop_uid

    # An owner rotates it: opens a rotation, and claims the new key, which is shown this once.
    [old] = owner.call("auth.integration.key", "search", [("integration_id", "=", shop)])
    by_password = Xmlrpc(server, owner.uid, PASSWORD)
    assert by_password.call("auth.integration.key", "action_rotate_now", [old]) is True
    [rotation] = owner.call("auth.integration.rotation", "search", [("old_key_id", "=", old)])
    claim = owner.call("auth.integration.rotation", "action_claim", [rotation])
    [wizard] = owner.call(claim["res_model"], "create", [{}], context=claim["context"])
    asked = owner.call(claim["res_model"], "action_claim", [wizard])
    assert asked["res_model"] == "res.users.identitycheck"
    shown = owner.call_checked(claim["res_model"], "action_claim", [wizard])
    new_key = shown["context"]["default_key"]
    assert new_key != key
    assert accepted(ways(server, shop_uid, "shop", key)["json2"])

    # The first use of the new key starts the overlap, in which the old one works.
    assert json2(server, new_key, "res.users", "context_get")["uid"] == shop_uid
    [kept] = owner.call("auth.integration.key", "read", [old], ["state", "retire_at"])
    assert kept["state"] == "retiring"
    for _worker in each_worker(server):
        assert all(map(accepted, ways(server, shop_uid, "shop", key).values()))

    # A week later it is refused, at once and everywhere, and the log says why.
    server.sql(
        """
        WITH ended AS (
            UPDATE auth_integration_key SET retire_at = retire_at - interval '8 days'
            WHERE id = %s RETURNING apikey_id
        )
        UPDATE res_users_apikeys SET expiration_date = expiration_date - interval '8 days'
        WHERE id = (SELECT apikey_id FROM ended)
        """,
        [old],
    )
    for _worker in each_worker(server):
        assert not any(map(accepted, ways(server, shop_uid, "shop", key).values()))
        assert all(map(accepted, ways(server, shop_uid, "shop", new_key).values()))
    assert causes(owner, shop, ("cause", "!=", "user_archived")) == dict.fromkeys(
        ("xmlrpc", "jsonrpc", "json2"), "key_superseded"
    )
    told |= {"shop": shop, "depot": depot, "old": old, "rotation": rotation, "uid": shop_uid}


def test_owner_reads_the_whole_story(server, told):
    """What happened is on record for the integration's owner, over the API."""
    owner = Session(server, "olive", PASSWORD)
    [shop] = owner.call(
        "auth.integration",
        "search_read",
        [],
        ["code", "last_success", "last_failure", "last_cause", "live_key_count"],
    )
    assert shop["code"] == "shop"
    assert shop["last_success"] and shop["last_failure"]
    assert shop["last_cause"] == "key_superseded"
    assert shop["live_key_count"] == 1
    new, old = owner.call(
        "auth.integration.key",
        "search_read",
        [],
        ["state", "replaces_id", "replaced_by_id", "issued_by", "login", "address_ids"],
    )
    assert (new["state"], old["state"]) == ("active", "superseded")
    assert new["replaces_id"][0] == old["id"] and old["replaced_by_id"][0] == new["id"]
    assert (new["issued_by"][1], old["issued_by"][1]) == ("olive", "Administrator")
    [address] = owner.call("auth.integration.key.address", "read", new["address_ids"], ["address"])
    assert address["address"] == "127.0.0.1"
    [rotation] = owner.call("auth.integration.rotation", "search_read", [], ["state"])
    assert rotation == {"id": told["rotation"], "state": "done"}
    groups = owner.call(
        "auth.attempt",
        "formatted_read_group",
        [("outcome", "=", "failure")],
        ["cause"],
        ["count:sum"],
    )
    assert {group["cause"] for group in groups} == {"user_archived", "key_superseded"}
    assert all(group["count:sum"] >= 2 for group in groups)


@pytest.mark.parametrize("model", MODELS)
def test_nobody_sees_another_owners(server, told, otto, model):
    """Neither search, read, grouping, export nor name search shows what is another owner's."""
    admin = Xmlrpc(server, 2, "admin")
    field = TO_INTEGRATION[model]
    of_shop = admin.call(model, "search", [(field, "=", told["shop"])])
    assert of_shop, "the administrator sees what the others must not"
    hidden = set(of_shop)
    assert not hidden & set(otto.call(model, "search", []))
    assert not hidden & {row["id"] for row in otto.call(model, "search_read", [], ["id"])}
    assert otto.call(model, "search_count", [("id", "in", of_shop)]) == 0
    assert not hidden & {found[0] for found in otto.call(model, "name_search", "")}
    if field != "id":
        for method, arguments in (
            ("formatted_read_group", ([], [field], ["__count"])),
            ("read_group", ([], ["__count"], [field])),
        ):
            groups = otto.call(model, method, *arguments)
            assert told["shop"] not in {group[field] and group[field][0] for group in groups}
    fields = list(otto.call(model, "fields_get", [], ["type"]))
    for method, arguments in (
        ("read", (of_shop, ["display_name"])),
        ("read", (of_shop, fields)),
        ("web_read", (of_shop, {"display_name": {}})),
        ("export_data", (of_shop, ["display_name"])),
        ("export_data", (of_shop, [f"{field}/name" if field != "id" else "name"])),
    ):
        with pytest.raises(RuntimeError, match="AccessError"):
            otto.call(model, method, *arguments)


def test_an_owner_touches_nothing_of_anothers(server, otto, told):
    """No button and no method of an integration answers to another one's owner."""
    by_password = Jsonrpc(server, otto.uid, PASSWORD)
    for model, method, *arguments in (
        ("auth.integration", "issue_key", [told["shop"]]),
        ("auth.integration", "action_restore_user", [told["shop"]]),
        ("auth.integration", "write", [told["shop"]], {"allowed_networks": "192.0.2.1"}),
        ("auth.integration.key", "revoke", [told["old"]], "because"),
        ("auth.integration.key", "action_rotate_now", [told["old"]]),
        ("auth.integration.rotation", "action_claim", [told["rotation"]]),
        ("auth.integration.rotation", "action_cancel", [told["rotation"]]),
    ):
        with pytest.raises(RuntimeError, match="AccessError"):
            by_password.call(model, method, *arguments)
    [wizard] = otto.call("auth.integration.claim", "create", [{"rotation_id": told["rotation"]}])
    with pytest.raises(RuntimeError, match="AccessError"):
        otto.call_checked("auth.integration.claim", "action_claim", [wizard])


def test_nobody_without_password_claims(server, told):
    """The identity check stands before the claim: a wrong password shows no key."""
    owner = Session(server, "olive", PASSWORD)
    [key] = owner.call("auth.integration.key", "search", [("state", "=", "active")])
    Xmlrpc(server, owner.uid, PASSWORD).call("auth.integration.key", "action_rotate_now", [key])
    [rotation] = owner.call("auth.integration.rotation", "search", [("state", "=", "due")])
    [wizard] = owner.call("auth.integration.claim", "create", [{"rotation_id": rotation}])
    owner.password = "not the password"
    with pytest.raises(RuntimeError, match="Incorrect Password"):
        owner.call_checked("auth.integration.claim", "action_claim", [wizard])
    assert (
        owner.call("auth.integration.rotation", "read", [rotation], ["state"])[0]["state"] == "due"
    )
    by_password = Xmlrpc(server, owner.uid, PASSWORD)
    by_password.call("auth.integration.rotation", "action_cancel", [rotation])


def test_technical_user_has_no_other_way_in(server, told):
    """The integration's user has a key and nothing else: no password, no session."""
    admin = Xmlrpc(server, 2, "admin")
    admin.call("res.users", "write", [told["uid"]], {"password": PASSWORD})
    with pytest.raises(Refused):
        Session(server, "shop", PASSWORD)
    assert not accepted(ways(server, told["uid"], "shop", PASSWORD)["xmlrpc"])
