"""A key with a list of operations can call these and nothing else."""

import json
import xmlrpc.client

import pytest

from callers.clients import Json2, Jsonrpc, Line, Refused, Xmlrpc, administrator
from processes import each_worker
from worlds.access import (
    CHANNEL_OF_WAY,
    SERVER_WITH_PROBE,
    WAYS,
    LimitedKey,
    Rejected,
    get,
    make_key,
    make_room_in_the_log,
    rejected,
)

SERVER = SERVER_WITH_PROBE
READ = ["access.probe", "read_name"]


@pytest.fixture(scope="module")
def listed(server):
    make_room_in_the_log(server)
    return make_key(server, "listed", later_groups=["base.group_system"], operations=[READ])


def rows(server):
    return server.sql("SELECT count(*) AS number FROM access_probe")[0]["number"]


def refused(call, *args, **kwargs):
    """Whether a call is rejected, or fails before any method is called."""
    try:
        call(*args, **kwargs)
    except (Rejected, Refused, RuntimeError, xmlrpc.client.Fault):
        return True
    return False


@pytest.mark.parametrize("way", WAYS)
def test_what_is_listed_is_called(server, listed, way):
    for _worker in each_worker(server):
        assert listed.call(way, *READ) == "off"
        assert listed.call(way, "auth.integration.key", "whoami")["access"] == "listed"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "model, method",
    [
        ("access.probe", "write_plainly"),
        ("access.probe.child", "read_name"),  # inherits the model
        ("access.probe", "load"),
        ("access.probe", "export_data"),
        ("access.probe", "onchange"),
        ("access.probe", "web_save"),
        ("access.probe", "web_search_read"),
        ("access.probe", "create"),
        ("res.users", "context_get"),
        ("ir.actions.server", "run"),
        ("auth.integration.key", "revoke"),
    ],
)
def test_nothing_else_is(server, listed, way, model, method):
    place = CHANNEL_OF_WAY[way], f"{model}.{method}"
    before = rejected(server, listed).get(place, 0)
    text = f"cannot call {model}.{method}. It can call: access.probe.read_name."
    with pytest.raises(Rejected, match=text):
        listed.call(way, model, method)
    assert rejected(server, listed)[place] == before + 1


@pytest.mark.parametrize("way", WAYS)
def test_odd_spellings_call_nothing(server, listed, way):
    server.expect_log("does not exist|doesn't exist")
    before = rows(server)
    for model, method in (
        ("access.probe ", "write_plainly"),
        (" access.probe", "write_plainly"),
        ("Access.Probe", "write_plainly"),
        ("access_probe", "write_plainly"),
        ("access.probe", "write_plainly "),
        ("access.probe", " write_plainly"),
        ("access.probe", "WRITE_PLAINLY"),
        ("access.probe", "read_name.write_plainly"),
        ("access.probe", "ｗrite_plainly"),
        ("access.probe", "_write"),
        ("access.probe", "__class__"),
        ("access.probe", "*"),
        ("*", "write_plainly"),
        ("http", "/json/2/access.probe/write_plainly"),
        ("access.probe", "read_name,write_plainly"),
    ):
        quoted = [word.replace(" ", "%20").replace("ｗ", "%EF%BD%97") for word in (model, method)]
        assert refused(listed.call, way, *(quoted if way == "json2" else (model, method)))
    assert rows(server) == before


def test_names_in_the_body_change_nothing(server, listed):
    """The method in the path or the arguments is called, not another one named in the body."""
    before = rows(server)
    client = Json2(server, listed.secret)
    smuggled = {"__model__": "access.probe", "__method__": "write_plainly"}
    for extra in ({}, {"ids": []}, {"context": smuggled}):
        refused(client.call, *READ, **smuggled, **extra)
    for params in (
        [server.db, listed.uid, listed.secret, {"model": "access.probe"}, "write_plainly", [], {}],
        [server.db, listed.uid, listed.secret, ["access.probe"], "write_plainly", [], {}],
        [server.db, listed.uid, listed.secret, "access.probe", ["write_plainly"], [], {}],
        [server.db, str(listed.uid), listed.secret, "access.probe", "write_plainly", [], {}],
    ):
        for client in (Xmlrpc, Jsonrpc):
            caller = client(server, listed.uid, listed.secret)
            assert refused(caller.service, "object", "execute_kw", params)
    assert rows(server) == before


