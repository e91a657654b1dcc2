"""The gate of ``make test`` detects what it must detect."""

import pytest

from dev import run_tests
from dev.servers import server_log

HEADER = "2026-01-01 00:00:00,000 4711 {} some_db {}: "
OURS = "odoo.addons.auth_integration.models.res_users"


def line(level, logger, message):
    """Return a line as an Odoo server logs it."""
    return HEADER.format(level, logger) + message + "\n"


@pytest.mark.parametrize(
    "text",
    [
        line("WARNING", OURS, "anything"),
        line("ERROR", OURS, "anything"),
        line("CRITICAL", "odoo.modules.module", "Couldn't load module auth_integration"),
        line("WARNING", "odoo.registry", "The model x.y has no access rules in module z"),
        line("WARNING", "odoo.registry", "'_sql_constraints' is no longer supported"),
        line("ERROR", "odoo.http", "Exception")
        + 'Traceback (most recent call last):\n  File "/x/auth_integration/models/a.py"\n',
    ],
)
def test_warnings_and_errors_of_ours_are_seen(text):
    """The add-on's loggers, lines that name it, and what Odoo logs about its models."""
    assert len(server_log.complaints(text)) == 1
    assert server_log.complaints(line("INFO", "odoo", "before") + text + line("INFO", "odoo", "x"))


@pytest.mark.parametrize(
    "text",
    [
        line("INFO", OURS, "anything"),
        line("WARNING", "odoo.addons.base.models.res_users", "Login failed for login:admin"),
        line("WARNING", "py.warnings", f"{server_log.CACHE}/odoo/x.py: x is deprecated"),
        line("WARNING", "odoo.sql_db", f"no server at {server_log.ROOT_HOME}/socket"),
    ],
)
def test_warnings_of_others_are_not(text):
    """Stock Odoo may log anything, even with the add-on's name in the path of a download."""
    assert not server_log.complaints(text)


def test_expected_entries_are_left_out():
    """A test may expect one entry; another one still counts."""
    text = line("WARNING", OURS, "planned outage") + line("WARNING", OURS, "surprise")
    assert server_log.complaints(text, ["planned"]) == [line("WARNING", OURS, "surprise").strip()]


def test_gate_counts_and_skips():
    """Too few tests, no test at all, and a skip without a listed reason are all reported."""
    results = [
        run_tests.Result("unit", passed=0),
        run_tests.Result("odoo", passed=1),
        run_tests.Result("live", passed=5, skips={"test_x": "no reason"}),
    ]
    limits = {"minimum": {"unit": 1, "odoo": 2, "live": 5}, "skips": {}}
    problems = list(run_tests.gate(results, limits))
    assert [problem.split()[0:2] for problem in problems] == [
        ["suite", "unit"],
        ["suite", "odoo"],
        ["test_x", "was"],
    ]
    limits["skips"]["test_x"] = "it needs another machine"
    assert len(list(run_tests.gate(results, limits))) == 2


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        ({"test_x.test_a[1]": "why", "test_x.test_b": "why"}, []),
        ({"test_x.test_b": "why"}, ["test_x.test_a[1]"]),
        ({"test_x.*": "why"}, []),
        ({"test_y.*": "why"}, ["test_x.test_a[1]", "test_x.test_b"]),
    ],
)
def test_skips_are_listed_by_test_or_by_module(listed, missing):
    skips = {"test_x.test_a[1]": "no such thing here", "test_x.test_b": "no such thing here"}
    results = [run_tests.Result("live", passed=1, skips=skips)]
    problems = run_tests.gate(results, {"minimum": {"live": 1}, "skips": listed})
    assert [problem.split()[0] for problem in problems] == missing
