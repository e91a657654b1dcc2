"""A call that is running while its key ends or its rules change: the time of its beginning counts.

It was allowed to begin and runs to its end, even if its transaction is retried. Every call that
begins after the change was committed is refused.
"""

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Json2, Jsonrpc, Refused, Xmlrpc
from dev.servers import postgres
from processes import each_worker, halted_at_commit, wait_for_locks

numbers = itertools.count(1)
CHANGES = {
    "revoked": "key._end('revoked', 'leaked', env.user)",
    "narrowed": "key.integration_id.allowed_networks = '192.0.2.0/24'",
    "archived": "key.integration_id.active = False",
}
CLIENTS = {
    "json2": lambda server, uid, key: Json2(server, key),
    "jsonrpc": Jsonrpc,
    "xmlrpc": Xmlrpc,
}


@pytest.fixture(scope="module", params=[0, 2], ids=["threaded", "workers"])
def server(live_server, request):
    return live_server(f"running{request.param}", workers=request.param)


def make_key(server):
    """Make a key that may create partners; return the ID of its user and the secret."""
    return server.shell(
        """
        shop = env["auth.integration"].create({"name": name, "code": name, "owner_ids": [2]})
        shop.user_id.group_ids = [(4, env.ref("base.group_partner_manager").id)]
        result = [shop.user_id.id, shop.issue_key()["key"]]
        """,
        name=f"shop{next(numbers)}",
    )


@pytest.mark.parametrize("protocol", CLIENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_running_call_ends_and_the_next_is_refused(server, change, protocol):
    uid, secret = make_key(server)
    name = f"made by {secret[:8]}"

    def create():
        client, values = CLIENTS[protocol](server, uid, secret), [{"name": name}]
        if protocol == "json2":
            return client.call("res.partner", "create", vals_list=values)
        return client.call("res.partner", "create", values)

    for _worker in each_worker(server):  # each worker may have cached the key
        CLIENTS[protocol](server, uid, secret).call("auth.integration.key", "whoami")
    with halted_at_commit(server, "res_partner", create, on="INSERT"):
        server.shell(
            "key = env['auth.integration.key'].search([('prefix', '=', prefix)])\n"
            + CHANGES[change],
            prefix=secret[:8],
        )
    [made] = server.sql("SELECT count(*) FROM res_partner WHERE name = %s", [name])
    assert made["count"] == 1
    for _worker in each_worker(server):
        with pytest.raises(Refused):
            create()


@pytest.mark.parametrize("protocol", CLIENTS)
def test_a_call_that_odoo_tries_again(server, protocol):
    """Its key was revoked meanwhile.

    For a retry, Odoo authenticates HTTP requests again, but RPC calls only once.
    """
    uid, secret = make_key(server)
    partner = server.shell("result = env['res.partner'].create({'name': 'of all'}).id")

    def rename():
        client, values = CLIENTS[protocol](server, uid, secret), {"name": f"by {secret[:8]}"}
        if protocol == "json2":
            return client.call("res.partner", "write", ids=[partner], vals=values)
        return client.call("res.partner", "write", [partner], values)

    with contextlib.closing(postgres.connect(server.db)) as other, ThreadPoolExecutor(1) as pool:
        other.autocommit = False
        other.cursor().execute("UPDATE res_partner SET ref = 'x' WHERE id = %s", [partner])
        running = pool.submit(rename)
        assert wait_for_locks(server, 1, running), running.result()
        server.shell(
            "env['auth.integration.key'].search([('prefix', '=', prefix)])"
            "._end('revoked', 'leaked', env.user)",
            prefix=secret[:8],
        )
        other.commit()  # the call must retry its transaction
        if protocol == "json2":
            with pytest.raises(Refused):
                running.result()
        else:
            assert running.result() is True
    [row] = server.sql("SELECT name FROM res_partner WHERE id = %s", [partner])
    assert (row["name"] == "of all") == (protocol == "json2")