@pytest.mark.parametrize("access", [{"access": "read_only"}, {"operations": [READ]}])
def test_odd_requests_call_nothing(server, access):
    """Batches, repeated names, invalid user IDs, unknown services and odd paths call nothing."""
    name = "odd_" + next(iter(access))
    key = make_key(server, name, later_groups=["base.group_system"], **access)
    before = rows(server)
    bearer = {"Authorization": f"Bearer {key.secret}"}

    def rpc(method, uid=key.uid, service="object", how="execute"):
        params = [server.db, uid, key.secret, "access.probe", method]
        call = {"service": service, "method": how, "args": params}
        return {"jsonrpc": "2.0", "method": "call", "params": call}

    read, write = rpc("read_name"), rpc("write_plainly")
    twice = json.dumps(read)[:-1] + f', "params": {json.dumps(write["params"])}}}'
    bodies = [
        [read, write], [write], twice, json.dumps(read) + json.dumps(write),
        *(rpc("write_plainly", uid) for uid in (str(key.uid), key.uid + 0.5, [key.uid], True)),
        *(rpc("write_plainly", service=name) for name in ("Object", "common", "db", "model")),
        *(rpc("write_plainly", how=name) for name in ("execute_cr", "call_kw", "dispatch")),
    ]
    paths = [
        "/json/2/access.probe/write_plainly/", "/json/2/access%2Eprobe/write_plainly",
        "/json/2/access.probe/read_name%00write_plainly", "/json/2/access.probe/write_plainly%0A",
        "/json/2/access.probe/read_name/../write_plainly", "/json/2//access.probe/write_plainly",
        "/json/2/access.probe/read_name?__method__=write_plainly", "/en/json/2/access.probe/lock",
        "/web/dataset/call_kw/access.probe/write_plainly", "/json/1/access.probe/write_plainly",
    ]
    for path, body in [("/jsonrpc", body) for body in bodies] + [(path, {}) for path in paths]:
        text = body if isinstance(body, str) else json.dumps(body)
        Line(server).post(path, text, {"Content-Type": "application/json", **bearer})
        assert rows(server) == before, (path, body)


def test_what_a_listed_method_calls_is_its_own_business(server):
    key = make_key(server, "calls_another", operations=[["access.probe", "call_another"]])
    for way in WAYS:
        assert key.call(way, "access.probe", "call_another") == "off"
        with pytest.raises(Rejected):
            key.call(way, *READ)


def test_all_methods_of_a_model(server):
    """A star allows all methods of a model, unless its records are code: these are named."""
    star, star_of_code = ["access.probe", "*"], ["ir.actions.server", "*"]
    key = make_key(server, "stars", later_groups=["base.group_system"], operations=[star])
    with pytest.raises(xmlrpc.client.Fault, match="Name each method instead"):
        key.set(operations=[star, star_of_code])
    by_sql(server, key, "model = 'ir.actions.server'")
    with pytest.raises(Rejected):
        key.call("xmlrpc", "ir.actions.server", "run")
    by_sql(server, key, "model = 'access.probe'")
    action = server.shell(
        """
        result = env["ir.actions.server"].create({
            "name": "writes", "model_id": env["ir.model"]._get("access.probe").id,
            "state": "code", "code": "env['access.probe'].create({'name': 'by an action'})"}).id
        """
    )
    before = rows(server)
    for way in WAYS:
        assert key.call(way, "access.probe", "write_plainly")
        with pytest.raises(Rejected):
            key.call(way, "access.probe.child", "write_plainly")
        with pytest.raises(Rejected):
            key.call(way, "ir.actions.server", "run", [action])
    assert rows(server) == before + len(WAYS)
    key.set(operations=[star, ["ir.actions.server", "run"]])
    key.call("xmlrpc", "ir.actions.server", "run", [action])
    assert rows(server) == before + len(WAYS) + 1


