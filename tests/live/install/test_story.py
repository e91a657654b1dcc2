"""The life of an integration on a real server, from its creation to the end of its old key."""

import pytest

from callers.clients import Jsonrpc, Refused, Session, Xmlrpc, accepted, ways
from worlds.story import PASSWORD, Story

MODELS = (
    "auth.integration",
    "auth.integration.key",
    "auth.integration.key.address",
    "auth.integration.rotation",
    "auth.integration.finding",
    "auth.attempt",
)
# For each model, the field with the integration.
TO_INTEGRATION = dict.fromkeys(MODELS, "integration_id") | {"auth.integration": "id"}


@pytest.fixture(scope="module")
def server(live_server):
    """A server with workers, the harder of the two modes: each step must work in either worker."""
    return live_server("main", workers=2)


@pytest.fixture(scope="module")
def otto(server):
    """The session of the other integration's owner."""
    return Session(server, "otto", PASSWORD)


@pytest.fixture(scope="module")
def story(server):
    """The story, which the first test plays and the other tests inspect."""
    return Story(server)


def test_story(story):
    """Play the story, from the first integration to the end of its rotated key."""
    story.make_integrations()
    story.use_the_keys()
    story.archive_the_user()
    story.restore_the_user()
    story.rotate_the_key()
    story.use_the_new_key()
    story.let_a_week_pass()


def test_owner_reads_the_whole_story(server, story):
    """The integration's owner can read everything that happened over the API."""
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
    assert rotation == {"id": story.rotation, "state": "done"}
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
def test_nobody_sees_another_owners(server, story, otto, model):
    """Search, read, grouping, export and name search do not show records of another owner."""
    admin = Xmlrpc(server, 2, "admin")
    field = TO_INTEGRATION[model]
    of_shop = admin.call(model, "search", [(field, "=", story.shop)])
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
            assert story.shop not in {group[field] and group[field][0] for group in groups}
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


def test_an_owner_touches_nothing_of_anothers(server, otto, story):
    """No button and no method of an integration works for another integration's owner."""
    by_password = Jsonrpc(server, otto.uid, PASSWORD)
    for model, method, *arguments in (
        ("auth.integration", "issue_key", [story.shop]),
        ("auth.integration", "action_restore_user", [story.shop]),
        ("auth.integration", "write", [story.shop], {"allowed_networks": "192.0.2.1"}),
        ("auth.integration.key", "revoke", [story.old], "because"),
        ("auth.integration.key", "action_rotate_now", [story.old]),
        ("auth.integration.rotation", "action_claim", [story.rotation]),
        ("auth.integration.rotation", "action_cancel", [story.rotation]),
    ):
        with pytest.raises(RuntimeError, match="AccessError"):
            by_password.call(model, method, *arguments)
    with pytest.raises(RuntimeError, match="AccessError"):
        otto.call("auth.integration.claim", "create", [{"rotation_id": story.rotation}])


def test_nobody_without_password_claims(server, story):
    """The identity check precedes the claim: a wrong password shows no key."""
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


def test_technical_user_has_no_other_way_in(server, story):
    """The integration's user can only use a key: no password and no session."""
    admin = Xmlrpc(server, 2, "admin")
    admin.call("res.users", "write", [story.uid], {"password": PASSWORD})
    with pytest.raises(Refused):
        Session(server, "shop", PASSWORD)
    assert not accepted(ways(server, story.uid, "shop", PASSWORD)["xmlrpc"])
