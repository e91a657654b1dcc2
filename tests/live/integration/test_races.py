"""Two concurrent transactions that cannot see each other: no key and no right escapes."""

import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Json2, Refused, administrator
from processes import halted_at_commit, wait_for_locks


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main", workers=2)


def test_a_key_issued_while_all_are_revoked(server):
    """Its transaction begins before the revocation and ends after that has read the keys."""
    admin = administrator(server)
    [integration] = admin.call(
        "auth.integration", "create", [{"name": "hurry", "code": "hurry", "owner_ids": [[4, 2]]}]
    )
    with ThreadPoolExecutor(1) as pool:
        issued = []
        with halted_at_commit(
            server,
            "auth_integration",
            lambda: issued.append(
                server.shell(
                    "result = env['auth.integration'].browse(id_).issue_key()['key']",
                    id_=integration,
                )
            ),
            on="UPDATE",
        ):
            revoked = pool.submit(
                admin.call, "auth.integration", "revoke_all_keys", [integration], "in a hurry"
            )
            wait_for_locks(server, 2, revoked)
        assert revoked.result() is True
    with pytest.raises(Refused):
        Json2(server, issued[0]).call("res.users", "context_get")


@pytest.mark.parametrize("first", ["owner", "user"])
def test_nobody_becomes_owner_and_integration_user_at_once(server, first):
    """Of two transactions that cannot see each other, one is refused."""
    login = f"both_{first}"
    made = server.shell(
        """
        owner = env.ref("base.user_admin")
        ids = env["auth.integration"].create([
            {"name": login + name, "code": login + name, "owner_ids": [(4, owner.id)]}
            for name in ("_a", "_b")]).ids
        user = env["res.users"].with_context(no_reset_password=True).create(
            {"name": login, "login": login})
        result = [*ids, user.id]
        """,
        login=login,
    )
    owned, used, user = made
    admin = administrator(server)
    acts = {
        "owner": (owned, {"owner_ids": [[4, user]]}, "INSERT", "auth_integration_owner_rel"),
        "user": (used, {"user_id": user}, "UPDATE", "auth_integration"),
    }
    [second] = set(acts) - {first}
    integration, values, on, table = acts[first]
    with ThreadPoolExecutor(1) as pool:
        with halted_at_commit(
            server,
            table,
            lambda: server.shell(
                "env['auth.integration'].browse(id_).write(values); result = None",
                id_=integration,
                values=values,
            ),
            on=on,
        ):
            late = pool.submit(
                accepted_or_refused, admin, acts[second][0], acts[second][1]
            )
            wait_for_locks(server, 2, late)
        late.result()
    rows = server.sql(
        "SELECT i.id FROM auth_integration i JOIN auth_integration_owner_rel o"
        " ON o.user_id = i.user_id WHERE i.user_id = %s",
        [user],
    )
    assert not rows


def accepted_or_refused(admin, integration, values):
    try:
        return admin.call("auth.integration", "write", [integration], values)
    except xmlrpc.client.Fault as error:
        return error