@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_in_force_on_the_next_call(server, way):
    """A change by set_access or by SQL applies in every worker that has accepted the key."""
    key = make_key(server, f"list_{way}", operations=[READ])
    for change, allows in (
        (None, True),
        (lambda: key.set(operations=[["access.probe", "search"]]), False),
        (lambda: key.set(operations=[READ]), True),
        (lambda: by_sql(server, key, "allowed = FALSE"), False),
        (lambda: by_sql(server, key, "allowed = TRUE"), True),
        (lambda: by_sql(server, key, "method = 'other' || id"), False),
        (lambda: key.set(mode="report"), True),
        (lambda: key.set(mode="enforce"), False),
        (lambda: key.set(access="full"), True),
    ):
        if change:
            change()
        for _worker in each_worker(server):
            assert refused(key.call, way, *READ) is not allows


def test_a_list_that_cannot_be_read_opens_nothing(server, listed):
    server.expect_log(".")
    table = "auth_integration_key_operation"
    server.sql(f"ALTER TABLE {table} RENAME TO away")
    try:
        for way in WAYS:
            for method in ("read_name", "write_plainly"):
                with pytest.raises((RuntimeError, xmlrpc.client.Fault), match="cannot be read at"):
                    listed.call(way, "access.probe", method)
    finally:
        server.sql(f"ALTER TABLE away RENAME TO {table}")
    assert listed.call("json2", *READ) == "off"


def test_own_networks(server):
    """A key's own networks only restrict: the address must also be in the integration's."""
    key = make_key(server, "own_networks")
    for networks, of_all, here, elsewhere in (
        ("", False, True, True),
        ("127.0.0.1", False, True, False),
        ("127.0.0.1", "127.0.0.0/8", True, False),
        ("127.0.0.1", "127.0.0.2", False, False),
        ("", "127.0.0.2", False, True),
    ):
        key.set(networks=networks)
        administrator(server).call(
            "auth.integration", "write", [key.integration], {"allowed_networks": of_all}
        )
        for way in WAYS:
            assert refused(key.call, way, *READ) is not here
            assert refused(key.call, way, *READ, source="127.0.0.2") is not elsewhere
    rows = server.sql(
        "SELECT DISTINCT cause FROM auth_attempt WHERE key_id = %s AND outcome = 'failure'",
        [key.id],
    )
    assert [row["cause"] for row in rows] == ["address_not_allowed"]


# Other routes -------------------------------------------------------------------------------------

ROUTES = {
    "/access_probe/bearer/name": "/access_probe/bearer/<name>",
    "/access_probe/read": "/access_probe/read",
    "/json/1/contacts": "/json/1/<path:subpath>",
    "/doc-bearer/index.json": "/doc-bearer/index.json",
}


@pytest.mark.parametrize("path", ROUTES)
def test_routes_are_operations(server, path):
    key = make_key(server, "routes" + path.replace("/", "_").replace(".", "_"), operations=[READ])
    bearer = {"Authorization": f"Bearer {key.secret}"}
    before = rows(server)
    status, answer = get(server, path, bearer)
    assert status == 403 and rows(server) == before
    assert rejected(server, key) == {("http", ROUTES[path]): 1}
    key.set(operations=[["http", ROUTES[path]]])
    status, answer = get(server, path, bearer)
    assert status != 401 and "cannot call" not in answer
    assert rejected(server, key) == {("http", ROUTES[path]): 1}
    with pytest.raises(Rejected):
        key.call("json2", *READ)


