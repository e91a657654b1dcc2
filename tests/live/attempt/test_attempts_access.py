"""Who may read the log of attempts, and that no user may change it, over every protocol."""

import contextlib
import datetime
import functools
import xmlrpc.client

import pytest

from callers.clients import Json2, Jsonrpc, Session, Xmlrpc
from worlds.attempt import WRONG_KEY, World

MAKE_READERS = """
    people = {}
    for login, group in {
        "reader_owner": "base.group_user",
        "reader_internal": "base.group_user",
        "reader_portal": "base.group_portal",
        "reader_administrator": "base.group_system",
    }.items():
        groups = [(6, 0, [env.ref(group).id])]
        user = env["res.users"].create(
            {"name": login, "login": login, "group_ids": groups, "password": login})
        key = env["res.users.apikeys"].with_user(user).sudo()._generate(None, login, end)
        people[login] = user.id, key
        # Whether somebody may export at all is asked before whose the rows are.
        if group != "base.group_portal":
            env.ref("base.group_allow_export").user_ids += user
    env["auth.integration"].browse(near).owner_ids += env["res.users"].browse(
        people["reader_owner"][0])
    result = people
"""
REMOVAL = """
    INSERT INTO auth_attempt_removal (date, reason, outcome) VALUES (now(), 'age', 'failure')
    RETURNING id
"""
OUTSIDERS = ("reader_internal", "reader_portal")
EVERYBODY = ("reader_owner", *OUTSIDERS, "reader_administrator")
IDENTITY_CHECK = "res.users.identitycheck"
LOGS = ("auth.attempt", "auth.attempt.removal", "auth.attempt.report")


class Readers:
    """Four users, and three rows: of the owner's integration, of another, and of none.

    :ivar clients: by protocol and login
    """

    def __init__(self, world):
        self.world = world
        end = datetime.datetime.now() + datetime.timedelta(days=30)
        people = world.server.shell(
            MAKE_READERS, near=world.integrations["near"], end=str(end)[:19]
        )
        self.clients = {}
        for login, (uid, key) in people.items():
            self.clients |= {
                ("xmlrpc", login): Xmlrpc(world.server, uid, key),
                ("jsonrpc", login): Jsonrpc(world.server, uid, key),
                ("json2", login): Json2(world.server, key),
                ("session", login): Session(world.server, login, login),
            }
        calls = [world.calls("127.0.0.50") for _ in range(3)]
        calls[0].execute(world.uids["near"], WRONG_KEY)
        calls[1].execute(world.uids["worker"], WRONG_KEY)
        calls[2].authenticate("nobody here", "x")
        self.own, self.other, self.nobodys = [caller.rows()[0]["id"] for caller in calls]
        [removal] = world.server.sql(REMOVAL)
        self.removal = removal["id"]
        administrator = self.clients["json2", "reader_administrator"]
        [self.counted] = administrator.call("auth.attempt.report", "search", domain=[], limit=1)
        self.rows = (self.own, self.removal, self.counted)

    def recorded(self):
        """Everything recorded about the three rows and about removals."""
        return self.world.server.sql(
            "SELECT * FROM auth_attempt WHERE id = ANY(%s) ORDER BY id",
            [[self.own, self.other, self.nobodys]],
        ) + self.world.server.sql("SELECT * FROM auth_attempt_removal ORDER BY id")


@pytest.fixture(scope="module")
def readers(live_server):
    return Readers(World(live_server("main")))


@pytest.fixture(params=["xmlrpc", "jsonrpc", "json2", "session"])
def call(request, readers):
    """Call a method over one of the protocols; the result of a refused call is ``refused``.

    ``ids`` are the records for methods of records; other arguments are named, as in /json/2.
    """

    def call(login, method, ids=None, model="auth.attempt", **arguments):
        client = readers.clients[request.param, login]
        try:
            if ids is None:
                return client.call(model, method, **arguments)
            if request.param == "json2":
                return client.call(model, method, ids=ids, **arguments)
            return client.call(model, method, ids, **arguments)
        except (xmlrpc.client.Fault, RuntimeError) as error:
            if not _is_refusal(error, method):
                raise
            return "refused"

    return call


def _is_refusal(error, method):
    if method == "export_data" and "rights to export" in str(error):
        return True
    return getattr(error, "faultCode", None) == 4 or "odoo.exceptions.AccessError" in str(error)


@pytest.fixture
def owner(call):
    """Return a function that calls as the owner of the integration *near*."""
    return functools.partial(call, "reader_owner")


