"""Install on a database in use, upgrade, run newer code, uninstall and install again.

The tests of this module run in order and share one database.
"""

from typing import NamedTuple

import pytest

from callers.clients import Json2, Session, Xmlrpc, accepted, ways
from evidence.stock_comparison import Key
from processes import each_worker, odoo

PASSWORD = "correct horse battery"


class Found(NamedTuple):
    """The keys and the schema of the database before the add-on was installed.

    :ivar records: the add-on's records, once there are any
    """

    keys: dict
    schema: dict
    records: dict


def schema(server):
    """Return what an add-on may leave behind in a database, by kind."""
    queries = {
        "relations": "SELECT relname || ':' || relkind::text FROM pg_class WHERE relnamespace ="
        " 'public'::regnamespace",
        "columns": "SELECT table_name || '.' || column_name || ':' || data_type || ':' ||"
        " is_nullable FROM information_schema.columns WHERE table_schema = 'public'",
        "constraints": "SELECT conrelid::regclass || ':' || conname FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
        "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "triggers": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
        "parameters": "SELECT key FROM ir_config_parameter",
        "jobs": "SELECT cron_name FROM ir_cron",
        "models": "SELECT model FROM ir_model",
        "fields": "SELECT model || '.' || name FROM ir_model_fields",
        "groups": "SELECT name->>'en_US' FROM res_groups",
        "privileges": "SELECT name->>'en_US' FROM res_groups_privilege",
        "rules": "SELECT name FROM ir_rule",
        "access rights": "SELECT name FROM ir_model_access",
        "views": "SELECT name || ':' || model FROM ir_ui_view",
        "actions": "SELECT type || ':' || (name->>'en_US') FROM ir_actions",
        "menus": "SELECT name->>'en_US' FROM ir_ui_menu",
        "activity types": "SELECT name->>'en_US' FROM mail_activity_type",
        # Odoo keeps a record of the module, installed or not.
        "external ids": "SELECT module || '.' || name FROM ir_model_data"
        " WHERE name <> 'module_auth_integration'",
        "messages": "SELECT DISTINCT model FROM mail_message WHERE model LIKE 'auth%'",
        "followers": "SELECT DISTINCT res_model FROM mail_followers WHERE res_model LIKE 'auth%'",
        "activities": "SELECT DISTINCT res_model FROM mail_activity WHERE res_model LIKE 'auth%'",
        "attachments": "SELECT DISTINCT res_model FROM ir_attachment WHERE res_model LIKE 'auth%'",
    }
    return {kind: sorted(_column(server, query)) for kind, query in queries.items()}


def _column(server, query):
    return [str(next(iter(row.values()))) for row in server.sql(query)]


def records(server):
    """Return the add-on's records of keys, by prefix."""
    rows = server.shell(
        """
        keys = env["auth.integration.key"].search([])
        result = keys.read(["prefix", "state", "imported", "apikey_id", "login", "integration_id",
                            "expires_at"])
        """
    )
    assert len(rows) == len({row["prefix"] for row in rows}), "a key has two records"
    return {row["prefix"]: row for row in rows}


def natives(server):
    """Return all columns of the native rows."""
    return server.sql("SELECT * FROM res_users_apikeys ORDER BY id")


def works(server, key, **line):
    """Return whether a key is accepted, the same in every worker and on every protocol.

    :param line: options for ``clients.Line``
    """
    answers = set()
    for _worker in each_worker(server):
        calls = ways(server, key.uid, key.login, key.secret, **line)
        answers |= set(map(accepted, calls.values()))
    assert len(answers) == 1, f"{key.login} is accepted here and refused there"
    return answers.pop()


@pytest.fixture(scope="module")
def server(live_server):
    """A server with two workers on a database that has never had the add-on."""
    return live_server("life", with_addon=False, workers=2)


