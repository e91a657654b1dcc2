"""The export of events: complete, each once, only for those who may see them, and valid."""

import json
import subprocess
import sys
import threading
import xmlrpc.client

import pytest

from callers.clients import Json2, Xmlrpc
from dev.checks import guides, ocsf_schema
from dev.servers import postgres
from worlds.attempt import WRONG_KEY, World

PEOPLE = """
    users = env["res.users"].with_context(no_reset_password=True)
    result = {}
    for login, group in (("owner", "base.group_user"), ("nobody", "base.group_user"),
                         ("portal", "base.group_portal"),
                         ("manager", "auth_integration.auth_integration_group_manager")):
        user = users.create({"name": login, "login": f"export_{login}",
                             "group_ids": [(6, 0, env.ref(group).ids)]})
        if group != "base.group_portal":
            user.group_ids += env.ref("base.group_user")
        soon = __import__("datetime").datetime.now() + __import__("datetime").timedelta(days=1)
        result[login] = user.id, env["res.users.apikeys"].with_user(user).sudo()._generate(
            None, "export", soon)
    env["auth.integration"].search([("code", "=", "worker")]).owner_ids += users.search(
        [("login", "=", "export_owner")])
"""


@pytest.fixture(scope="module")
def world(server):
    made = World(server)
    made.people = server.shell(PEOPLE)
    return made


class Puller:
    """A client that exports, and keeps its position and every event."""

    def __init__(self, world, person="manager"):
        self.client = Json2(world.server, world.people[person][1])
        self.next, self.received = 0, []

    def pull(self, limit=1000):
        """Export until there is nothing new, and return the new events."""
        found = []
        while True:
            answer = self.client.call("auth.attempt", "export", after=self.next, limit=limit)
            self.next = answer["next"]
            found += answer["events"]
            if not answer["events"]:
                self.received += found
                return found

    def of(self, caller, found):
        return [event for event in found if event["unmapped"].get("user_agent") == caller.agent]

    def counts(self):
        """Return the last count of each uid."""
        return {event["metadata"]["uid"]: event["count"] for event in self.received}


def log_counts(world):
    return {row["uid"]: row["count"] for row in world.server.sql(
        "SELECT encode(bucket, 'hex') AS uid, count FROM auth_attempt")}


# Content ----------------------------------------------------------------------------------------


def test_all_of_the_log_in_pages(world):
    caller = world.calls()
    caller.json2(WRONG_KEY), caller.json2(world.keys["good"]), caller.json2(None)
    puller = Puller(world)
    events = puller.pull(limit=2)
    for event in events:
        ocsf_schema.check(event)
    # The export's own calls are attempts, and the last of them is recorded after its export.
    missing = log_counts(world).keys() - puller.counts().keys()
    assert not missing
    assert [e["time"] for e in events[:5]] == sorted(e["time"] for e in events[:5])
    by_cause = {event.get("status_detail"): event for event in puller.of(caller, events)}
    assert {None, "key_unknown", "header_missing"} <= by_cause.keys()
    good = by_cause[None]
    assert good["user"] == {"name": "worker", "uid": str(world.uids["worker"])}
    assert good["src_endpoint"] == {"ip": "127.0.0.1"}
    assert good["unmapped"]["integration"] == "worker" and good["service"]["uid"] == world.db


def test_what_is_new_comes_once_and_what_grew_comes_again(world):
    puller, caller = Puller(world), world.calls()
    puller.pull()
    assert not puller.of(caller, puller.pull())
    caller.json2(WRONG_KEY)
    [first] = puller.of(caller, puller.pull())
    assert first["count"] == 1
    assert not puller.of(caller, puller.pull())
    caller.json2(WRONG_KEY)
    [again] = puller.of(caller, puller.pull())
    if again["count"] == 1:  # a new minute has begun
        assert again["metadata"]["uid"] != first["metadata"]["uid"]
    else:
        assert (again["metadata"]["uid"], again["count"]) == (first["metadata"]["uid"], 2)