def test_routes_that_verify_keys_themselves(server, listed):
    headers = {"X-Probe-Key": listed.secret}
    before = rows(server)
    assert get(server, "/access_probe/own_key", headers)[0] == 403
    assert get(server, "/access_probe/public", headers) == (200, "refused")
    listed.set(operations=[READ, ["http", "/access_probe/own_key"]])
    link = "/access_probe/public?link=/access_probe/own_key"
    assert get(server, link, headers) == (200, "refused")
    assert rows(server) == before
    routes = [["http", "/access_probe/public"], ["http", "/access_probe/own_key"]]
    listed.set(operations=[READ, *routes])
    for path in ("/access_probe/own_key", "/access_probe/public"):
        status, answer = get(server, path, headers)
        assert status == 200 and answer.isdigit()
    listed.set(operations=[READ])


def test_doors_without_keys_stay_shut(server, listed):
    """Reports, attachments and the web client's calls need a session, which a key cannot open."""
    bearer = {"Authorization": f"Bearer {listed.secret}"}
    for path in (
        "/web/content/res.partner/1/name",
        "/web/image/res.partner/1/image_128",
        "/report/html/web.preview_internalreport/1",
        "/report/pdf/web.preview_internalreport/1",
    ):
        status, answer = get(server, path, bearer)
        assert "mail.group_user" not in answer and status in (200, 303, 400, 401, 403, 404, 500)
        if status == 200:  # a placeholder image
            assert path.startswith("/web/image")
    line = Line(server)
    call = {"model": "access.probe", "method": "write_plainly", "args": [], "kwargs": {}}
    body = json.dumps({"jsonrpc": "2.0", "method": "call", "params": call})
    before = rows(server)
    for path in ("/web/dataset/call_kw", "/web/dataset/call_button"):
        headers = {"Content-Type": "application/json", **bearer}
        _status, _headers, answer = line.post(path, body, headers)
        assert "error" in json.loads(answer)
    params = {"db": server.db, "login": listed.code, "password": listed.secret}
    body = json.dumps({"jsonrpc": "2.0", "method": "call", "params": params})
    _status, _headers, answer = line.post(
        "/web/session/authenticate", body, {"Content-Type": "application/json"}
    )
    assert "error" in json.loads(answer)
    assert rows(server) == before


def test_authenticate_changes_no_setting(server):
    """Odoo would set its web address from any login of an administrator."""
    key = make_key(server, "settings", later_groups=["base.group_system"], operations=[READ])
    before = base_url(server)
    for secret, login in ((key.secret, key.code), (server.administrator_key, "admin")):
        params = (server.db, login, secret, {"base_location": "http://evil.example"})
        assert Xmlrpc(server, None, None).service("common", "authenticate", params)
        assert base_url(server) == before
    params = (server.db, "admin", "admin", {"base_location": "http://good.example"})
    assert Xmlrpc(server, None, None).service("common", "authenticate", params)
    assert base_url(server) == "http://good.example"


def base_url(server):
    [row] = server.sql("SELECT value FROM ir_config_parameter WHERE key = 'web.base.url'")
    return row["value"]


# A limited key gets no more -----------------------------------------------------------------------

OURS = [
    ["auth.integration", "*"],
    ["auth.integration.key", "*"],
    ["auth.integration.policy", "*"],
    ["auth.integration.rotation", "*"],
    ["res.users.apikeys.description", "create"],
    ["res.users.apikeys.description", "make_key"],
]


