"""What a restored backup brings back, with a real pg_dump of Odoo's table of keys or of everything.

A key that ended after the backup is active in it.
"""

import subprocess
from typing import NamedTuple

import pytest

from callers.clients import Json2, accepted, ways
from dev.servers import postgres, private_postgres
from processes import each_worker

KINDS = ("kept", "revoked", "superseded", "shortened", "issued")


class Key(NamedTuple):
    """A key and the login and ID of its user."""

    login: str
    uid: int
    secret: str


MAKE = """
    policy = env["auth.integration.policy"].create({"name": name, "overlap_days": 0})
    owner = env.ref("base.user_admin")
    result = {}
    for kind in kinds:
        integration = env["auth.integration"].create({
            "name": f"{name} {kind}", "code": f"{name}_{kind}", "policy_id": policy.id,
            "owner_ids": [(4, owner.id)]})
        key = integration.issue_key()["key"] if kind != "issued" else None
        result[kind] = [integration.user_id.login, integration.user_id.id, key]
"""
END = """
    def key(kind):
        return env["auth.integration"].search([("code", "=", f"{name}_{kind}")]).key_ids
    key("revoked").revoke("it leaked")
    key("superseded").action_rotate_now()
    rotation = env["auth.integration.rotation"].search([("old_key_id", "=", key("superseded").id)])
    new, _record = rotation._claim()
    issued = env["auth.integration"].search([("code", "=", f"{name}_issued")]).issue_key()["key"]
    result = [new, issued]
"""


def dump(server, path, *options):
    """Write a backup as administrators do."""
    program = private_postgres.program("pg_dump")
    subprocess.run([program, "--format=custom", "--file", path, *options, server.db], check=True)


def restore(server, path, *options):
    """Restore a backup into the server's database."""
    program = private_postgres.program("pg_restore")
    subprocess.run([program, "--dbname", server.db, "--no-owner", *options, path], check=True)


class Story:
    """Keys of every kind: active at the time of the backup, then ended in different ways."""

    def __init__(self, server, name, path, *options):
        self.server, self.name, self.path = server, name, path
        made = server.shell(MAKE, name=name, kinds=KINDS)
        self.keys = {kind: Key(*made[kind]) for kind in KINDS}
        for kind in KINDS[:-1]:
            assert self.answers(kind) == {True}
        dump(server, path, *options)
        new, issued = server.shell(END, name=name)
        Json2(server, new).call("res.users", "context_get")
        self.keys["issued"] = self.keys["issued"]._replace(secret=issued)
        server.sql(
            "UPDATE auth_integration_key SET expires_at = now() AT TIME ZONE 'UTC'"
            " WHERE login = %s",
            [self.keys["shortened"].login],
        )
        server.shell("env['auth.integration.key']._reconcile()")
        assert self.all_answers() == {kind: {kind in ("kept", "issued")} for kind in KINDS}

    def answers(self, kind):
        """Return the results of every worker with a key on every way."""
        key, found = self.keys[kind], set()
        for _worker in each_worker(self.server):
            calls = ways(self.server, key.uid, key.login, key.secret)
            found |= set(map(accepted, calls.values()))
        return found

    def all_answers(self):
        return {kind: self.answers(kind) for kind in KINDS}

    def refusals(self):
        """Return the number of refusals in the log, by kind and cause."""
        rows = self.server.sql(
            "SELECT user_id, cause, sum(count)::int AS count FROM auth_attempt"
            " WHERE outcome = 'failure' GROUP BY 1, 2"
        )
        kinds = {key.uid: kind for kind, key in self.keys.items()}
        return {
            (kinds[row["user_id"]], row["cause"]): row["count"]
            for row in rows
            if row["user_id"] in kinds
        }

    def causes_since(self, before):
        """Return the kinds refused since, with their causes.

        :param before: an earlier result of :meth:`refusals`
        """
        return {place for place, count in self.refusals().items() if count > before.get(place, 0)}

    def natively_alive(self):
        """Return the kinds whose keys Odoo alone would accept."""
        rows = self.server.sql(
            "SELECT u.login FROM res_users_apikeys n JOIN res_users u ON u.id = n.user_id"
            " WHERE u.login LIKE %s AND (n.expiration_date IS NULL"
            " OR n.expiration_date >= now() AT TIME ZONE 'UTC')",
            [f"{self.name}\\_%"],
        )
        return {row["login"].removeprefix(f"{self.name}_") for row in rows}


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main", workers=2)


def test_keys_alone(server, tmp_path):
    """Odoo's keys are restored, but not the add-on's records.

    Keys that had ended are refused with their cause from the first call on, and the next run of the
    job ends them in Odoo's own table, too.
    """
    story = Story(server, "alone", tmp_path / "keys", "--table=res_users_apikeys")
    server.sql("TRUNCATE res_users_apikeys")
    restore(server, story.path, "--data-only")
    assert story.natively_alive() == {"kept", "revoked", "superseded", "shortened"}
    before = story.refusals()
    assert story.all_answers() == {kind: {kind == "kept"} for kind in KINDS}
    assert story.causes_since(before) == {
        ("revoked", "key_revoked"),
        ("superseded", "key_superseded"),
        ("shortened", "key_expired"),
        ("issued", "key_revoked"),
    }
    server.shell("env.ref('auth_integration.ir_cron_reconcile').method_direct_trigger()")
    assert story.natively_alive() == {"kept"}
    assert "3 API keys that had ended were alive again" in server.folder.joinpath(
        "shell.log"
    ).read_text()
    assert story.all_answers() == {kind: {kind == "kept"} for kind in KINDS}


def test_everything(server, tmp_path):
    """Everything is as at the time of the backup, so keys that have ended since are active again.

    Nothing in the database knows better. A key created since is unknown.
    """
    story = Story(server, "everything", tmp_path / "database")
    server.stop()
    postgres.drop(server.db)
    postgres.create(server.db)
    restore(server, story.path)
    server.start()
    before = story.refusals()
    assert story.all_answers() == {kind: {kind != "issued"} for kind in KINDS}
    # Over /json/2 such a key identifies no user; the other protocols name the user.
    assert story.causes_since(before) == {("issued", "key_unknown")}
    server.shell("env.ref('auth_integration.ir_cron_reconcile').method_direct_trigger()")
    assert story.all_answers() == {kind: {kind != "issued"} for kind in KINDS}
