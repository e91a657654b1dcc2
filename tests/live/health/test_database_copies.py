"""Real copies of a database in which a webhook rotation is due.

They send nothing until a user confirms that the database has moved.
"""

import subprocess

import pytest

from callers.clients import Json2, Session, accepted, administrator, ways
from callers.rotating_system import System
from dev.servers import postgres, private_postgres
from dev.servers.live_server import LiveServer

LEFT_BEHIND = """
    SELECT (SELECT count(*) FROM auth_integration_key) AS keys,
           (SELECT count(*) FROM res_users_apikeys) AS natives,
           (SELECT count(*) FROM auth_integration_rotation) AS rotations,
           (SELECT count(*) FROM mail_mail) AS mails,
           (SELECT count(*) FROM mail_message) AS messages,
           (SELECT count(*) FROM mail_activity) AS activities,
           (SELECT count(*) FROM auth_integration_digest) AS digests
"""


@pytest.fixture(scope="module")
def server(sending_server):
    return sending_server()


@pytest.fixture(scope="module")
def systems(server, endpoint):
    """A system whose new key is to be sent, and one whose owner is to be asked."""
    sent, claimed = System(server, "webhook"), System(server, "claim")
    sent.take_keys_at(endpoint.url)
    return sent, claimed


def by_template(server, name, _folder):
    """``createdb -T``, which needs a database without connections."""
    server.stop()
    postgres.create(name, server.db)
    server.start()


def by_dump(server, name, folder):
    """``pg_dump`` and ``pg_restore``."""
    path = folder / "dump"
    subprocess.run(
        [private_postgres.program("pg_dump"), "--format=custom", "--file", path, server.db],
        check=True,
    )
    postgres.create(name)
    subprocess.run(
        [private_postgres.program("pg_restore"), "--dbname", name, "--no-owner", path], check=True
    )


@pytest.fixture(scope="module", params=[by_template, by_dump], ids=lambda how: how.__name__)
def copy(request, server, systems, tmp_path_factory):
    """A server on a copy of the database."""
    name = f"{server.db}_{request.param.__name__}"
    if name in postgres.databases():
        postgres.drop(name)
    request.param(server, name, tmp_path_factory.mktemp("dump"))
    copy = LiveServer(name)
    yield copy.start()
    copy.drop()


def run_job(server, name="ir_cron_rotation"):
    cron = server.shell("result = env.ref(f'auth_integration.{name}').id", name=name)
    administrator(server).call("ir.cron", "method_direct_trigger", [cron])


def findings(server):
    return server.shell(
        "result = env['auth.integration.finding'].search([('code', '=', 'database_copied')])"
        ".mapped('remedy')"
    )


def identity(server):
    [row] = server.sql(
        "SELECT system_identifier || ':' || oid AS identity"
        " FROM pg_control_system(), pg_database WHERE datname = current_database()"
    )
    return row["identity"]


def confirm_in_settings(copy):
    """An administrator who has just given the password clicks the button."""
    session = Session(copy, "admin", "admin")
    [settings] = session.call("res.config.settings", "create", [{}])
    [read] = session.call("res.config.settings", "read", [settings], ["auth_integration_is_copy"])
    assert read["auth_integration_is_copy"]
    asked = session.call("res.config.settings", "action_auth_integration_confirm_move", [settings])
    assert asked["res_model"] == "res.users.identitycheck" and findings(copy)
    session.call(
        "res.users.identitycheck", "run_check", [asked["res_id"]], context={"password": "admin"}
    )


def confirm_at_start(copy):
    """A script sets the parameter before Odoo starts, as after the restore of a backup."""
    copy.stop()
    set_parameter(copy, identity(copy))
    copy.start()


def set_parameter(copy, value):
    copy.sql(
        "INSERT INTO ir_config_parameter (key, value)"
        " VALUES ('auth_integration.confirm_move', %s)"
        " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
        [value],
    )


def test_copy_sends_nothing_until_the_move_is_confirmed(request, server, systems, copy, endpoint):
    sent, claimed = systems
    [before], keys = copy.sql(LEFT_BEHIND), list(endpoint.keys)
    copy.expect_log("This database is a copy")
    admin = administrator(copy)
    before["natives"] += 1  # the administrator's key, created for this test
    before["keys"] += 1
    run_job(copy)
    assert [before] == copy.sql(LEFT_BEHIND) and endpoint.keys == keys
    [remedy] = findings(copy)
    assert f"auth_integration.confirm_move to {identity(copy)}" in remedy
    # Keys cannot be rotated by hand, either; but they are checked, and ends are recorded.
    [key] = admin.call("auth.integration.key", "search", [("prefix", "=", claimed.key[:8])])
    with pytest.raises(Exception, match=r"database is a copy.*confirm_move"):
        admin.call("auth.integration.key", "action_rotate_now", [key])
    calls = ways(copy, claimed.uid, claimed.code, claimed.key)
    assert set(map(accepted, calls.values())) == {True}
    copy.sql("DELETE FROM res_users_apikeys WHERE index = %s", [claimed.key[:8]])
    run_job(copy, "ir_cron_reconcile")
    assert copy.sql("SELECT end_kind FROM auth_integration_key WHERE id = %s", [key]) == [
        {"end_kind": "revoked"}
    ]
    # The identity of the original confirms nothing.
    set_parameter(copy, identity(server))
    run_job(copy)
    assert findings(copy) and endpoint.keys == keys

    way = request.node.callspec.params["copy"]
    {by_template: confirm_in_settings, by_dump: confirm_at_start}[way](copy)
    assert not findings(copy)
    run_job(copy)
    [new] = [key for key in endpoint.keys if key not in keys]
    assert Json2(copy, new).call("auth.integration.key", "whoami")["state"] == "active"
    assert copy.sql(
        "SELECT key FROM ir_config_parameter WHERE key = 'auth_integration.confirm_move'"
    ) == []


def test_parameter_is_applied_by_the_job(server, systems, endpoint):
    """A running server needs no restart, and the original continues to work."""
    keys = list(endpoint.keys)
    stored = server.shell(
        "parameters = env['ir.config_parameter']\n"
        "result = parameters.get_param('auth_integration.database_identity')"
    )
    assert stored == identity(server) and not findings(server)
    moved = "UPDATE ir_config_parameter SET value = %s WHERE key = %s"
    server.sql(moved, ["1:" + stored.partition(":")[2], "auth_integration.database_identity"])
    server.expect_log("This database is a copy")
    run_job(server)
    assert findings(server) and endpoint.keys == keys
    set_parameter(server, identity(server))
    run_job(server)
    assert not findings(server) and len(endpoint.keys) == len(keys) + 1


def test_identity_that_may_not_be_read(server):
    """A hosting provider may deny access to the system identifier; the rest detects most copies."""
    oid = identity(server).partition(":")[2]
    server.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    server.sql("CREATE ROLE plain LOGIN")
    try:
        server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain")
        found = server.shell(
            """
            database = env["auth.integration.database"]
            env.cr.execute("SET ROLE plain")
            found = env["auth.integration.finding"].search_count([("code", "=", "database_copied")])
            result = [database._identity(), database._is_copy(), found]
            env.cr.execute("RESET ROLE")
            """
        )
    finally:
        server.sql("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
        server.sql("DROP OWNED BY plain")
        server.sql("DROP ROLE plain")
    assert found == [f":{oid}", False, 0]