@pytest.fixture(scope="module")
def found(server):
    """What exists before the installation: keys of several kinds and users, all in use."""
    made = server.shell(
        """
        import datetime
        users = env["res.users"].with_context(no_reset_password=True)
        end = datetime.datetime.now() + datetime.timedelta(days=400)
        soon = datetime.datetime.now() + datetime.timedelta(days=5)
        result = {}
        for login, values, expires in (
            ("erp", {"password": password}, None),
            ("shop", {}, end),
            ("person", {"password": password}, soon),
            ("archived", {}, end),
            ("expired", {}, soon),
        ):
            user = users.create({"name": login, "login": login, **values})
            keys = env["res.users.apikeys"].with_user(user).sudo()
            secret = keys._generate(None, f"key of {login}", expires)
            native = keys.search([("user_id", "=", user.id)])
            result[login] = [user.id, login, native.id, secret]
        """,
        password=PASSWORD,
    )
    keys = {login: Key(*values) for login, values in made.items()}
    server.sql("UPDATE res_users SET active = FALSE WHERE login = 'archived'")
    server.sql(
        "UPDATE res_users_apikeys SET expiration_date = now() AT TIME ZONE 'UTC' - interval '1 day'"
        " WHERE id = %s",
        [keys["expired"].native_id],
    )
    Session(server, "admin", "admin")  # the first login sets a parameter
    return Found(keys, schema(server), {})


def test_installation_adopts_what_is_there(server, found):
    """Every existing key gets one record, and continues to work as before."""
    before = natives(server)
    server.stop()
    server.with_addon = True
    odoo(server, "-i", "auth_integration")
    server.start()
    imported = records(server)
    assert {row["apikey_id"][0] for row in imported.values()} == {row["id"] for row in before}
    assert all(row["imported"] for row in imported.values())
    states = {row["login"]: row["state"] for row in imported.values()}
    assert states == dict.fromkeys(("erp", "shop", "person", "archived"), "active") | {
        "expired": "expired"
    }
    assert natives(server) == before
    assert {login: works(server, key) for login, key in found.keys.items()} == {
        "erp": True,
        "shop": True,
        "person": True,
        "archived": False,
        "expired": False,
    }


def test_existing_user_is_taken_over(server, found):
    """A user who becomes an integration user keeps the key, which gets an end."""
    admin = Xmlrpc(server, 2, "admin")
    key = found.keys["erp"]
    admin.call("auth.integration", "create", [{"name": "ERP", "code": "erp", "user_id": key.uid}])
    [record] = [row for row in records(server).values() if row["login"] == "erp"]
    assert record["integration_id"][1] == "ERP" and record["expires_at"]
    [native] = [row for row in natives(server) if row["id"] == key.native_id]
    assert str(native["expiration_date"]) == record["expires_at"]
    assert works(server, key)


def test_schema_behind_the_code(server, found):
    """If columns are missing, the server works as Odoo alone, with one warning per process."""
    key = found.keys["shop"]
    found.records.update(records(server))
    server.sql("ALTER TABLE auth_integration_key DROP COLUMN retire_at CASCADE")
    server.sql("ALTER TABLE auth_integration DROP COLUMN active CASCADE")
    server.stop()
    server.expect_log("The database is behind the code of auth_integration")
    mark = server.log_mark()
    server.start()
    assert works(server, key) and works(server, found.keys["erp"])
    assert not works(server, found.keys["archived"]) and not works(server, found.keys["expired"])
    session = Session(server, "person", PASSWORD)
    assert session.call("res.users", "search_count", [("id", "=", session.uid)]) == 1
    admin = Xmlrpc(server, 2, "admin")
    # What administrators do with users and keys, as without the add-on.
    [made] = admin.call("res.users", "create", [{"name": "behind", "login": "behind"}])
    admin.call("res.users", "write", [made], {"active": False})
    admin.call("res.users", "write", [made], {"active": True})
    secret = server.shell(
        """
        result = env["res.users.apikeys"].with_user(made).sudo()._generate(None, "behind", False)
        """,
        made=made,
    )
    assert works(server, Key(made, "behind", 0, secret))
    Session(server, "admin", "admin").call_checked(
        "res.users.apikeys",
        "remove",
        [row["id"] for row in natives(server) if row["user_id"] == made],
    )
    admin.call("res.users", "unlink", [made])
    log = server.log_since(mark)
    warnings = [line for line in log.splitlines() if "is behind the code" in line]
    assert warnings and all(
        "auth_integration.active, auth_integration_key.retire_at" in line for line in warnings
    )
    by_process = [line.split()[2] for line in warnings]
    assert len(by_process) == len(set(by_process))


