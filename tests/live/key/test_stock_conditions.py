"""Each condition of stock's verification of a key, with odd values: the add-on accepts the same.

The same change is made to the row in two databases, one of stock Odoo and one with the add-on,
which had accepted the key on every way. Stock is called for the first time after the change, as it
would cache the key otherwise.
"""

import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Refused, accepted, ways
from evidence.stock_comparison import Key

NATIVE = "UPDATE res_users_apikeys SET {} WHERE id = %(native)s"
USER = "UPDATE res_users SET {} WHERE id = %(uid)s"

# One statement each, which changes the row of a key, of its user, or of others.
CHANGES = {
    "nothing": "SELECT 1 AS nothing",
    "user inactive": USER.format("active = FALSE"),
    "user neither active nor inactive": USER.format("active = NULL"),
    "user shared": USER.format("share = TRUE"),
    "user without a password": USER.format("password = ''"),
    "login renamed": USER.format("login = login || '_renamed'"),
    "partner inactive": "UPDATE res_partner SET active = FALSE WHERE id ="
    " (SELECT partner_id FROM res_users WHERE id = %(uid)s)",
    "no groups": "DELETE FROM res_groups_users_rel WHERE uid = %(uid)s",
    "prefix changed": NATIVE.format("index = 'ffffffff'"),
    "prefix in capitals": NATIVE.format("index = upper(index)"),
    "scope empty": NATIVE.format("scope = ''"),
    "scope rpc": NATIVE.format("scope = 'rpc'"),
    "scope RPC": NATIVE.format("scope = 'RPC'"),
    "scope with a space": NATIVE.format("scope = 'rpc '"),
    "scope of another": NATIVE.format("scope = 'odoo.plugin.outlook'"),
    "scope of ours": NATIVE.format("scope = 'auth_integration.probe'"),
    "ended": NATIVE.format("expiration_date = now() AT TIME ZONE 'UTC' - interval '1 s'"),
    "ended for ever": NATIVE.format("expiration_date = '-infinity'"),
    "endless": NATIVE.format("expiration_date = 'infinity'"),
    "without an end": NATIVE.format("expiration_date = NULL"),
    "without a birth": NATIVE.format("create_date = NULL"),
    "hash of another key": NATIVE.format("key = '$pbkdf2-sha512$6000$A.A$' || repeat('A', 86)"),
    "hash cut off": NATIVE.format("key = left(key, 40)"),
    "no hash": NATIVE.format("key = ''"),
    "hash in capitals": NATIVE.format("key = upper(key)"),
    "given to another user": NATIVE.format("user_id = 2"),
    "copied to another user": "INSERT INTO res_users_apikeys (name, user_id, scope, index, key)"
    " SELECT name, 2, scope, index, key FROM res_users_apikeys WHERE id = %(native)s",
    "moved": NATIVE.format("id = id + 100000"),
    "removed": "DELETE FROM res_users_apikeys WHERE id = %(native)s",
    "company inactive": "UPDATE res_company SET active = FALSE",  # affects all, so it is last
}

MAKE = """
    result = {}
    for number, name in enumerate(names):
        user = env["res.users"].with_context(no_reset_password=True).create(
            {"name": name, "login": f"odd_{number}"})
        secret = env["res.users.apikeys"].with_user(user).sudo()._generate(
            None, name, "2099-01-01")
        native = env["res.users.apikeys"].search([("user_id", "=", user.id)])
        result[name] = [user.id, user.login, native.id, secret]
"""


def answers(server, key):
    """The answer on each way: the user's ID, or that the call was not accepted."""
    found = {}
    for way, call in ways(server, key.uid, key.login, key.secret).items():
        try:
            found[way] = call()
        except (Refused, RuntimeError, xmlrpc.client.Fault):
            found[way] = "not accepted"
    return found


@pytest.fixture(scope="module")
def measured(live_server):
    """Return the answers of stock and of the add-on, by change."""
    stock = live_server("stock", with_addon=False)
    ours = live_server("ours")

    def measure(server, warm):
        made = server.shell(MAKE, names=list(CHANGES))
        found = {}
        for name, change in CHANGES.items():
            key = Key(*made[name])
            if warm:
                calls = ways(server, key.uid, key.login, key.secret)
                assert all(accepted(call) for call in calls.values())
            server.sql(change, {"native": key.native_id, "uid": key.uid})
            found[name] = {way: _whose(uid, key) for way, uid in answers(server, key).items()}
        return found

    ours.expect_log(".")
    with ThreadPoolExecutor(2) as pool:
        by_stock, by_us = pool.submit(measure, stock, False), pool.submit(measure, ours, True)
        return by_stock.result(), by_us.result()


def _whose(uid, key):
    return {key.uid: "its user's"}.get(uid, uid)


# Intended differences to stock.
DEVIATIONS = {
    # The key of Diagnose can authenticate and call whoami, and nothing else.
    "scope of ours": dict.fromkeys(("xmlrpc", "jsonrpc", "json2"), "not accepted")
    | {"authenticate": "its user's"},
    # A key whose row is gone has ended, and a copy of the row is not a key.
    "moved": dict.fromkeys(("xmlrpc", "jsonrpc", "json2", "authenticate"), "not accepted"),
    # Of two equal rows, stock uses the one the database returns; the add-on the one it knows.
    "copied to another user": dict.fromkeys(
        ("xmlrpc", "jsonrpc", "json2", "authenticate"), "its user's"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_as_stock(measured, change):
    """Stock and the add-on give the same answers on every way."""
    by_stock, by_us = measured
    assert by_us[change] == DEVIATIONS.get(change, by_stock[change])