@pytest.mark.parametrize("access", [{"access": "read_only"}, {"operations": OURS}])
def test_a_limited_key_gets_no_more(server, access):
    """It gets no more rights, even if its list has all methods of an integration administrator."""
    server.expect_log("bad query|ReadOnlySqlTransaction")
    name = "narrow_" + next(iter(access))
    manager = "auth_integration.auth_integration_group_manager"
    key = make_key(server, name, later_groups=["base.group_system", manager], **access)
    admin = administrator(server)
    admin.call("auth.integration", "write", [key.integration], {"allowed_networks": "127.0.0.1"})
    [policy] = server.sql(
        "SELECT policy_id AS id FROM auth_integration WHERE id = %s", [key.integration]
    )
    tries = [
        ("auth.integration", "issue_key", [key.integration]),
        ("auth.integration", "issue_key", [key.integration], "x", False, "full"),
        ("auth.integration", "write", [key.integration], {"allowed_networks": False}),
        ("auth.integration", "write", [key.integration], {"owner_ids": [[4, key.uid]]}),
        ("auth.integration", "provision", [{"code": name, "allowed_networks": False}]),
        ("auth.integration.key", "set_access", [key.id], "full", False, False, False, "mine"),
        ("auth.integration.key", "set_access", [key.id], False, "report", False, False, "mine"),
        ("auth.integration.key", "set_access", [key.id], "listed", False,
         [["res.users", "write"]], False, "mine"),
        ("auth.integration.key", "write", [key.id], {"access": "full"}),
        ("auth.integration.policy", "write", [policy["id"]], {"max_age_days": 3000}),
        ("auth.integration.key.operation", "create",
         [{"key_id": key.id, "model": "res.users", "method": "*", "allowed": True}]),
        ("res.users.apikeys.description", "create", [{"name": "x", "duration": "1"}]),
    ]
    before = state(server, key)
    for model, method, *args in tries:
        try:
            answer = key.call("xmlrpc", model, method, *args)
        except (Rejected, xmlrpc.client.Fault):
            continue
        assert model == "res.users.apikeys.description", (model, method, answer)
        assert refused(key.call, "xmlrpc", model, "make_key", answer)
    assert state(server, key) == before


def test_a_key_with_networks_gets_no_other(server):
    """Anyone who has the key at an allowed address could use the new one elsewhere."""
    made = server.shell(
        """
        user = env["res.users"].create({"name": "at home", "login": "at_home"})
        secret = env["res.users.apikeys"].with_user(user).sudo()._generate("rpc", "laptop", None)
        key = env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        key.set_access(networks="127.0.0.1", reason="only from here")
        result = [user.id, secret, key.id]
        """
    )
    key = LimitedKey(server, "at_home", *made, None)
    before = server.sql("SELECT count(*) AS of_all FROM res_users_apikeys")
    tries = [
        ("auth.integration.key", "set_access", [key.id], False, False, False, "", "mine"),
        ("auth.integration.key", "set_access", [key.id], False, False, False, "0.0.0.0/0", "mine"),
    ]
    for call in tries:
        with pytest.raises(Rejected, match="is limited in what it can do"):
            key.call("xmlrpc", *call)
    dialog = key.call(
        "xmlrpc", "res.users.apikeys.description", "create", [{"name": "x", "duration": "1"}]
    )
    client = Json2(server, key.secret)
    asked = client.call("res.users.apikeys.description", "make_key", ids=dialog)
    assert asked["res_model"] == "res.users.identitycheck"  # it asks for the user's password
    key.call(
        "xmlrpc", "auth.integration.key", "set_access",
        [key.id], "read_only", False, False, False, "less is allowed",
    )
    assert server.sql("SELECT count(*) AS of_all FROM res_users_apikeys") == before
    [rules] = server.sql(
        "SELECT access, allowed_networks FROM auth_integration_key WHERE id = %s", [key.id]
    )
    assert rules == {"access": "read_only", "allowed_networks": "127.0.0.1"}


def state(server, key):
    """The keys of an integration, what they may do, and its rules."""
    return server.sql(
        """
        SELECT k.prefix, k.access, k.access_mode, k.allowed_networks, i.allowed_networks AS of_all,
               p.default_access, p.max_age_days,
               (SELECT array_agg(o.model || o.method ORDER BY 1) FROM auth_integration_key_operation
                o WHERE o.key_id = k.id AND o.allowed) AS operations,
               (SELECT count(*) FROM res_users_apikeys) AS natives
        FROM auth_integration_key k JOIN auth_integration i ON i.id = k.integration_id
        JOIN auth_integration_policy p ON p.id = i.policy_id
        WHERE k.integration_id = %s ORDER BY k.id
        """,
        [key.integration],
    )


def by_sql(server, key, change):
    server.sql(f"UPDATE auth_integration_key_operation SET {change} WHERE key_id = %s", [key.id])
