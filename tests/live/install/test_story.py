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


class Story:
    """One integration's life, each method a step that leaves behind what the next one needs.

    :ivar shop: the integration whose life it is, by its id; Olive owns it
    :ivar depot: another one, which Otto owns
    :ivar key: the first key of ``shop``
    :ivar uid: its user
    :ivar owner: Olive in her browser
    :ivar old: the record of ``key``
    :ivar rotation: that of ``key``
    """

    def __init__(self, server):
        self.server = server
        self.admin = Xmlrpc(server, 2, "admin")

    def make_owners(self):
        """Make two people, who may export: their records alone are what stops an export."""
        olive, otto = (
            self.admin.call(
                "res.users", "create", [{"name": name, "login": name, "password": PASSWORD}]
            )[0]
            for name in ("olive", "otto")
        )
        [export] = self.admin.call(
            "ir.model.data", "search_read", [("name", "=", "group_allow_export")], ["res_id"]
        )
        may_export = {"group_ids": [(4, export["res_id"])]}
        self.admin.call("res.users", "write", [olive, otto], may_export)
        return olive, otto

    def make_integrations(self):
        """Make two integrations, each with another owner, and a key for each."""
        olive, otto = self.make_owners()
        self.shop, self.depot = self.admin.call(
            "auth.integration",
            "create",
            [
                {"name": "Web shop", "code": "shop", "owner_ids": [(6, 0, [olive])]},
                {"name": "Depot", "code": "depot", "owner_ids": [(6, 0, [otto])]},
            ],
        )
        issued = self.admin.call("auth.integration", "issue_key", [self.shop])
        self.key = issued["key"]
        assert self.key.startswith(issued["prefix"])
        self.depot_key = self.admin.call("auth.integration", "issue_key", [self.depot])["key"]
        [user] = self.admin.call("auth.integration", "read", [self.shop], ["user_id"])
        self.uid, name = user["user_id"]
        assert name == "Web shop"

    def execute(self):
        """Call with ``xmlrpc.client`` and the first key; return the user's id."""
        execute = xmlrpc.client.ServerProxy(f"{self.server.url}/xmlrpc/2/object").execute_kw
        return execute(self.server.db, self.uid, self.key, "res.users", "context_get", [])["uid"]

    def context_get(self, key):
        """Call /json/2 with a key; return the user's id."""
        return json2(self.server, key, "res.users", "context_get")["uid"]

    def use_the_keys(self):
        """xmlrpc.client and a /json/2 client work with the key, as its integration."""
        common = xmlrpc.client.ServerProxy(f"{self.server.url}/xmlrpc/2/common")
        assert common.authenticate(self.server.db, "shop", self.key, {}) == self.uid
        assert self.execute() == self.uid
        assert self.context_get(self.key) == self.uid
        whoami = json2(self.server, self.key, "auth.integration.key", "whoami")
        assert whoami["integration"] == "shop"
        assert self.context_get(self.depot_key) != self.uid

    def archive_the_user(self):
        """Archived: the call fails, and the log says why."""
        self.admin.call("res.users", "write", [self.uid], {"active": False})
        with pytest.raises(xmlrpc.client.Fault) as fault:
            self.execute()
        assert fault.value.faultCode == 3
        with pytest.raises(urllib.error.HTTPError) as answer:
            self.context_get(self.key)
        assert answer.value.code == 401
        self.owner = Session(self.server, "olive", PASSWORD)
        assert causes(self.owner, self.shop) == {
            "xmlrpc": "user_archived", "json2": "user_archived",
        }

    def restore_the_user(self):
        """Restored by whoever may write users, the key works again as it was."""
        with pytest.raises(RuntimeError, match="AccessError"):
            self.owner.call("auth.integration", "action_restore_user", [self.shop])
        self.admin.call("auth.integration", "action_restore_user", [self.shop])
        assert self.execute() == self.uid

    def rotate_the_key(self):
        """Its owner opens a rotation, and claims the new key, which is shown this once."""
        owner = self.owner
        [self.old] = owner.call(
            "auth.integration.key", "search", [("integration_id", "=", self.shop)]
        )
        by_password = Xmlrpc(self.server, owner.uid, PASSWORD)
        assert by_password.call("auth.integration.key", "action_rotate_now", [self.old]) is True
        [self.rotation] = owner.call(
            "auth.integration.rotation", "search", [("old_key_id", "=", self.old)]
        )
        claim = owner.call("auth.integration.rotation", "action_claim", [self.rotation])
        [wizard] = owner.call(claim["res_model"], "create", [{}], context=claim["context"])
        asked = owner.call(claim["res_model"], "action_claim", [wizard])
        assert asked["res_model"] == "res.users.identitycheck"
        shown = owner.call_checked(claim["res_model"], "action_claim", [wizard])
        self.new_key = shown["context"]["default_key"]
        assert self.new_key != self.key
        assert accepted(self.ways(self.key)["json2"])

    def ways(self, key):
        """Every way to use a key of the integration."""
        return ways(self.server, self.uid, "shop", key)

    def use_the_new_key(self):
        """The first use of the new key starts the overlap, in which the old one works."""
        assert self.context_get(self.new_key) == self.uid
        [kept] = self.owner.call("auth.integration.key", "read", [self.old], ["state", "retire_at"])
        assert kept["state"] == "retiring"
        for _worker in each_worker(self.server):
            assert all(map(accepted, self.ways(self.key).values()))

    def let_a_week_pass(self):
        """A week later the old key is refused, at once and everywhere, and the log says why."""
        self.server.sql(
            """
            WITH ended AS (
                UPDATE auth_integration_key SET retire_at = retire_at - interval '8 days'
                WHERE id = %s RETURNING apikey_id
            )
            UPDATE res_users_apikeys SET expiration_date = expiration_date - interval '8 days'
            WHERE id = (SELECT apikey_id FROM ended)
            """,
            [self.old],
        )
        for _worker in each_worker(self.server):
            assert not any(map(accepted, self.ways(self.key).values()))
            assert all(map(accepted, self.ways(self.new_key).values()))
        assert causes(self.owner, self.shop, ("cause", "!=", "user_archived")) == dict.fromkeys(
            ("xmlrpc", "jsonrpc", "json2"), "key_superseded"
        )


@pytest.fixture(scope="module")
def story(server):
    """The story, which the first test tells and the others read."""
    return Story(server)


def test_story(story):
    """From the first integration to the end of its rotated key."""
    story.make_integrations()
    story.use_the_keys()
    story.archive_the_user()
    story.restore_the_user()
    story.rotate_the_key()
    story.use_the_new_key()
    story.let_a_week_pass()


def test_owner_reads_the_whole_story(server, story):
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
    """Neither search, read, grouping, export nor name search shows what is another owner's."""
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
    """No button and no method of an integration answers to another one's owner."""
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
    [wizard] = otto.call("auth.integration.claim", "create", [{"rotation_id": story.rotation}])
    with pytest.raises(RuntimeError, match="AccessError"):
        otto.call_checked("auth.integration.claim", "action_claim", [wizard])


def test_nobody_without_password_claims(server, story):
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


def test_technical_user_has_no_other_way_in(server, story):
    """The integration's user has a key and nothing else: no password, no session."""
    admin = Xmlrpc(server, 2, "admin")
    admin.call("res.users", "write", [story.uid], {"password": PASSWORD})
    with pytest.raises(Refused):
        Session(server, "shop", PASSWORD)
    assert not accepted(ways(server, story.uid, "shop", PASSWORD)["xmlrpc"])
