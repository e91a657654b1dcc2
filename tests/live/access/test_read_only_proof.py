"""Calls hundreds of methods over every protocol with a read-only key: no row may change."""

import json
import xmlrpc.client

import pytest

from callers.clients import Jsonrpc, Line, Refused, Xmlrpc
from worlds.access import WAYS, Rejected, make_key, make_room_in_the_log

# The methods to call as an administrator, with arguments chosen by the names of their parameters.
TABLE = """
    import inspect
    from odoo.service.model import get_public_method

    VALUES = {
        "vals": {"active": True}, "values": {"active": True}, "vals_list": [{"name": "proof"}],
        "data": [["proof"]], "fields": ["name"], "field_names": ["id"], "fnames": ["id"],
        "domain": [], "ids": [1], "body": "proof", "message": "proof", "name": "proof",
        "partner_ids": [1], "user_ids": [2], "model": "res.partner", "res_model": "res.partner",
        "res_id": 1, "specification": {"id": {}}, "groupby": ["create_uid"], "aggregates": [],
        "key": "proof", "value": "proof", "module": "base", "reason": "proof", "email": "a@b.c",
        "template_id": 1, "fields_spec": {"id": {}}, "field_name": "name", "translations": {},
        "code": "proof", "login": "admin", "lang": "en_US", "view_id": False, "view_type": "list",
        "integrations": [{"code": "proof"}], "group_ext_id": "base.group_user", "reference": "x",
        "password": "proof", "old_passwd": "admin", "new_passwd": "proof",
    }
    # They wait for the internet, or are the protocol's own.
    SKIPPED = {"publisher_warranty.contract", "ir.http", "ir.websocket"}
    OF_ALL = (
        "create", "write", "unlink", "copy", "name_create", "web_save", "web_read", "load", "read",
        "search_read", "web_search_read", "action_archive", "toggle_active", "export_data",
        "update_field_translations", "onchange", "default_get", "web_resequence", "read_group",
        "formatted_read_group", "name_search", "fields_get", "get_views", "search_count",
    )
    OF_ALL_OF = ("res.partner", "res.users", "auth.integration", "auth.integration.key",
                 "mail.message", "ir.config_parameter", "auth.integration.policy")
    PACKAGES = tuple(f"odoo.addons.{name}." for name in ("base", "mail", "web", "auth_integration"))

    def defines(cls, name):
        module = getattr(cls, "__module__", "")
        return name in vars(cls) and (module + ".").startswith(PACKAGES)

    def arguments(method):
        given = {}
        for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.default is parameter.empty or name in VALUES:
                given[name] = VALUES.get(name, False)
        return given

    # Of what their models define themselves, every so manieth, and all of ours.
    STEP = 6
    wanted = [(model, name) for model in OF_ALL_OF for name in OF_ALL if model in env]
    others = []
    for model_name in sorted(env.registry):
        if model_name in SKIPPED or model_name == "base":
            continue
        cls = env.registry[model_name]
        for name in sorted(dir(cls)):
            if name.startswith("_") or (model_name, name) in wanted:
                continue
            if any(defines(base, name) for base in cls.mro() if base.__name__ != "Base"):
                if callable(getattr(cls, name)):
                    others.append((model_name, name))
    ours = [pair for pair in others if pair[0].startswith("auth.") and pair[1][:4] != "mess"]
    result = []
    writers = [tuple(pair) for pair in writers]
    for model_name, name in [*wanted, *(set(ours + writers) - set(wanted)), *others[::STEP]]:
        try:
            method = get_public_method(env[model_name], name)
            given = arguments(method)
        except Exception:
            continue
        ids = []
        if not getattr(method, "_api_model", False) and not env[model_name]._abstract:
            table = env[model_name]._table
            if not env[model_name]._transient:
                ids = env[model_name].with_context(active_test=False).search([], limit=1).ids
        result.append([model_name, name, bool(getattr(method, "_api_model", False)), ids, given])
"""
# The add-on itself writes to these tables; any other difference was made by a method.
OURS = {
    "auth_attempt",
    "auth_attempt_budget",
    "auth_attempt_counter",
    "auth_attempt_daily_key",
    "auth_attempt_late",
    "auth_attempt_report_invalid",
    "auth_integration_key_address",
    "auth_integration_key_operation",  # counts differ; the allowed operations are compared apart
    "auth_integration_rpc_use",
    "auth_throttle",  # a method may check a wrong password
    "res_users_log",
}
# A method that reloads the registry makes the add-on check the identity of the database.
SEQUENCES = (*OURS, "ir_config_parameter", "ir_cron_trigger")
# A method that checks a wrong password is a rejected call, which wakes the job for incidents.
OTHER_TRIGGERS = """
    WHERE t.cron_id <> (
        SELECT d.res_id FROM ir_model_data d
        WHERE d.module = 'auth_integration' AND d.name = 'ir_cron_incidents')
"""
USES = ("use_count", "first_used_at", "last_used_at", "last_used_address", "last_used_channel",
        "last_used_agent", "digest", "operations_since", "operation_count", "last_write_at")
