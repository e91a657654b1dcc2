"""The number of log rows that one source can create, and that only that source loses detail."""

import pytest

from callers.clients import Line
from worlds.attempt import World

SERVER = {"workers": 2}
LIMIT = 40
# A quarter of the limit, and until all detail is lost.
MAX_OF_SOURCE = LIMIT // 4 * 5 // 4


@pytest.fixture(scope="module")
def world(live_server):
    made = World(live_server("main"))
    made.server.shell(
        "env['ir.config_parameter'].set_param("
        "'auth_integration.attempt_new_rows_per_minute', str(limit))",
        limit=LIMIT,
    )
    return made


def rows_since(world, mark):
    return world.server.sql("SELECT * FROM auth_attempt WHERE id > %s ORDER BY id", [mark])


def last_id(world):
    return world.server.sql("SELECT coalesce(max(id), 0) AS id FROM auth_attempt")[0]["id"]


def attempts(world):
    """The number of attempts; collapsed ones may be in a row of an earlier test."""
    [total] = world.server.sql("SELECT coalesce(sum(count), 0)::integer AS n FROM auth_attempt")
    return total["n"]


def minutes_of(rows):
    return len({row["first_seen"].replace(second=0) for row in rows})


def nameless(world, source, number):
    """Call /json/2 without a key, each time as another program."""
    line = Line(world.server, source=source, agent=f"noise/{number}.0")
    json_type = {"Content-Type": "application/json"}
    status, _headers, _body = line.post("/json/2/res.users/context_get", "{}", json_type)
    assert status == 401


def test_a_noisy_source_loses_detail_alone(world):
    """Others keep address, agent and reference, and so does an integration at the same address."""
    # All calls are in the same minute at the third try at the latest.
    for source in ("127.0.2.1", "127.0.2.3", "127.0.2.4"):
        mark = last_id(world)
        for number in range(130):
            nameless(world, source, number)
        stranger, near = world.calls("127.0.2.2"), world.calls(source)
        other_reference = stranger.json2(None).reference
        near_reference = near.json2(world.keys["expired"]).reference
        rows = rows_since(world, mark)
        if minutes_of(rows) == 1:
            break
        # The next try would be counted in rows of this minute.
        world.server.sql("DELETE FROM auth_attempt WHERE id > %s", [mark])
    noise = [row for row in rows if row["cause"] == "header_missing"]
    assert sum(row["count"] for row in noise) == 131
    assert len(noise) <= MAX_OF_SOURCE + 3
    assert {row["remote_addr"] for row in noise} == {source, "127.0.2.2"}
    assert "(many)" in {row["user_agent"] for row in noise}
    [other] = stranger.rows()
    assert (other["remote_addr"], other["reference"]) == ("127.0.2.2", other_reference)
    [kept] = [row for row in rows if row["cause"] == "key_expired"]
    assert (kept["remote_addr"], kept["reference"]) == (source, near_reference)
    assert kept["integration_id"] == world.integrations["worker"]


def test_whoever_tries_variants_of_a_call_finds_each_of_them(live_server):
    """With the default limit, 60 variants in a minute keep address, agent and reference."""
    world = World(live_server("default"))
    world.server.shell(
        "env['ir.config_parameter'].search("
        "[('key', '=', 'auth_integration.attempt_new_rows_per_minute')]).unlink()"
    )
    mark = last_id(world)
    for number in range(60):
        nameless(world, "127.0.6.1", number)
    rows = rows_since(world, mark)
    assert [row["count"] for row in rows] == [1] * 60
    assert {row["remote_addr"] for row in rows} == {"127.0.6.1"}
    assert len({row["user_agent"] for row in rows}) == 60
    assert all(row["reference"] for row in rows)


def test_user_ids_make_no_more_rows_than_logins(world):
    """Empty secrets with many user IDs from one source: the users collapse, each try is counted."""
    mark, before, tries = last_id(world), attempts(world), 200
    caller = world.calls("127.0.3.1")
    for uid in range(1000, 1000 + tries):
        caller.execute_json(uid, "")
    rows = rows_since(world, mark)
    assert attempts(world) - before == tries
    assert len(rows) <= minutes_of(rows) * (MAX_OF_SOURCE + 4)
    assert {row["cause"] for row in rows} == {"secret_missing"}


def test_users_collapse_and_integrations_do_not(world):
    """Empty secrets for many users from one source."""
    made = world.server.shell(
        "result = env['res.users'].create([{'name': f'many {n}', 'login': f'many {n}'}"
        " for n in range(40)]).ids"
    )
    mark, before = last_id(world), attempts(world)
    for uid in made:
        world.calls("127.0.4.1").execute_json(uid, "")
    world.calls("127.0.4.1").execute_json(world.uids["worker"], "")
    rows = rows_since(world, mark)
    assert attempts(world) - before == len(made) + 1
    assert len(rows) <= minutes_of(rows) * (MAX_OF_SOURCE + 4)
    assert world.uids["worker"] in {row["user_id"] for row in rows}
    assert len({row["user_id"] for row in rows}) < len(made)
    assert [row["count"] for row in rows if row["integration_id"]] == [1]


def test_one_good_key_makes_so_many_rows_an_hour(world):
    """With many addresses and programs in both workers, rows are bounded and counts are exact."""
    mark, sources, agents = last_id(world), 12, 12
    for number in range(sources):
        for agent in range(agents):
            line = Line(world.server, source=f"127.0.5.{number + 1}", agent=f"fleet/{agent}.0")
            status, _headers, _body = line.post(
                "/json/2/res.users/context_get",
                "{}",
                {
                    "Authorization": f"Bearer {world.keys['good']}",
                    "Content-Type": "application/json",
                },
            )
            assert status == 200
    world.server.restart()
    rows = rows_since(world, mark)
    assert sum(row["count"] for row in rows) == sources * agents
    hours = len({row["first_seen"].replace(minute=0, second=0) for row in rows})
    assert len(rows) <= hours * (LIMIT * 5 // 4 + 4)
    assert {row["key_id"] for row in rows} == {world.key_ids["good"]}
    [key] = world.server.sql(
        "SELECT use_count, last_used_address FROM auth_integration_key WHERE id = %s",
        [world.key_ids["good"]],
    )
    assert key == {"use_count": sources * agents, "last_used_address": f"127.0.5.{sources}"}
