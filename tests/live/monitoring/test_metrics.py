"""Metrics as Prometheus reads them: by token, the same from every worker, never decreasing."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from callers.clients import Line
from dev.checks import guides
from dev.common import ROOT
from other_servers import prometheus
from processes import each_worker
from worlds.attempt import WRONG_KEY, World

TOKEN = "auth_integration.metrics_token"
PATH = "/auth_integration/metrics"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
RULES = ROOT / "data/prometheus/auth_integration.rules.yml"
DASHBOARD = json.loads((ROOT / "data/grafana/auth_integration.json").read_text())


@pytest.fixture(scope="module")
def world(server):
    return World(server)


def token(server):
    [row] = server.sql("SELECT value FROM ir_config_parameter WHERE key = %s", [TOKEN])
    return row["value"]


def get(server, headers=(), path=PATH, method="GET"):
    return Line(server).request(method, path, headers=dict(headers))


def scrape(server, secret=None, accept=OPENMETRICS):
    status, headers, text = get(
        server, {"Authorization": f"Bearer {secret or token(server)}", "Accept": accept})
    assert status == 200, text
    return text.decode()


def samples(text):
    return {(sample.name, *sample.labels.values()): sample.value
            for family in parse(text) for sample in family.samples}


def attempts(server):
    return {tuple(sample.labels[name] for name in ("outcome", "cause", "channel")): sample.value
            for family in parse(scrape(server)) for sample in family.samples
            if sample.name == "auth_integration_attempts_total"}


# Access -----------------------------------------------------------------------------------------


def test_a_token_is_made_at_installation(world):
    assert re.fullmatch(r"[\w-]{43}", token(world.server))


@pytest.mark.parametrize("header", [
    None, "", "Bearer", "Bearer ", "Bearer x", "Basic {token}", "{token}", "Bearer {token}x",
    "Bearer {token} x", "Bearer {token}, Bearer x", "Bearer {good}", "Bearer é", "Token {token}",
])
def test_without_the_token_the_answer_is_always_the_same(world, header):
    """Neither a part of the token nor an API key gives access, and nothing is written."""
    server = world.server
    before = server.sql("SELECT count(*), sum(count) FROM auth_attempt")
    values = {"token": token(server), "good": world.keys["good"]}
    headers = {} if header is None else {"Authorization": header.format(**values).encode("latin-1")}
    mark = server.log_mark()
    status, answered, text = get(server, headers)
    assert (status, text) == (401, b"Send the metrics token as a bearer token.\n")
    assert answered["WWW-Authenticate"] == "Bearer" and "Set-Cookie" not in answered
    assert before == server.sql("SELECT count(*), sum(count) FROM auth_attempt")
    assert token(server) not in server.log_since(mark)


def test_other_ways_to_send_it_do_not_work(world):
    secret = token(world.server)
    assert get(world.server, path=f"{PATH}?token={secret}&access_token={secret}")[0] == 401
    assert get(world.server, {"Authorization": f"Bearer {secret}"}, method="POST")[0] == 405
    assert "auth_integration_keys" in scrape(world.server, secret)


def test_the_token_opens_nothing_else(world):
    assert world.calls().json2(token(world.server)).status == 401


def test_a_thousand_wrong_tokens_leave_no_row(world):
    before = world.server.sql("SELECT count(*) FROM auth_attempt")
    for number in range(1000):
        assert get(world.server, {"Authorization": f"Bearer {number:040x}"})[0] == 401
    assert world.server.sql("SELECT count(*) FROM auth_attempt") == before


def test_a_token_that_is_taken_away_stops_at_once(world):
    server, secret = world.server, token(world.server)
    scrape(server)
    for _worker in each_worker(server):
        scrape(server, secret)
    server.sql("UPDATE ir_config_parameter SET value = 'another' WHERE key = %s", [TOKEN])
    for _worker in each_worker(server):
        assert get(server, {"Authorization": f"Bearer {secret}"})[0] == 401
        scrape(server, "another")
    server.sql("DELETE FROM ir_config_parameter WHERE key = %s", [TOKEN])
    for _worker in each_worker(server):
        for presented in ("", "another", secret, "None", "False"):
            assert get(server, {"Authorization": f"Bearer {presented}"})[0] == 401
    server.shell("env['auth.integration.metrics']._renew_token()")
    scrape(server)


# Counters ---------------------------------------------------------------------------------------


def test_every_worker_counts_the_same(world):
    caller, before = world.calls(), attempts(world.server)
    for _worker in each_worker(world.server):
        for _call in range(3):
            caller.json2(WRONG_KEY)
    made = 3 * len(world.server.worker_pids())
    place = "failure", "key_unknown", "json2"
    for _worker in each_worker(world.server):
        assert attempts(world.server)[place] == before.get(place, 0) + made


def test_nobody_outside_chooses_a_label(world):
    hostile = 'a"} 9\nfake_metric{x="'
    caller = world.calls()
    caller.authenticate(hostile, "x")
    caller.xml("common", hostile, hostile)
    caller.json2(None, f"res.users/{'x' * 50}")
    text = scrape(world.server)
    assert "fake_metric" not in text and world.keys["good"] not in text
    assert "127.0.0.1" not in text and "worker" not in text


def test_counters_never_fall(world):
    """Read them during calls, the hourly job, retention and the limit of rows."""
    server, seen = world.server, {}
    job = "env['auth.attempt.report']._cron_rollup()"
    retention = """
        env["ir.config_parameter"].set_param("auth_integration.attempt_max_rows", "3")
        env["auth.attempt"]._gc_attempts()
    """

    def look():
        found = attempts(server)
        for place, count in seen.items():
            assert found.get(place, 0) >= count, place
        seen.update(found)

    def call(_number):
        caller = world.calls()
        return [caller.json2(WRONG_KEY), caller.json2(world.keys["good"])]

    server.sql("UPDATE auth_attempt SET first_seen = first_seen - interval '1 day',"
               " last_seen = last_seen - interval '1 day'")  # the job will count these
    with ThreadPoolExecutor(4) as pool:
        for _turn in range(6):
            waiting = [pool.submit(call, number) for number in range(5)]
            look()
            server.shell(job)
            look()
            server.shell(retention)
            look()
            for each in waiting:
                each.result()
    assert server.sql("SELECT count(*) FROM auth_attempt")[0]["count"] < 40
    server.shell("""
        env["ir.config_parameter"].set_param("auth_integration.attempt_max_rows", "99999")
    """)


# Several databases ------------------------------------------------------------------------------


def test_the_database_is_odoos_own_choice(live_server):
    other = live_server("second")
    other.stop()
    server = live_server("several", config={
        "db_name": "", "dbfilter": "^live_.*_metrics_(several|second)$", "list_db": "False"})
    for each in (server, other):  # copies of the same template have the same token
        each.sql("UPDATE ir_config_parameter SET value = %s WHERE key = %s", [each.db, TOKEN])
    for db, secret in ((server.db, token(server)), (other.db, token(other))):
        headers = {"Authorization": f"Bearer {secret}", "X-Odoo-Database": db}
        assert get(server, headers)[0] == 200
    assert get(server, {**headers, "X-Odoo-Database": server.db})[0] == 401
    assert get(server, {"Authorization": f"Bearer {secret}"})[0] == 404


# Prometheus -------------------------------------------------------------------------------------


def expressions():
    """Yield every query of the dashboard and of the alert rules."""
    variables = {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m"}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in variables.items():
                text = text.replace(name, value)
            yield panel["title"], text
    for text in re.findall(r"^ +expr: (.+)$", RULES.read_text(), re.M):
        yield "rule", text


def test_rules_and_scrape_please_promtool(world):
    prometheus.promtool("check", "rules", RULES)
    # It suggests seconds, but people read days.
    days = 'auth_integration_days_to_expiry use base unit "seconds" instead of "days"'
    found = prometheus.promtool(
        "check", "metrics", stdin=scrape(world.server, accept="text/plain"), status=3)
    assert found.strip() == days


def test_alert_rules_fire(tmp_path):
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    (tmp_path / "test.yml").write_text((ROOT / "tests/live/monitoring/rules_test.yml").read_text())
    prometheus.promtool("test", "rules", tmp_path / "test.yml")


def test_prometheus_scrapes_it_and_answers_every_query(world, tmp_path):
    """Run a real Prometheus with the configuration of the documentation."""
    server = world.server
    caller = world.calls()
    caller.json2(WRONG_KEY), caller.json2(world.keys["good"])
    (tmp_path / "token").write_text(token(server))
    (tmp_path / "auth_integration.rules.yml").write_text(RULES.read_text())
    text = guides.example("prometheus")
    for old, new in (("scheme: https", "scheme: http"), ("15s", "1s"),
                     ("odoo.example.com", f"127.0.0.1:{server.port}"),
                     ("/etc/prometheus/odoo-metrics-token", f"{tmp_path}/token")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "checked.yml").write_text(text)
    prometheus.promtool("check", "config", tmp_path / "checked.yml")
    scraped = {place[0] for place in samples(scrape(server))}
    with prometheus.running(tmp_path, text) as url:
        prometheus.wait_for(url, "count_over_time(auth_integration_log_rows[1m]) >= 3")
        assert prometheus.ask(url, "rules")["groups"][0]["name"] == "auth_integration"
        for title, expression in expressions():
            named = set(re.findall(r"auth_integration_\w+", expression))
            assert named <= scraped, title
            result = prometheus.ask(url, "query", query=expression)["result"]
            assert result or title in ("rule", "Rejected, by protocol"), (title, expression)