def test_owner_reads_the_attempts_of_his_integrations(readers, owner):
    """The owner finds them by search, read, count, grouping, export and name search."""
    near = readers.world.integrations["near"]
    found = owner("search", domain=[])
    assert readers.own in found
    rows = readers.world.server.sql(
        "SELECT DISTINCT integration_id FROM auth_attempt WHERE id = ANY(%s)", [found]
    )
    assert [row["integration_id"] for row in rows] == [near]
    assert owner("search_count", domain=[]) == len(found)
    [row] = owner("read", [readers.own], fields=["login", "cause", "cause_remedy", "count"])
    assert (row["login"], row["cause"], row["count"]) == ("near", "key_unknown", 1)
    groups = owner("formatted_read_group", domain=[], groupby=["integration_id"],
                   aggregates=["count:sum", "__count"])
    assert [(group["integration_id"][0], group["__count"]) for group in groups] == [
        (near, len(found))
    ]
    exported = owner("export_data", found, fields_to_export=["login", "cause"])
    assert len(exported["datas"]) == len(found)
    named = owner("name_search", domain=[], limit=0)
    assert {number for number, _name in named} == set(found)


def test_owner_finds_no_other_attempts(readers, owner):
    """The owner gets none by any search, count or grouping."""
    readers.world.server.expect_log("read_group is deprecated")
    for domain in (
        [("id", "in", [readers.other, readers.nobodys])],
        [("integration_id", "=", readers.world.integrations["worker"])],
        [("integration_id", "=", False)],
        [("login", "=like", "worker%")],
        ["|", ("integration_id.code", "=", "worker"), ("user_id.login", "=", "worker")],
    ):
        assert owner("search", domain=domain) == []
        assert owner("search_count", domain=domain) == 0
        assert owner("search_read", domain=domain, fields=["login"]) == []
        grouped = {"domain": domain, "groupby": ["login"]}
        assert owner("formatted_read_group", **grouped, aggregates=["__count"]) == []
        assert owner("read_group", **grouped, fields=["count:sum"]) == []
        assert owner("web_read_group", **grouped, aggregates=["count:sum"])["groups"] == []
        [sets] = owner("formatted_read_grouping_sets", domain=domain, grouping_sets=[["login"]],
                       aggregates=["__count"])
        assert sets == []
        assert owner("web_search_read", domain=domain, specification={"login": {}})["records"] == []
        assert owner("name_search", domain=domain) == []
        assert owner("web_name_search", name="", specification={"login": {}}, domain=domain) == []


def test_owner_reads_no_other_attempts(readers, owner):
    """Knowing its ID, the owner cannot read, export or fix one, neither alone nor among others."""
    for hidden in (readers.other, readers.nobodys):
        assert owner("read", [hidden], fields=["login"]) == "refused"
        assert owner("read", [readers.own, hidden], fields=["login"]) == "refused"
        assert owner("web_read", [hidden], specification={"login": {}}) == "refused"
        assert owner("export_data", [hidden], fields_to_export=["login"]) == "refused"
        assert owner("action_fix_open", [hidden]) == "refused"
    assert owner("search", domain=[], model="auth.attempt.removal") == "refused"


def test_owner_reads_the_analysis_of_his_integrations_only(readers, call):
    """The report counts only the rows that the rules of the log let the owner read."""
    near = readers.world.integrations["near"]
    [counted] = readers.world.server.sql(
        "SELECT sum(count)::integer AS count, count(*) AS rows FROM auth_attempt"
        " WHERE integration_id = %s",
        [near],
    )

    def owner(*args, **kwargs):
        return call("reader_owner", *args, model="auth.attempt.report", **kwargs)

    groups = owner("formatted_read_group", domain=[], groupby=["integration_id"],
                   aggregates=["count:sum", "row_count:sum"])
    assert [(group["integration_id"][0], group["count:sum"], group["row_count:sum"])
            for group in groups] == [(near, counted["count"], counted["rows"])]
    rows = owner("search_read", domain=[], fields=["integration_id", "count"])
    assert {row["integration_id"][0] for row in rows} == {near}
    assert sum(row["count"] for row in rows) == counted["count"]
    foreign = call("reader_administrator", "search", model="auth.attempt.report",
                   domain=[("integration_id", "!=", near)])
    assert foreign
    for domain in ([("id", "in", foreign)], [("integration_id", "=", False)],
                   [("integration_id.code", "=", "worker")]):
        assert owner("search", domain=domain) == []
        [everything] = owner("formatted_read_group", domain=domain, groupby=[],
                             aggregates=["count:sum"])
        assert not everything["count:sum"]
    assert owner("read", foreign[:1], fields=["count"]) == "refused"
    assert owner("action_view_attempts", foreign[:1]) == "refused"


