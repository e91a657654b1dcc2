"""The add-on's own RPC API, over every protocol, and the README's examples as printed."""

import ast
import json
import os
import re
import subprocess
import textwrap
import xmlrpc.client

import pytest
from clients import Json2, Jsonrpc, Line, Refused, Xmlrpc, administrator
from conftest import ROOT

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
    """Give one threaded server: what differs between workers is tested elsewhere."""
    return live_server("main")


@pytest.fixture(scope="module")
def admin(server):
    return Xmlrpc(server, 2, "admin")


@pytest.fixture
def issued(server, admin, request):
    """An integration of its own and a key: ``(id, code, uid, secret)``."""
    code = re.sub(r"\W+", "-", request.node.name.lower())[:60]
    [integration] = admin.call("auth.integration", "create", [{"name": code, "code": code}])
    key = admin.call("auth.integration", "issue_key", [integration])
    [row] = admin.call("auth.integration", "read", [integration], ["user_id"])
    return integration, code, row["user_id"][0], key["key"]


def protocols(server, uid, secret):
    return {
        "xmlrpc": Xmlrpc(server, uid, secret),
        "jsonrpc": Jsonrpc(server, uid, secret),
        "json2": Json2(server, secret),
    }


@pytest.mark.parametrize("channel", ["xmlrpc", "jsonrpc", "json2"])
def test_whoami(server, issued, channel):
    """The caller's own key, with nothing that a protocol cannot carry."""
    _integration, code, uid, secret = issued
    told = protocols(server, uid, secret)[channel].call("auth.integration.key", "whoami")
    assert set(told) == WHOAMI
    assert None not in told.values()
    assert (told["integration"], told["prefix"]) == (code, secret[:8])
    assert (told["channel"], told["remote_addr"]) == (channel, "127.0.0.1")


def test_whoami_refuses_a_password(server):
    """A call that no key has authenticated has no key to tell of."""
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
    """With its key an integration learns of its own key only; it cannot make or end any."""
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
    """Whoever holds the right secret learns its state; nobody else learns anything."""
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


def readme_examples(*words):
    """The literal blocks of the README that contain all of these words, dedented."""
    text = (ROOT / "README.rst").read_text()
    blocks = re.finditer(r"^( *)\S.*::\n\n((?:\1 +\S.*\n|\n)+)", text, re.M)
    found = [textwrap.dedent(block[2]) for block in blocks]
    return [block for block in found if all(word in block for word in words)]


def run_curl(server, example, **variables):
    """Run an example as printed; return the result."""
    answer = subprocess.run(
        ["bash", "-c", example],
        env=os.environ | {"URL": server.url, "DB": server.db} | variables,
        capture_output=True,
        check=True,
    )
    answer = json.loads(answer.stdout)
    return answer["result"] if "jsonrpc" in example else answer


def run_python(server, example, uid, key, **names):
    """Run the lines of an example as printed; return the last one's result, and what they set."""
    names |= {"models": server.xmlrpc("object"), "db": server.db, "uid": uid, "key": key}
    *before, last = ast.parse(example).body
    exec(compile(ast.Module(before, []), "README", "exec"), names)
    if isinstance(last, ast.Assign):
        names[last.targets[0].id] = result = eval(ast.unparse(last.value), names)
    else:
        result = eval(ast.unparse(last), names)
    return result, names


def test_readme_examples_are_all_run():
    """One that is added has to be run below."""
    assert len(readme_examples("curl")) == 6
    assert len(readme_examples("execute_kw(")) == 6  # rotate has tests of its own


@pytest.mark.parametrize("path", ["res.partner/search_count", "/verify"])
def test_readme_curl_examples(server, issued, path):
    *_ids, secret = issued
    [example] = readme_examples("curl", path)
    assert isinstance(run_curl(server, example, KEY=secret), int | dict)


@pytest.mark.parametrize("words", ["execute_kw(", "curl /jsonrpc", "curl /json/2"])
def test_readme_whoami(server, issued, words):
    """The whoami calls of the README work as printed, over each protocol."""
    _integration, code, uid, secret = issued
    [example] = readme_examples("whoami", *words.split())
    if "curl" in words:
        told = run_curl(server, example, KEY=secret, USER_ID=str(uid))
    else:
        told, _names = run_python(server, example, uid, secret)
    assert told["integration"] == code
    assert set(told) == WHOAMI


def test_readme_provision(server, admin):
    """Run twice as printed: the second time nothing is left to change."""
    [example] = readme_examples("execute_kw(", "provision")
    admin_key = administrator(server).secret
    made, _names = run_python(server, example, 2, admin_key)
    assert [one["created"] for one in made] == [True, True]
    again, _names = run_python(server, example, 2, admin_key)
    assert [(one["id"], one["created"], one["changed"]) for one in again] == [
        (one["id"], False, []) for one in made
    ]


def test_readme_set_access(server, issued):
    """The key may call what the example says from its next call on."""
    _integration, _code, uid, secret = issued
    [example] = readme_examples("execute_kw(", "set_access")
    admin_key = administrator(server).secret
    run_python(server, example, 2, admin_key, prefix=secret[:8])
    key = Xmlrpc(server, uid, secret)
    assert key.call("auth.integration.key", "whoami")["access"] == "listed"
    key.call("res.partner", "search_read", [], ["name"], limit=1)
    with pytest.raises(xmlrpc.client.Fault, match="cannot call res.users.context_get"):
        key.call("res.users", "context_get")


def test_readme_issue_and_revoke(server, admin, issued):
    """The administrator's calls of the README work as printed, over each protocol."""
    integration, _code, uid, _secret = issued
    admin_key = administrator(server).secret
    variables = {"KEY": admin_key, "USER_ID": "2", "INTEGRATION_ID": str(integration)}

    [by_xmlrpc] = readme_examples("execute_kw(", "issue_key")
    new, names = run_python(server, by_xmlrpc, 2, admin_key, integration_id=integration)
    [by_json2] = readme_examples("curl", "issue_key")
    other = run_curl(server, by_json2, **variables)
    for key in (new["key"], other["key"]):
        assert Json2(server, key).call("res.users", "context_get")["uid"] == uid

    [by_xmlrpc] = readme_examples("execute_kw(", "revoke")
    assert run_python(server, by_xmlrpc, 2, admin_key, new=names["new"])[0] is True
    [key_id] = admin.call("auth.integration.key", "search", [("prefix", "=", other["prefix"])])
    [by_jsonrpc] = readme_examples("curl", "revoke")
    assert run_curl(server, by_jsonrpc, KEY_ID=str(key_id), **variables) is True
    for key in (new["key"], other["key"]):
        with pytest.raises(Refused):
            Json2(server, key).call("res.users", "context_get")
