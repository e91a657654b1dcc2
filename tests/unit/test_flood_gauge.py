"""A count of new rows serves a few attempts, and none when it might hide a flood."""

from datetime import datetime, timedelta

import pytest
from odoo.tools import config

from odoo.addons.auth_integration.tools.flood_gauge import SERVES, FloodGauge

MINUTE = datetime(2026, 3, 1, 12, 30)
LIMIT = 100


@pytest.fixture
def gauge():
    return FloodGauge()


def test_nothing_is_known_before_it_was_counted(gauge):
    assert gauge.estimate("db", MINUTE, LIMIT) is None


def test_a_count_serves_some_attempts_of_its_minute(gauge):
    gauge.learn("db", MINUTE, 7, LIMIT)
    assert [gauge.estimate("db", MINUTE, LIMIT) for _attempt in range(SERVES)] == [7] * SERVES
    assert gauge.estimate("db", MINUTE, LIMIT) is None
    gauge.learn("db", MINUTE, 8, LIMIT)
    assert gauge.estimate("db", MINUTE, LIMIT) == 8


def test_a_count_is_of_one_minute_and_one_database(gauge):
    gauge.learn("db", MINUTE, 7, LIMIT)
    assert gauge.estimate("db", MINUTE + timedelta(minutes=1), LIMIT) is None
    assert gauge.estimate("other", MINUTE, LIMIT) is None


def test_every_attempt_counts_when_a_flood_is_near(gauge):
    """All workers together must not pass the limit unseen."""
    for rows in (LIMIT // 2, LIMIT, 5 * LIMIT):
        gauge.learn("db", MINUTE, rows, LIMIT)
        assert gauge.estimate("db", MINUTE, LIMIT) is None
    gauge.learn("db", MINUTE, 0, 1)
    assert gauge.estimate("db", MINUTE, 1) is None


@pytest.mark.parametrize("workers", [0, 2, 4, 33, 64, 200])
def test_many_workers_pass_the_limit_no_further_than_few(monkeypatch, workers):
    """Each has a count of its own, while all of them make rows."""
    monkeypatch.setitem(config, "workers", workers)
    rows = 0
    gauges = [FloodGauge() for _worker in range(max(workers, 1))]
    for turn in range(20 * len(gauges)):
        gauge = gauges[turn % len(gauges)]
        known = gauge.estimate("db", MINUTE, LIMIT)
        if known is None:
            known = rows
            gauge.learn("db", MINUTE, rows, LIMIT)
        rows += known < LIMIT
    assert rows <= LIMIT
