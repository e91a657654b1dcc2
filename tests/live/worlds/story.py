"""The life of an integration, step by step; each step asserts what must be true.

No step waits: where days must pass, dates are moved in the database.
"""

import json
import urllib.error
import urllib.request
import xmlrpc.client

import pytest

from callers.clients import Session, Xmlrpc, accepted, ways
from processes import each_worker

PASSWORD = "an owner's password"


def json2(server, key, model, method, **kwargs):
    """Call as a client with only the standard library would."""
    request = urllib.request.Request(
        f"{server.url}/json/2/{model}/{method}",
        json.dumps(kwargs).encode(),
        {"Authorization": f"bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def causes(client, integration_id, *more):
    """Return the causes of failures in an integration's log, as its owner reads them."""
    domain = [("integration_id", "=", integration_id), ("outcome", "=", "failure"), *more]
    rows = client.call("auth.attempt", "search_read", domain, ["cause", "channel", "count"])
    return {row["channel"]: row["cause"] for row in rows}


class Story:
    """An integration's life; each method is a step that prepares the next one.

    :ivar shop: ID of the integration, which Olive owns
    :ivar depot: ID of another integration, which Otto owns
    :ivar key: the first key of ``shop``
    :ivar uid: the user of ``shop``
    :ivar owner: Olive's web session
    :ivar old: ID of the record of ``key``
    :ivar rotation: ID of the rotation of ``key``
    """

    def __init__(self, server):
        self.server = server
        self.admin = Xmlrpc(server, 2, "admin")

    def make_owners(self):
        """Make two users who may export, so that only record rules can stop their export."""
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
        """Make two integrations with different owners, and a key for each."""
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
        """Call with ``xmlrpc.client`` and the first key; return the user's ID."""
        execute = xmlrpc.client.ServerProxy(f"{self.server.url}/xmlrpc/2/object").execute_kw
        return execute(self.server.db, self.uid, self.key, "res.users", "context_get", [])["uid"]

    def context_get(self, key):
        """Call /json/2 with a key; return the user's ID."""
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
        """When the user is archived, the call fails, and the log says why."""
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
        """When the user is restored by someone who may write users, the key works as before."""
        with pytest.raises(RuntimeError, match="AccessError"):
            self.owner.call("auth.integration", "action_restore_user", [self.shop])
        self.admin.call("auth.integration", "action_restore_user", [self.shop])
        assert self.execute() == self.uid

    def rotate_the_key(self):
        """The owner opens a rotation and claims the new key, which is shown only once."""
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
        """Return every way to use a key of the integration."""
        return ways(self.server, self.uid, "shop", key)

    def use_the_new_key(self):
        """The first use of the new key starts the overlap, in which the old one works."""
        assert self.context_get(self.new_key) == self.uid
        [kept] = self.owner.call("auth.integration.key", "read", [self.old], ["state", "retire_at"])
        assert kept["state"] == "retiring"
        for _worker in each_worker(self.server):
            assert all(map(accepted, self.ways(self.key).values()))

    def let_a_week_pass(self):
        """A week later, the old key is refused everywhere, and the log says why."""
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