def test_xmlrpc_carries_it(world):
    """It has neither None nor integers that are too long; what callers sent is kept."""
    hostile = "\x01\ufffe]]></value>&amp;'; DROP TABLE x;--\u202e${jndi:ldap://x}"
    world.server.sql(
        "INSERT INTO auth_attempt (bucket, outcome, cause, channel, login, user_agent, count,"
        " first_seen, last_seen) VALUES (decode('77', 'hex'), 'failure', 'user_unknown', 'xmlrpc',"
        " %s, %s, 3000000000, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')"
        " ON CONFLICT DO NOTHING", [hostile, hostile])
    uid, key = world.people["manager"]
    answer = Xmlrpc(world.server, uid, key).call("auth.attempt", "export", 0, 10000)
    [event] = [e for e in answer["events"] if e["metadata"]["uid"] == "77"]
    assert type(event["time"]) is float and event["time"] > 1.7e12
    assert event["count"] == 3_000_000_000
    assert event["user"]["name"] == "\ufffd" * 2 + hostile[2:]
    by_json = Json2(world.server, key).call("auth.attempt", "export", after=0, limit=10000)
    [same] = [e for e in by_json["events"] if e["metadata"]["uid"] == "77"]
    assert type(same["time"]) is int and same == event
    assert isinstance(answer["next"], str)


# Access -----------------------------------------------------------------------------------------


def test_owners_get_their_own(world):
    world.calls().json2(WRONG_KEY), world.calls().json2(world.keys["good"])
    world.calls().json2(world.keys["archived"])
    mine = {world.integrations["worker"]}
    events = Puller(world, "owner").pull(limit=3)
    assert events and {e["unmapped"].get("integration_id") for e in events} == mine
    # Also with the position of a user who may see more.
    puller = Puller(world, "owner")
    manager = Puller(world)
    manager.next = manager.client.call("auth.attempt", "export", limit=1)["next"]
    puller.next = manager.next
    assert {e["unmapped"].get("integration_id") for e in puller.pull()} <= mine


@pytest.mark.parametrize("person", ["nobody", "portal"])
def test_others_get_none(world, person):
    uid, key = world.people[person]
    with pytest.raises(RuntimeError, match="403.*AccessError"):
        Json2(world.server, key).call("auth.attempt", "export")
    with pytest.raises(xmlrpc.client.Fault) as fault:
        Xmlrpc(world.server, uid, key).call("auth.attempt", "export")
    assert fault.value.faultCode == 4


@pytest.mark.parametrize("arguments", [
    {"limit": 0}, {"limit": -1}, {"limit": True}, {"limit": "10"}, {"limit": 1.5}, {"limit": None},
    {"after": 1}, {"after": "x"}, {"after": []}, {"after": {"a": 1}}, {"after": "'; DROP TABLE x"},
    {"after": "a" * 1_000_000},
])
def test_anything_else_is_refused_in_words(world, arguments):
    with pytest.raises(RuntimeError, match="422.*UserError.*(limit|position)"):
        Json2(world.server, world.people["manager"][1]).call(
            "auth.attempt", "export", **arguments)


def test_a_huge_limit_is_bounded(world):
    client = Json2(world.server, world.people["manager"][1])
    assert client.call("auth.attempt", "export", limit=10**30)["events"]


# Completeness -----------------------------------------------------------------------------------

INSERT = (
    "INSERT INTO auth_attempt (bucket, outcome, cause, channel, user_agent, first_seen, last_seen)"
    " VALUES (decode(md5(%s), 'hex'), 'failure', 'key_unknown', 'json2', %s,"
    " now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')"
)


def test_a_transaction_held_open_is_not_skipped(world):
    """It was inserted before all others, and commits after their events were exported."""
    puller, caller = Puller(world), world.calls()
    puller.pull()
    held = postgres.connect(world.db)
    held.autocommit = False
    with held.cursor() as cursor:
        cursor.execute(INSERT, ["held open", "held open"])
        for _turn in range(3):
            caller.json2(WRONG_KEY)
            assert puller.of(caller, puller.pull()), "others wait for it"
        assert not any(e["unmapped"].get("user_agent") == "held open" for e in puller.received)
    held.commit()
    held.close()
    found = [e for e in puller.pull() if e["unmapped"].get("user_agent") == "held open"]
    assert len(found) == 1 and not [
        e for e in puller.pull() if e["unmapped"].get("user_agent") == "held open"]


