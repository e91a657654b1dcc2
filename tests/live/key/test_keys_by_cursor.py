"""Keys that newer builds verify with only a cursor, for many databases in one request.

The add-on ``newer_core`` gives older builds the function. Of two modules that import it by name,
one is loaded before our add-on, the other one after it.
"""

import functools
from collections import Counter

import pytest

from callers.clients import Json2, Line, Refused, _jsonrpc
from dev.common import TEST_ADDONS
from dev.servers.odoo_command import tree

LOADED = {"server_wide_modules": "base,rpc,web,newer_core,kpi_early"}
MODULES = ("auth_integration", "newer_core", "kpi_early", "kpi_late")
WORLD = """
    owner = env.ref("base.user_admin")
    rules = {"free": {}, "near": {"allowed_networks": "127.0.0.0/8"},
             "far": {"allowed_networks": "192.0.2.0/24"},
             "soap": {"allowed_channels": "xmlrpc"}, "ended": {}, "revoked": {}}
    keys = {}
    for code, values in rules.items():
        integration = env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(4, owner.id)], **values})
        keys[code] = integration.issue_key()["key"]
        if code == "ended":  # by our dates only
            cr.execute("UPDATE auth_integration_key SET expires_at = '2020-01-01'"
                       " WHERE user_id = %s", [integration.user_id.id])
        if code == "revoked":
            integration.key_ids.revoke("it leaked")
    result = keys
"""
CAUSES = {
    "far": "address_not_allowed",
    "soap": "channel_not_allowed",
    "ended": "key_expired",
    "revoked": "key_revoked",
}
IS_REAL = "_check_apikey_credentials" in (
    tree() / "odoo/addons/base/models/res_users.py"
).read_text()


@pytest.fixture(scope="module", params=[0, 2], ids=["threaded", "workers2"])
def server(request, live_server):
    server = live_server(
        f"main{request.param}",
        workers=request.param,
        modules=MODULES,
        extra_addons=(TEST_ADDONS,),
        config=LOADED,
    )
    server.keys = server.shell(WORLD)
    return server


def ask(server, route, pairs):
    """Send pairs of database and key to a route; return the user of each, or None."""
    if route == "/kpi/summary":
        answer = _jsonrpc(Line(server), route, {"credentials": pairs})
        return [answer.get(database) and True for database, _key in pairs]
    return [uid for _db, uid in _jsonrpc(Line(server), route, {"credentials": pairs})]


def refusals(server):
    """Return the number of refused attempts, by login, cause and channel."""
    rows = server.sql(
        "SELECT COALESCE(login, '') AS login, cause, channel, sum(count)::integer AS count"
        " FROM auth_attempt WHERE outcome = 'failure' GROUP BY 1, 2, 3"
    )
    return Counter({(row["login"], row["cause"], row["channel"]): row["count"] for row in rows})


ROUTES = ["/kpi/early", "/kpi/late", *(["/kpi/summary"] if IS_REAL else [])]


@pytest.mark.parametrize("route", ROUTES)
def test_rules_and_ends_hold(server, route):
    """Each key is judged as everywhere; each refused key is an attempt with its cause."""
    before = refusals(server)
    names = [*server.keys, "far", "wrong", "wrong"]
    keys = {**server.keys, "wrong": "0" * 40}
    # One request may check many keys of one database; each of them counts.
    found = ask(server, route, [(server.db, keys[name]) for name in names])
    good = [name for name, uid in zip(names, found, strict=True) if uid]
    assert good == ["free", "near"]
    expected = {(name, cause, "http"): 1 for name, cause in CAUSES.items()}
    expected["far", "address_not_allowed", "http"] = 2
    expected["", "key_unknown", "http"] = 2
    assert refusals(server) - before == expected


@pytest.mark.parametrize("route", ROUTES)
def test_uses_are_counted(server, route):
    """The first use of a minute is written immediately, with the caller's address."""
    key = server.shell(
        "result = env['auth.integration'].search([('code', '=', 'near')]).issue_key()['key']"
    )
    assert ask(server, route, [(server.db, key)]) != [None]
    [row] = server.sql(
        "SELECT use_count, first_used_at IS NOT NULL AS used, last_used_address, last_used_channel"
        " FROM auth_integration_key WHERE prefix = %s",
        [key[:8]],
    )
    assert row == {
        "use_count": 1,
        "used": True,
        "last_used_address": "127.0.0.1",
        "last_used_channel": "http",
    }


def test_odoo_itself_is_not_asked_twice(server):
    """If the model verifies a key through this function, there is only one attempt."""
    before = refusals(server)
    with pytest.raises(Refused):
        Json2(server, "1" * 40).call("res.users", "context_get")
    assert refusals(server) - before == {("", "key_unknown", "json2"): 1}


def test_database_that_is_not_loaded(server, live_server):
    """Rules apply, and attempts and uses are written, in a database that is not loaded here."""
    other = live_server(f"other{server.workers}", modules=MODULES, extra_addons=(TEST_ADDONS,),
                        config=LOADED)
    keys = other.shell(WORLD)
    other.stop()
    before = refusals(other)
    found = ask(server, "/kpi/early", [(other.db, key) for key in keys.values()])
    assert [name for name, uid in zip(keys, found, strict=True) if uid] == ["free", "near"]
    assert refusals(other) - before == {(name, why, "http"): 1 for name, why in CAUSES.items()}
    used = other.sql("SELECT count(*) FROM auth_integration_key WHERE use_count > 0")
    assert used == [{"count": 2}]


def test_database_without_the_addon(server, live_server):
    """Odoo alone decides for a database without the add-on."""
    other = live_server(f"bare{server.workers}", modules=("newer_core", "kpi_early"),
                        extra_addons=(TEST_ADDONS,), config=LOADED)
    key = other.shell(
        "result = env['res.users.apikeys'].with_user(2).sudo()._generate(None, 'x', False)"
    )
    other.stop()
    find = functools.partial(ask, server, "/kpi/early")
    assert find([(other.db, key), (other.db, "0" * 40)]) == [2, None]


def test_other_tables_are_left_alone(server):
    """Trusted devices are also verified with the function."""
    found = server.shell(
        """
        if "auth_totp.device" not in env:
            result = [True, True]
        else:
            devices = env["auth_totp.device"].with_user(2).sudo()
            token = devices._generate("browser", "x", "2099-01-01")
            result = [devices._check_credentials_for_uid(scope="browser", key=token, uid=2),
                      not devices._check_credentials_for_uid(scope="rpc", key=token, uid=2)]
        """
    )
    assert found == [True, True]