WRITERS = [
    ("res.partner", "create"),
    ("res.partner", "write"),
    ("res.partner", "copy"),
    ("res.partner", "name_create"),
    ("res.partner", "message_post"),
    ("res.users", "write"),
    ("ir.config_parameter", "set_param"),
    ("auth.integration", "issue_key"),
    ("auth.integration", "provision"),
    ("auth.integration.policy", "write"),
]
WIZARDS = ["mail.compose.message", "base.language.install", "auth.integration.issue",
           "change.password.wizard"]


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main", modules=("auth_integration",), extra_addons=())


SERVER = {}


@pytest.fixture(scope="module")
def reader(server):
    make_room_in_the_log(server)
    """A key of an administrator, whose limit was there before the rights were."""
    return make_key(
        server, "proof_reader", later_groups=["base.group_system"], access="read_only"
    )


def dump(server):
    """A digest of each table, the columns and large objects, and the value of each sequence."""
    digests = {}
    for row in server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        table = row["tablename"]
        if table in OURS:
            continue
        uses = "".join(f" - '{name}'" for name in USES)
        text = f"(to_jsonb(t){uses})::text" if table == "auth_integration_key" else "t::text"
        [found] = server.sql(
            f'SELECT count(*) AS rows, md5(string_agg({text}, chr(10) ORDER BY {text})) AS md5'
            f' FROM "{table}" t {OTHER_TRIGGERS if table == "ir_cron_trigger" else ""}'
        )
        digests[table] = found["rows"], found["md5"]
    digests["allowed"] = server.sql(
        "SELECT key_id, model, method FROM auth_integration_key_operation WHERE allowed ORDER BY 1"
    )
    digests["columns"] = server.sql(
        "SELECT table_name, column_name, data_type, column_default, is_nullable"
        " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    )
    digests["large objects"] = server.sql("SELECT oid FROM pg_largeobject_metadata ORDER BY 1")
    for row in server.sql("SELECT sequencename, last_value FROM pg_sequences"):
        if not row["sequencename"].startswith(SEQUENCES):
            digests[row["sequencename"]] = row["last_value"]
    return digests


def difference(before, after):
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def call(key, way, model, method, is_model_method, ids, given):
    """Call a method with the arguments from the table, and return the outcome."""
    server, recipient = key.server, [] if is_model_method else [ids]
    who = [server.db, key.uid, key.secret, model, method]
    try:
        if way == "json2":
            _json2(key, f"/json/2/{model}/{method}", given | ({"ids": ids} if recipient else {}))
        elif way == "xmlrpc1":
            client = Xmlrpc(server, key.uid, key.secret, version=1)
            client.service("object", "execute", [*who, *recipient, *given.values()])
        else:
            client = (Xmlrpc if way == "xmlrpc" else Jsonrpc)(server, key.uid, key.secret)
            client.service("object", "execute_kw", [*who, recipient, given])
    except Refused:
        return "failed"  # a method that asks for a password
    except (RuntimeError, xmlrpc.client.Fault) as error:
        return "rejected" if "This API key can only read data" in str(error) else "failed"
    return "answered"


def _json2(key, path, given):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key.secret}"}
    status, _headers, answer = Line(key.server).post(path, json.dumps(given), headers)
    if status != 200:
        raise RuntimeError(answer.decode())


def test_not_one_row_differs(server, reader):
    server.expect_log(".")
    table = server.shell(TABLE, writers=WRITERS)
    assert len({(model, method) for model, method, *_rest in table}) >= 200
    packages = {model.partition(".")[0] for model, *_rest in table}
    assert {"res", "ir", "mail", "auth", "base"} <= packages
    before, outcomes = dump(server), {}
    for way in WAYS:
        for entry in table:
            outcome = call(reader, way, *entry)
            outcomes.setdefault(way, {}).setdefault(outcome, set()).add((entry[0], entry[1]))
    assert difference(before, dump(server)) == set()
    for way in WAYS:
        found = {outcome: len(methods) for outcome, methods in outcomes[way].items()}
        assert found["answered"] >= 50 and found["rejected"] >= 200, (way, found)
        # The others failed before they did anything: a wrong argument type, or no access right.
        assert found["answered"] + found["rejected"] >= 200, (way, found)
    assert set(WRITERS) - outcomes["xmlrpc"]["rejected"] == set()


@pytest.mark.parametrize("model", WIZARDS)
def test_wizards_fail_in_words(server, reader, model):
    server.expect_log("bad query")
    with pytest.raises(Rejected, match=f"only read data. {model}.create was rejected because it"):
        reader.call("xmlrpc", model, "create", {})


def test_the_dump_sees_what_a_full_key_writes(server):
    """The same methods do change rows with a full key."""
    server.expect_log(".")
    key = make_key(server, "proof_writer", groups=["base.group_system"])
    before = dump(server)
    for model, method, args in (
        ("res.partner", "create", [{"name": "proof"}]),
        ("ir.config_parameter", "set_param", ["proof", "proof"]),
    ):
        key.call("xmlrpc", model, method, *args)
    assert {"res_partner", "ir_config_parameter"} <= difference(before, dump(server))
