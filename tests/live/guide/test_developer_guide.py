"""The calls of the developer guide, the README and the access guide, run as printed."""

import re
import xmlrpc.client

import pytest
from guide_runner import make_program, run_curl, run_python, run_shell

from callers.clients import Json2, Refused, Xmlrpc, administrator
from callers.rotating_system import ANSWER, System
from dev.checks import guides

WHOAMI = {
    "integration", "prefix", "state", "replace_by", "expires_at", "rotate_after", "access",
    "channel", "remote_addr", "server_time",
}


@pytest.fixture(scope="module")
def server(live_server):
    """A threaded server; differences between workers are tested elsewhere."""
    return live_server("main")


def test_first_call_of_the_readme(server, issued):
    """It works as printed. With a wrong key, the answer has a reference that is in the log."""
    *_ids, secret = issued
    example = guides.example("first-call")
    assert isinstance(run_curl(server, example, ODOO_KEY=secret), int)
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    printed = run_shell(example, ODOO_URL=server.url, ODOO_DB=server.db, ODOO_KEY=wrong)
    reference = re.search(r"^X-Auth-Reference: (\S+)", printed, re.M | re.I)[1]
    [row] = server.sql("SELECT cause FROM auth_attempt WHERE reference = %s", [reference])
    assert row["cause"] == "key_unknown"


def test_whoami_json2(server, issued):
    _integration, code, _uid, secret = issued
    told = run_curl(server, guides.example("whoami-json2"), ODOO_KEY=secret)
    assert (told["integration"], set(told)) == (code, WHOAMI)


def test_whoami_jsonrpc(server, issued):
    _integration, code, uid, secret = issued
    told = run_curl(server, guides.example("whoami-jsonrpc"), ODOO_KEY=secret, ODOO_UID=uid)
    assert (told["integration"], set(told)) == (code, WHOAMI)


def test_whoami_xmlrpc(server, issued, capsys):
    """The user ID is the result of ``authenticate``."""
    _integration, code, uid, secret = issued
    names = run_python(server, guides.example("whoami-xmlrpc"), None, secret, login=code)
    assert names["uid"] == uid
    assert code in capsys.readouterr().out
    with pytest.raises(SystemExit, match="Rejected"):
        run_python(server, guides.example("whoami-xmlrpc"), None, "0" * 40, login=code)


def test_reference_xmlrpc(server, issued, capsys):
    """A rejected call prints the reference that is in the log; an accepted one prints nothing."""
    _integration, _code, uid, secret = issued
    example = guides.example("reference-xmlrpc")
    names = {"url": server.url, "db": server.db, "uid": uid, "key": secret}
    exec(example, names)
    assert not capsys.readouterr().out
    exec(example, names | {"key": "0" * 40})
    _moment, code, reference = capsys.readouterr().out.split()
    assert code == "3"
    [row] = server.sql("SELECT cause FROM auth_attempt WHERE reference = %s", [reference])
    assert row["cause"] == "key_unknown"


def test_verify(server, issued):
    *_ids, secret = issued
    assert run_curl(server, guides.example("verify"), ODOO_KEY=secret)["valid"] is True


@pytest.mark.parametrize("downloaded", [True, False])
def test_doctor(server, issued, tmp_path, downloaded):
    """Download and run it as printed, then run it as the guide to causes says."""
    _integration, code, _uid, secret = issued
    variables = {
        "ODOO_URL": server.url, "ODOO_DB": server.db, "ODOO_LOGIN": code, "ODOO_KEY": secret,
    }
    first = guides.example("doctor")
    printed = run_shell(first, tmp_path, **variables)
    if not downloaded:
        printed = run_shell(guides.example("doctor-options"), tmp_path, **variables)
    assert "No problem found" in printed


@pytest.fixture
def system(server):
    """An integration whose key is due, and which has called from this machine for a month."""
    system = System(server)
    system.call("json2", "whoami", source="127.0.0.1")
    system.know("127.0.0.1")
    return system


def test_rotate(server, system):
    """A key that is due replaces itself."""
    names = run_python(server, guides.example("rotate"), system.uid, system.key)
    assert set(names["new"]) == ANSWER
    assert Json2(server, names["new"]["key"]).call("auth.integration.key", "whoami")