def test_others_read_nothing_and_the_administrator_everything(readers, call):
    """Internal and portal users read nothing; explain_reference returns nothing or is refused."""
    readers.world.server.expect_log("read_group is deprecated")
    grouped = {"domain": [], "groupby": ["outcome"]}
    of_rows = {
        "read": {}, "web_read": {"specification": {"outcome": {}}},
        "export_data": {"fields_to_export": ["outcome"]},
    }
    of_model = {
        "search": {"domain": []}, "search_count": {"domain": []}, "search_read": {},
        "web_search_read": {"domain": [], "specification": {"outcome": {}}},
        "name_search": {}, "web_name_search": {"name": "", "specification": {"outcome": {}}},
        "formatted_read_group": {**grouped, "aggregates": ["__count"]},
        "web_read_group": {**grouped, "aggregates": ["__count"]},
        "read_group": {**grouped, "fields": ["__count"]},
    }
    for model, row in zip(LOGS, readers.rows, strict=True):
        for methods, ids in ((of_rows, [row]), (of_model, None)):
            for method, arguments in methods.items():
                for login in OUTSIDERS:
                    read = call(login, method, ids, model, **arguments)
                    assert read == "refused", (login, model, method)
                read = call("reader_administrator", method, ids, model, **arguments)
                assert read and read != "refused", (model, method)
    for fix in (
        "open", "restore_user", "issue_key", "revoke", "view_rotation", "add_network",
        "allow_protocol",
    ):
        for login in OUTSIDERS:
            answer = call(login, f"action_fix_{fix}", [readers.own])
            # Over a session, the password is asked for first; nothing is shown or done before.
            assert answer == "refused" or answer.get("res_model") == IDENTITY_CHECK, fix
    assert call("reader_internal", "explain_reference", reference="AAAA-AAAA") == []
    assert call("reader_portal", "explain_reference", reference="AAAA-AAAA") == "refused"
    everything = [readers.own, readers.other, readers.nobodys]
    read = call("reader_administrator", "read", everything, fields=["login"])
    assert [row["id"] for row in read] == everything


WRITES = {"outcome": "success", "channel": "web"}
# Methods of records, then of the model; private methods last.
OF_ROWS = (
    ("write", {"vals": {"outcome": "success"}}),
    ("write", {"vals": {"count": 0}}),
    ("unlink", {}),
    ("copy", {}),
    ("web_save", {"vals": {"outcome": "success"}, "specification": {}}),
    ("web_save_multi", {"vals_list": [{"outcome": "success"}], "specification": {}}),
    ("_write", {"vals": {"outcome": "success"}}),
    ("update", {"values": {"outcome": "success"}}),
    ("sudo", {}),
    ("with_user", {"user": 1}),
)
OF_MODEL = (
    ("create", {"vals_list": [WRITES]}),
    ("name_create", {"name": "x"}),
    ("init", {}),
    ("search_fetch", {"domain": [], "field_names": ["outcome"]}),
    ("_upsert", {"values": {}, "count": 1, "first_seen": False, "last_seen": False}),
    ("_write_use", {"batch": []}),
    ("_emit_in", {}),
    ("_remove", {"reason": "age", "condition": "TRUE"}),
    ("_gc_attempts", {}),
    ("_correlation_key", {}),
    ("_reference_key", {}),
)
# Methods that are of no use for these models: some are refused, others do nothing.
IN_VAIN = (
    ("action_archive", {}),
    ("action_unarchive", {}),
    ("toggle_active", {}),
    ("web_override_translations", {"values": {"login": "x"}}),
    ("update_field_translations", {"field_name": "login", "translations": {"en_US": "x"}}),
    ("web_resequence", {"specification": {}, "field_name": "count"}),
)


@pytest.mark.parametrize("login", EVERYBODY)
def test_nobody_changes_a_row(readers, call, login):
    """Nor can they remove or add one, with any writing method or with the hooks' own methods."""
    for in_vain in ("odoo.http: Exception during request handling", "use action_archive"):
        readers.world.server.expect_log(in_vain)
    before = readers.recorded()
    for model, row in zip(LOGS, readers.rows, strict=True):
        for methods, ids in ((OF_ROWS, [row]), (OF_MODEL, None)):
            for method, arguments in methods:
                done = call(login, method, ids, model, **arguments)
                assert done == "refused", (model, method)
        imported = call(login, "load", model=model, fields=["outcome"], data=[["Success"]])
        assert imported == "refused" or not imported["ids"]
        for method, arguments in IN_VAIN:
            with contextlib.suppress(xmlrpc.client.Fault, RuntimeError):
                call(login, method, [row], model, **arguments)
    assert readers.recorded() == before
