"""Attempts to lift the limit of a read-only key: SQL, and code that Odoo evaluates."""

import xmlrpc.client

import pytest

from callers.clients import Json2, Jsonrpc, Xmlrpc
from worlds.access import SERVER_WITH_PROBE, make_key, make_room_in_the_log, rejected

SERVER = SERVER_WITH_PROBE
EXPECTED = "bad query|ReadOnlySqlTransaction|Failed to render"
PROBE = "access.probe"
INSERT = "INSERT INTO access_probe (name) VALUES ('escaped')"
SQL = {
    "begun to write": ["SET TRANSACTION READ WRITE", INSERT],
    "set": ["SET transaction_read_only = off", INSERT],
    "set in a query": ["SELECT set_config('transaction_read_only', 'off', true)", INSERT],
    "set for all": ["SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "COMMIT", INSERT],
    "set as the default": ["SET default_transaction_read_only = off", "COMMIT", INSERT],
    "committed": ["COMMIT", INSERT],
    "rolled back": ["ROLLBACK", INSERT],
    "begun anew": [f"COMMIT; BEGIN READ WRITE; {INSERT}; COMMIT"],
    "after a comment": [f"SELECT 1; /* /* */ */ COMMIT; {INSERT}"],
    "in a block": ["DO $$ BEGIN SET TRANSACTION READ WRITE; " + INSERT + "; END $$"],
    "committed in a block": ["DO $$ BEGIN COMMIT; " + INSERT + "; END $$"],
    "in a savepoint": ["SAVEPOINT x", "SET TRANSACTION READ WRITE", INSERT, "RELEASE x"],
    "prepared": ["PREPARE TRANSACTION 'x'", INSERT],
    "a sequence": ["SELECT nextval('access_probe_id_seq')"],
    "a sequence that is set": ["SELECT setval('access_probe_id_seq', 4711)"],
    "a large object": ["SELECT lo_create(4711)", "SELECT lo_put(4711, 0, 'x')"],
    "a table": ["CREATE TABLE escaped AS SELECT 1"],
    "a temporary table": ["CREATE TEMPORARY TABLE escaped AS SELECT 1"],
    "a row lock": ["SELECT id FROM access_probe FOR KEY SHARE"],
}
# PostgreSQL rejects these itself, with another message.
OF_POSTGRESQL = ("set in a query", "in a block", "committed in a block")
# Statements that leave no data behind are allowed.
HARMLESS = [
    "SELECT pg_advisory_xact_lock(4711)", "NOTIFY escaped", "LISTEN escaped", "UNLISTEN escaped",
    "SET LOCAL lock_timeout = '1s'", "SAVEPOINT x", "ROLLBACK TO SAVEPOINT x",
]
STEPS = (
    "{cr}.commit(), {cr}.execute('SET TRANSACTION READ WRITE'),"
    " {cr}.execute(\"" + INSERT + "\"), {cr}.commit()"
)
EXPRESSIONS = {
    "cursor": STEPS.format(cr="{env}.cr"),
    "cursor of a registry": "[(" + STEPS.format(cr="c") + ") for c in [{env}.registry.cursor()]]",
    "connection": "{env}.cr._cnx.rollback(), {env}.cr._cnx.set_session(readonly=False),"
    " {env}.cr.execute(\"" + INSERT + "\"), {env}.cr.commit()",
    "cursor of ours": "[(" + STEPS.format(cr="c") + ") for c in"
    " {env}['auth.attempt']._own_cursor({env}.registry).gen]",
    "cursor of a counter": "[c.execute(\"" + INSERT + "\") for c in"
    " {env}['auth.throttle']._counting().gen]",
    "records on a cursor of ours": "[keys.env['access.probe'].sudo().create({{}}) for keys in"
    " {env}['auth.integration.key']._apart(500).gen]".replace("{{}}", "{'name': 'escaped'}"),
}


@pytest.fixture(scope="module")
def reader(server):
    make_room_in_the_log(server)
    return make_key(server, "escaping", access="read_only")


@pytest.fixture(scope="module")
def administrator_key(server):
    return make_key(server, "escaping_admin", groups=["base.group_system"], access="read_only")


def state(server):
    return server.sql(
        "SELECT (SELECT count(*) FROM access_probe) AS rows, to_regclass('escaped') AS made,"
        " (SELECT last_value FROM access_probe_id_seq) AS sequence,"
        " (SELECT count(*) FROM pg_largeobject_metadata) AS objects"
    )


def run_sql(server, key, way, statements, own_cursor):
    if way == "json2":
        client = Json2(server, key.secret)
        return client.call(PROBE, "run_sql", statements=statements, own_cursor=own_cursor)
    client = (Xmlrpc if way == "xmlrpc" else Jsonrpc)(server, key.uid, key.secret)
    return client.call(PROBE, "run_sql", statements, own_cursor)


@pytest.mark.parametrize("own_cursor", [False, True], ids=["of the call", "own cursor"])
@pytest.mark.parametrize("way", ["xmlrpc", "jsonrpc", "json2"])
def test_sql(server, reader, way, own_cursor):
    server.expect_log(EXPECTED)
    before = state(server)
    for name, statements in SQL.items():
        words = "." if name in OF_POSTGRESQL else "can only read data"
        with pytest.raises((RuntimeError, xmlrpc.client.Fault), match=words):
            run_sql(server, reader, way, statements, own_cursor)
        assert state(server) == before, name
    assert run_sql(server, reader, way, HARMLESS, own_cursor) is True
    writer = make_key(server, f"escaping_{way}_{own_cursor}".lower())
    assert run_sql(server, writer, way, SQL["begun to write"], own_cursor) is True, "no limit stays"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_template_that_is_previewed(server, reader, name):
    """To preview a template, a user needs no right but to log in.

    Odoo renders a template that is not stored. Besides writing to the database, it could change the
    server's memory and sign tokens.
    """
    server.expect_log(EXPECTED)
    before = state(server)
    expression = EXPRESSIONS[name].replace("{env}", "object.env")
    [model] = server.sql("SELECT id FROM ir_model WHERE model = 'res.partner'")
    template = {"name": "x", "model": "res.partner", "model_id": model["id"]}
    for text in ("subject", "body_html"):
        code = "{{ [%s] }}" if text == "subject" else '<p t-out="[%s]"/>'
        if text == "body_html":
            expression = expression.replace('"', "&quot;").replace("<", "&lt;")
        values = {
            "mail_template_id": template | {text: code % expression},
            "resource_ref": "res.partner,1", "lang": "en_US",
        }
        with pytest.raises(xmlrpc.client.Fault, match="because it can run other code"):
            Xmlrpc(server, reader.uid, reader.secret).call(
                "mail.template.preview", "onchange", [], values, list(values),
                {text: {}, "error_msg": {}},
            )
        assert state(server) == before


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_rule_that_is_checked(server, administrator_key, name):
    """Odoo evaluates the domain before it writes it."""
    server.expect_log(EXPECTED)
    before = state(server)
    [rule] = server.sql("SELECT min(id) AS id FROM ir_rule")
    expression = EXPRESSIONS[name].replace("{env}", "user.env")
    client = Xmlrpc(server, administrator_key.uid, administrator_key.secret)
    with pytest.raises(xmlrpc.client.Fault):
        client.call("ir.rule", "write", [rule["id"]], {"domain_force": f"[{expression}]"})
    assert state(server) == before


def test_a_stored_action(server, administrator_key):
    """An action that an administrator has stored is rejected with a clear message."""
    server.expect_log(EXPECTED)
    action = server.shell(
        """
        result = env["ir.actions.server"].create({
            "name": "escapes", "model_id": env["ir.model"]._get("access.probe").id,
            "state": "code", "code": steps}).id
        """,
        steps=STEPS.format(cr="env.cr"),
    )
    before = state(server)
    client = Xmlrpc(server, administrator_key.uid, administrator_key.secret)
    with pytest.raises(xmlrpc.client.Fault, match="ir.actions.server.run was rejected because it"):
        client.call("ir.actions.server", "run", [action])
    assert state(server) == before
    assert rejected(server, administrator_key)["xmlrpc", "ir.actions.server.run"] == 1