def test_rotate_json2(server, system):
    new = run_curl(server, guides.example("rotate-json2"), ODOO_KEY=system.key)
    assert set(new) == ANSWER
    assert Json2(server, new["key"]).call("auth.integration.key", "whoami")


def test_rotate_on_a_host(server, system, tmp_path):
    """The script is downloaded, and replaces the file of a key that is due."""
    file = tmp_path / "odoo.key"
    file.write_text(system.key)
    example = guides.example("rotate-host")
    run_shell(example, tmp_path, ODOO_URL=server.url, ODOO_DB=server.db, ODOO_KEY_FILE=file)
    new = file.read_text().strip()
    assert new != system.key
    assert Json2(server, new).call("auth.integration.key", "whoami")["state"] == "active"


def test_rotate_and_restart(server, system, tmp_path):
    """A system that reads its key only when it starts is restarted with the new key in the file."""
    file, restarted_with = tmp_path / "odoo.key", tmp_path / "restarted"
    file.write_text(system.key)
    make_program(tmp_path / "bin", "systemctl", "sh", "-c", f"cp {file} {restarted_with}")
    download, _run = guides.example("rotate-host").splitlines()
    example = download + "\n" + guides.example("rotate-restart")
    run_shell(
        example, tmp_path, tmp_path / "bin",
        ODOO_URL=server.url, ODOO_DB=server.db, ODOO_KEY_FILE=file,
    )
    new = file.read_text().strip()
    assert new != system.key
    assert restarted_with.read_text().strip() == new


def test_provision(server):
    """Run twice as printed, it changes nothing the second time."""
    example = guides.example("provision")
    admin_key = administrator(server).secret
    made = run_python(server, example, 2, admin_key)["done"]
    assert [one["created"] for one in made] == [True, True]
    again = run_python(server, example, 2, admin_key)["done"]
    assert [(one["id"], one["created"], one["changed"]) for one in again] == [
        (one["id"], False, []) for one in made
    ]


def test_set_access(server, issued):
    """The key can call what the example says from its next call on."""
    _integration, _code, uid, secret = issued
    admin_key = administrator(server).secret
    run_python(server, guides.example("set-access"), 2, admin_key, prefix=secret[:8])
    key = Xmlrpc(server, uid, secret)
    assert key.call("auth.integration.key", "whoami")["access"] == "listed"
    key.call("res.partner", "search_read", [], ["name"], limit=1)
    with pytest.raises(xmlrpc.client.Fault, match="cannot call res.users.context_get"):
        key.call("res.users", "context_get")


def test_set_access_of_the_guide_to_access(server, admin, issued):
    *_ids, secret = issued
    [key_id] = admin.call("auth.integration.key", "search", [("prefix", "=", secret[:8])])
    admin_key = administrator(server).secret
    run_python(server, guides.example("set-access-reports"), 2, admin_key, key_id=key_id)
    assert Json2(server, secret).call("auth.integration.key", "whoami")["access"] == "listed"


def test_issue_and_revoke(server, admin, issued):
    """An administrator's calls, over each protocol."""
    integration, _code, uid, _secret = issued
    admin_key = administrator(server).secret
    variables = {"ODOO_KEY": admin_key, "ODOO_UID": "2", "INTEGRATION_ID": str(integration)}

    names = run_python(
        server, guides.example("issue-key-xmlrpc"), 2, admin_key, integration_id=integration)
    new = names["new"]
    other = run_curl(server, guides.example("issue-key-json2"), **variables)
    for key in (new["key"], other["key"]):
        assert Json2(server, key).call("res.users", "context_get")["uid"] == uid

    revoked = run_python(server, guides.example("revoke-xmlrpc"), 2, admin_key, new=new)
    assert revoked["_"] is True
    [key_id] = admin.call("auth.integration.key", "search", [("prefix", "=", other["prefix"])])
    assert run_curl(server, guides.example("revoke-jsonrpc"), KEY_ID=key_id, **variables) is True
    for key in (new["key"], other["key"]):
        with pytest.raises(Refused):
            Json2(server, key).call("res.users", "context_get")
