"""The add-on's own RPC API, over every protocol."""

import json
import xmlrpc.client

import pytest

from callers.clients import Json2, Jsonrpc, Line, Refused, Xmlrpc

WHOAMI = {
    "integration",
    "prefix",
    "state",
    "replace_by",
    "expires_at",
    "rotate_after",
    "access",
    "channel",
    "remote_addr",
    "server_time",
}


@pytest.fixture(scope="module")
def server(live_server):
    """A threaded server; differences between workers are tested elsewhere."""
    return live_server("main")


def protocols(server, uid, secret):
    return {
        "xmlrpc": Xmlrpc(server, uid, secret),
        "jsonrpc": Jsonrpc(server, uid, secret),
        "json2": Json2(server, secret),
    }


@pytest.mark.parametrize("channel", ["xmlrpc", "jsonrpc", "json2"])
def test_whoami(server, issued, channel):
    """It returns the caller's own key, with only values that every protocol can transmit."""
    _integration, code, uid, secret = issued
    told = protocols(server, uid, secret)[channel].call("auth.integration.key", "whoami")
    assert set(told) == WHOAMI
    assert None not in told.values()
    assert (told["integration"], told["prefix"]) == (code, secret[:8])
    assert (told["channel"], told["remote_addr"]) == (channel, "127.0.0.1")


def test_whoami_refuses_a_password(server):
    """A call without a key is refused, as there is no key to return."""
    with pytest.raises(xmlrpc.client.Fault, match="not authenticated with an API key"):
        Xmlrpc(server, 2, "admin").call("auth.integration.key", "whoami")


def test_issue_and_revoke_over_rpc(server, admin, issued):
    integration, _code, uid, secret = issued
    second = admin.call("auth.integration", "issue_key", [integration], "second", False)
    assert set(second) == {"key", "prefix", "expires_at"}
    [key] = admin.call("auth.integration.key", "search", [("prefix", "=", second["prefix"])])
    assert Json2(server, second["key"]).call("res.users", "context_get")["uid"] == uid
    assert admin.call("auth.integration.key", "revoke", [key], "no longer needed") is True
    with pytest.raises(Refused):
        Json2(server, second["key"]).call("res.users", "context_get")
    assert Json2(server, secret).call("res.users", "context_get")["uid"] == uid


def test_a_technical_user_handles_no_keys(server, issued):
    """With its key, an integration can only see its own key; it cannot create or end any."""
    integration, _code, uid, secret = issued
    client = Xmlrpc(server, uid, secret)
    for model, method, *args in (
        ("auth.integration", "issue_key", [integration]),
        ("auth.integration", "read", [integration]),
        ("auth.attempt", "search_read", []),
        ("auth.integration.finding", "search_read", []),
    ):
        with pytest.raises(xmlrpc.client.Fault):
            client.call(model, method, *args)


def test_private_methods_cannot_be_called(server, admin, issued):
    for model, method in (
        ("auth.integration.key", "_issue"),
        ("auth.integration.key", "_reconcile"),
        ("auth.attempt", "_upsert"),
        ("auth.attempt", "_emit"),
        ("res.users", "_rpc_user"),
    ):
        with pytest.raises(xmlrpc.client.Fault):
            admin.call(model, method, [])


def test_verify(server, issued):
    """Only the holder of the right secret learns its state."""
    _integration, code, _uid, secret = issued

    def verify(key):
        status, headers, body = Line(server).post(
            "/auth_integration/verify", b"", {"Authorization": f"Bearer {key}"}
        )
        return status, headers, body

    status, _headers, body = verify(secret)
    assert status == 200
    assert json.loads(body)["valid"] is True
    server.sql(
        "UPDATE auth_integration_key SET expires_at = now() - interval '1 day' WHERE prefix = %s",
        [secret[:8]],
    )
    status, headers, body = verify(secret)
    told = json.loads(body)
    assert (status, told["valid"], told["cause"]) == (200, False, "key_expired")
    assert told["integration"] == code
    assert headers["X-Auth-Reference"] == told["reference"]
    for stranger in (secret[:8] + "0" * 32, "0" * 40):
        status, _headers, body = verify(stranger)
        assert status == 401
        assert code.encode() not in body
