"""A key that was refused because it has ended stays refused, whatever Odoo's own table says."""

import itertools

import pytest

from callers.clients import accepted, administrator, ways
from processes import each_worker, halted_at_commit

numbers = itertools.count(1)
CHANGES = {
    "deleted": "DELETE FROM res_users_apikeys WHERE index = %s",
    "past": "UPDATE res_users_apikeys SET expiration_date = timezone('UTC', now())"
    " - interval '1 hour' WHERE index = %s",
}
CAUSES = {"deleted": "key_revoked", "past": "key_expired", "revoked": "key_revoked"}


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main", workers=2)


class Key:
    """An integration's key, used in every worker."""

    def __init__(self, server):
        self.server, self.login = server, f"for_good_{next(numbers)}"
        admin = administrator(server)
        values = {"name": self.login, "code": self.login, "owner_ids": [[4, 2]]}
        [self.integration] = admin.call("auth.integration", "create", [values])
        self.secret = admin.call("auth.integration", "issue_key", [self.integration])["key"]
        [user] = server.sql("SELECT id FROM res_users WHERE login = %s", [self.login])
        self.uid = user["id"]
        [self.native] = self.natives()
        assert self.answers() == {True}

    def answers(self):
        found = set()
        for _worker in each_worker(self.server):
            calls = ways(self.server, self.uid, self.login, self.secret)
            found |= set(map(accepted, calls.values()))
        return found

    def natives(self):
        return self.server.sql(
            "SELECT * FROM res_users_apikeys WHERE index = %s ORDER BY id", [self.secret[:8]]
        )

    def records(self):
        return self.server.sql(
            "SELECT * FROM auth_integration_key WHERE prefix = %s ORDER BY id", [self.secret[:8]]
        )

    def insert(self, **values):
        """Insert its row into Odoo's table again, with other values if given."""
        row = {**self.native, "expiration_date": None, **values}
        if row["id"] is None:
            del row["id"]
        names, holders = ", ".join(f'"{name}"' for name in row), ", ".join(["%s"] * len(row))
        self.server.sql(
            f"INSERT INTO res_users_apikeys ({names}) VALUES ({holders})", list(row.values())
        )

    def causes(self):
        rows = self.server.sql(
            "SELECT DISTINCT cause FROM auth_attempt WHERE user_id = %s AND outcome = 'failure'",
            [self.uid],
        )
        return {row["cause"] for row in rows}

    def run_job(self):
        self.server.shell("env.ref('auth_integration.ir_cron_reconcile').method_direct_trigger()")


@pytest.mark.parametrize("change", CHANGES)
def test_a_refusal_is_an_end(server, change):
    """Before any job has run, one refused call in any worker is enough."""
    key = Key(server)
    server.sql(CHANGES[change], [key.secret[:8]])
    assert not accepted(ways(server, key.uid, key.login, key.secret)["json2"])
    [record] = key.records()
    assert record["ended_at"] and record["end_kind"] == CAUSES[change].removeprefix("key_")
    server.sql("DELETE FROM res_users_apikeys WHERE index = %s", [key.secret[:8]])
    key.insert()
    assert key.answers() == {False}
    assert key.causes() == {CAUSES[change]}
    key.run_job()
    assert [row["ended_at"] for row in key.records()] == [record["ended_at"]]
    assert key.answers() == {False}


def test_a_refusal_whose_end_cannot_be_written_down_is_one(server):
    """If the record is locked, the caller is refused and the attempt is logged."""
    key = Key(server)
    server.sql(CHANGES["deleted"], [key.secret[:8]])
    server.expect_log("Could not write down the end of an API key")

    def call():
        return accepted(ways(server, key.uid, key.login, key.secret)["json2"])

    with halted_at_commit(
        server,
        "auth_integration_key",
        lambda: server.shell(
            "env.cr.execute('UPDATE auth_integration_key SET name = name WHERE prefix = %s',"
            " [prefix]); result = None",
            prefix=key.secret[:8],
        ),
    ):
        assert not call()
    assert key.causes() == {"key_revoked"}
    assert not call()
    assert key.records()[0]["ended_at"]


@pytest.mark.parametrize("change", ["revoked", "deleted"])
def test_a_copy_is_no_key(server, change):
    """The same hash under another ID, even for another user, is refused and not imported.

    The next run of the job lets it expire in Odoo's own table.
    """
    key = Key(server)
    if change == "revoked":
        record = key.records()[0]["id"]
        administrator(server).call("auth.integration.key", "revoke", [record], "leaked")
    else:
        server.sql(CHANGES["deleted"], [key.secret[:8]])
    key.insert(id=None)
    key.insert(id=None, user_id=2)
    assert key.answers() == {False}
    assert key.causes() == {CAUSES[change]}
    key.run_job()
    assert key.answers() == {False}
    assert len(key.records()) == 1
    assert "still rejected" in key.records()[0]["history"]
    now = server.sql("SELECT timezone('UTC', now()) AS now")[0]["now"]
    assert all(row["expiration_date"] <= now for row in key.natives())


def test_a_copy_of_a_live_key_does_not_outlive_it(server):
    key = Key(server)
    key.insert(id=None)
    assert key.answers() == {True}
    key.run_job()
    assert key.answers() == {True}
    assert len(key.records()) == 1
    original, copy = key.natives()
    assert original["id"] == key.native["id"] and original["expiration_date"]
    assert copy["expiration_date"] <= server.sql("SELECT timezone('UTC', now()) AS now")[0]["now"]
    administrator(server).call("auth.integration.key", "revoke", [key.records()[0]["id"]], "over")
    assert key.answers() == {False}


def test_another_hash_of_an_ended_key(server):
    """A new hash of the secret is still the key that has ended."""
    key = Key(server)
    administrator(server).call("auth.integration.key", "revoke", [key.records()[0]["id"]], "over")
    hashed = server.shell(
        "from odoo.addons.base.models.res_users import KEY_CRYPT_CONTEXT;"
        " result = KEY_CRYPT_CONTEXT.hash(secret)",
        secret=key.secret,
    )
    key.insert(id=None, key=hashed)
    assert key.answers() == {False}
    assert key.causes() == {"key_revoked"}
    key.run_job()
    assert key.answers() == {False}