def test_upgrade(server, found):
    """``-u`` repairs the schema, and leaves records, native keys and their use unchanged."""
    natives_before = natives(server)
    server.stop()
    odoo(server, "-u", "auth_integration")
    server.start()
    assert records(server) == found.records
    assert natives(server) == natives_before
    native = [row for row in natives(server) if row["id"] == found.keys["shop"].native_id]
    assert native[0]["scope"] is None
    for login in ("erp", "shop", "person"):
        assert works(server, found.keys[login])
    whoami = Json2(server, found.keys["erp"].secret).call("auth.integration.key", "whoami")
    assert whoami["integration"] == "erp"


def test_upgrade_from_the_first_version(server, found):
    """The upgrade fixes what ``-u`` alone would leave from the first version.

    That is the job as it was installed, the integration user as a follower who gets what people
    write, and tables of totals that are no longer read.
    """
    job = "(SELECT ir_actions_server_id FROM ir_cron c JOIN ir_model_data d ON d.res_id = c.id" \
        " AND d.model = 'ir.cron' AND d.name = 'ir_cron_reconcile')"
    followers = "SELECT p.name FROM mail_followers f JOIN res_partner p ON p.id = f.partner_id" \
        " WHERE f.res_model = 'auth.integration'"
    server.sql(f"UPDATE ir_act_server SET code = 'model._reconcile()' WHERE id = {job}")
    server.sql(
        "UPDATE ir_module_module SET latest_version = '19.0.1.0.0' WHERE name = 'auth_integration'"
    )
    server.sql(
        "INSERT INTO mail_followers (res_model, res_id, partner_id)"
        " SELECT 'auth.integration', i.id, u.partner_id"
        " FROM auth_integration i JOIN res_users u ON u.id = i.user_id"
    )
    assert server.sql(followers + " AND p.name = 'erp'")
    server.sql("UPDATE auth_integration_policy SET notice_days = '30, 1_4,,7,'")
    totals = ("auth_attempt_total", "auth_attempt_total_redo")  # of 19.0.1.2.0
    for table in totals:
        server.sql(f"CREATE TABLE {table} (half_hour timestamp)")
    server.stop()
    odoo(server, "-u", "auth_integration")
    server.start()
    assert server.sql(f"SELECT code FROM ir_act_server WHERE id = {job}") == [
        {"code": "model._cron_reconcile()"}
    ]
    assert not server.sql(followers + " AND p.name = 'erp'")
    assert server.sql("SELECT notice_days FROM auth_integration_policy") == [
        {"notice_days": "30,14,7"}
    ]
    assert not server.sql("SELECT 1 FROM pg_class WHERE relname = ANY(%s)", [list(totals)])
    assert records(server) == found.records
    # The job finds unrecorded keys again.
    key = found.keys["shop"]
    server.sql("DELETE FROM auth_integration_key WHERE apikey_id = %s", [key.native_id])
    server.shell("env.ref('auth_integration.ir_cron_reconcile').method_direct_trigger()")
    assert [row["login"] for row in records(server).values() if row["login"] == "shop"] == ["shop"]
    assert works(server, key)


def test_upgrade_closes_keys_with_rules(server, found):
    """Keys whose rules are older than the native scope get it, and lose it with their rules."""
    key = found.keys["erp"]
    admin = Xmlrpc(server, 2, "admin")

    def scope():
        [row] = [row for row in natives(server) if row["id"] == key.native_id]
        return row["scope"]

    [integration] = admin.call("auth.integration", "search", [])
    rules = {"allowed_networks": "127.0.0.1"}
    admin.call("auth.integration", "write", [integration], rules)
    # As in the version before.
    server.sql("UPDATE res_users_apikeys SET scope = NULL WHERE id = %s", [key.native_id])
    server.sql(
        "UPDATE ir_module_module SET latest_version = '19.0.1.2.0' WHERE name = 'auth_integration'"
    )
    server.stop()
    odoo(server, "-u", "auth_integration")
    server.start()
    assert scope() == "auth_integration"
    assert works(server, key)
    assert not works(server, key, source="127.0.0.2")
    admin.call("auth.integration", "write", [integration], {"allowed_networks": False})
    assert scope() is None
    assert works(server, key)