def test_a_row_far_behind_the_newest_is_found(world):
    """Its row is far behind the newest rows when it commits."""
    puller = Puller(world)
    puller.pull()
    held = postgres.connect(world.db)
    held.autocommit = False
    with held.cursor() as cursor:
        cursor.execute(INSERT.replace("now()", "(now() - interval '89 minutes')"), ["long", "long"])
        puller.pull()
    held.commit()
    held.close()
    assert [e for e in puller.pull() if e["unmapped"].get("user_agent") == "long"]


def test_uses_written_long_after_are_found(world):
    """Uses that waited in memory while the database was unavailable."""
    puller = Puller(world)
    puller.pull()
    for _turn in range(2):
        world.server.shell(
            """
            import dataclasses, time
            from odoo.addons.auth_integration.tools.key.usage_writer import Batch, SuccessfulUse
            facts = dict.fromkeys(SuccessfulUse._fields)
            facts |= {"dbname": env.cr.dbname, "channel": "json2", "user_agent": "late"}
            env["auth.attempt"]._write_use(Batch(
                SuccessfulUse(**facts), 2, time.time() - 36000, time.time() - 36000))
            """)
        [event] = [e for e in puller.pull() if e["unmapped"].get("user_agent") == "late"]
        assert event["count"] == 2 * (_turn + 1)


def test_traffic_while_somebody_exports(world):
    """With parallel calls and exports in small pages, every count is right at the end."""
    puller, callers = Puller(world), [world.calls() for _number in range(4)]
    puller.pull()

    def work(caller):
        for number in range(25):
            caller.json2(f"{number % 5:040x}")
            caller.json2(world.keys["good"])

    threads = [threading.Thread(target=work, args=[caller]) for caller in callers]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):  # each makes 50 calls
        puller.pull(limit=7)
    puller.pull()
    mine = {row["uid"]: row["count"] for caller in callers for row in world.server.sql(
        "SELECT encode(bucket, 'hex') AS uid, count FROM auth_attempt"
        " WHERE user_agent = %s AND outcome = 'failure'", [caller.agent])}
    counts = puller.counts()
    assert mine and {uid: counts.get(uid) for uid in mine} == mine
    repeated = [(e["metadata"]["uid"], e["count"]) for e in puller.received]
    assert len(repeated) == len(set(repeated)), "an event came twice"


def test_a_kill_loses_nothing(world):
    server = world.server
    puller, caller = Puller(world), world.calls()
    puller.pull()
    caller.json2(WRONG_KEY)
    server.kill9()
    server.start()
    assert puller.of(caller, puller.pull())


def test_a_restart_of_postgresql_repeats_and_skips_nothing(world):
    """After a crash, transaction IDs may be reused, so those in the position are invalid."""
    puller, caller = Puller(world), world.calls()
    caller.json2(WRONG_KEY)
    puller.pull()
    export_position = world.server.shell(
        """
        from dataclasses import replace
        from odoo.addons.auth_integration.tools.monitoring.export_position import Position
        future = replace(Position.load(position), started="before", seen="9000000:9000000:")
        result = future.dump()
        """, position=puller.next)
    caller.json2(world.keys["good"])
    puller.next = export_position
    assert len(puller.of(caller, puller.pull())) >= 2


# The documentation ------------------------------------------------------------------------------


def test_the_puller_of_the_documentation(world, tmp_path):
    text = guides.example("puller")
    assert len(text.splitlines()) == 10
    (tmp_path / "puller.py").write_text(text)
    caller = world.calls()

    def run():
        done = subprocess.run(
            [sys.executable, "puller.py"], cwd=tmp_path, capture_output=True, text=True, check=True,
            env={"ODOO_URL": world.server.url, "ODOO_DB": world.db,
                 "ODOO_KEY": world.people["manager"][1]})
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [e for e in events if e["unmapped"].get("user_agent") == caller.agent]

    caller.json2(WRONG_KEY)
    assert len(run()) == 1
    assert not run()
    caller.json2("e" * 40)
    assert len(run()) == 1