def _make_key_with_rules_and_lift_them(server, admin):
    """Make a key that keeps working after the uninstallation, as the guide explains."""
    integration = admin.call(
        "auth.integration",
        "create",
        [{"name": "Freed", "code": "freed", "allowed_networks": "127.0.0.1"}],
    )
    secret = admin.call("auth.integration", "issue_key", integration)["key"]
    key_ids = admin.call("auth.integration.key", "search", [("prefix", "=", secret[:8])])
    admin.call(
        "auth.integration.key", "set_access", key_ids,
        access="read_only", networks="127.0.0.1", reason="Reports",
    )
    admin.call("auth.integration", "write", integration, {"allowed_networks": False})
    [user] = server.sql("SELECT id FROM res_users WHERE login = 'freed'")
    key = Key(user["id"], "freed", 0, secret)
    scope = "SELECT scope FROM res_users_apikeys WHERE user_id = %s"
    assert server.sql(scope, [key.uid]) == [{"scope": "auth_integration"}]  # its own rules remain
    admin.call(
        "auth.integration.key", "set_access", key_ids,
        access="full", networks="", reason="The app is removed",
    )
    assert server.sql(scope, [key.uid]) != [{"scope": "auth_integration"}]
    return key


def test_uninstallation_removes_our_schema_only(server, found):
    """Nothing of the add-on stays; users and active keys do, and work as on Odoo alone."""
    admin = Xmlrpc(server, 2, "admin")
    # Things that leave traces: a failure, a message, a rotation with its activity.
    assert not accepted(ways(server, 2, "admin", "0" * 40)["json2"])
    [integration] = admin.call("auth.integration", "search", [])
    made = admin.call("auth.integration", "create", [{"name": "Made", "code": "made_by_us"}])
    ruled = admin.call(
        "auth.integration",
        "create",
        [{"name": "Ruled", "code": "ruled", "allowed_networks": "127.0.0.1"}],
    )
    ruled_key = admin.call("auth.integration", "issue_key", ruled)["key"]
    [ruled_user] = server.sql("SELECT id FROM res_users WHERE login = 'ruled'")
    found.keys["ruled"] = Key(ruled_user["id"], "ruled", 0, ruled_key)
    issued = admin.call("auth.integration", "issue_key", made)
    [technical] = server.sql("SELECT id FROM res_users WHERE login = 'made_by_us'")
    [key_record] = admin.call(
        "auth.integration.key", "search", [("integration_id", "=", integration)]
    )
    admin.call("auth.integration.key", "action_rotate_now", [key_record])
    session = Session(server, "admin", "admin")
    [module] = session.call("ir.module.module", "search", [("name", "=", "auth_integration")])
    freed = _make_key_with_rules_and_lift_them(server, admin)
    password = ways(server, found.keys["erp"].uid, "erp", PASSWORD)["authenticate"]
    assert not accepted(password)
    native_before = natives(server)
    session.call("ir.module.module", "button_immediate_uninstall", [module])
    after = schema(server)
    left = {
        kind: sorted(set(after[kind]) - set(found.schema[kind]))
        for kind in after
        if set(after[kind]) != set(found.schema[kind])
    }
    assert not left
    assert natives(server) == native_before
    for key in (found.keys["erp"], found.keys["shop"]):
        assert works(server, key)
    assert works(server, Key(technical["id"], "made_by_us", 0, issued["key"]))
    # The key whose rules were lifted works from everywhere, the one with rules does not.
    assert not works(server, found.keys["ruled"])
    assert works(server, freed)
    # The user's password still works: the guide says to remove it first.
    assert accepted(password)
    # Odoo alone decides now: what it ended stays ended, and its own caches are back.
    assert not works(server, found.keys["expired"])
    assert not works(server, found.keys["archived"])
    server.restart()
    assert works(server, Key(technical["id"], "made_by_us", 0, issued["key"]))


def test_reinstallation_adopts_again(server, found):
    """After another installation, every active key has one record again."""
    session = Session(server, "admin", "admin")
    [module] = session.call("ir.module.module", "search", [("name", "=", "auth_integration")])
    session.call("ir.module.module", "button_immediate_install", [module])
    imported = records(server)
    assert {row["apikey_id"][0] for row in imported.values()} == {
        row["id"] for row in natives(server)
    }
    assert all(row["imported"] for row in imported.values())
    for login in ("erp", "shop"):
        assert works(server, found.keys[login])
    # The record that knew the scope of this key was deleted by the uninstallation.
    assert not works(server, found.keys["ruled"])
    assert (
        Json2(server, found.keys["shop"].secret).call("auth.integration.key", "whoami")["state"]
        == "active"
    )
