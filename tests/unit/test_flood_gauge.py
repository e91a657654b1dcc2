"""A count of new rows serves a few attempts, and none when it might hide a flood."""

from datetime import datetime, timedelta

import pytest

from odoo.addons.auth_integration.tools.flood_gauge import SERVES, FloodGauge

MINUTE = datetime(2026, 3, 1, 12, 30)
LIMIT = 100


@pytest.fixture
def gauge():
    return FloodGauge()


def test_nothing_is_known_before_it_was_counted(gauge):
    assert gauge.estimate("db", MINUTE, LIMIT) is None


def test_a_count_serves_some_attempts_of_its_minute(gauge):
    gauge.learn("db", MINUTE, 7)
    assert [gauge.estimate("db", MINUTE, LIMIT) for _attempt in range(SERVES)] == [7] * SERVES
    assert gauge.estimate("db", MINUTE, LIMIT) is None
    gauge.learn("db", MINUTE, 8)
    assert gauge.estimate("db", MINUTE, LIMIT) == 8


def test_a_count_is_of_one_minute_and_one_database(gauge):
    gauge.learn("db", MINUTE, 7)
    assert gauge.estimate("db", MINUTE + timedelta(minutes=1), LIMIT) is None
    assert gauge.estimate("other", MINUTE, LIMIT) is None


def test_every_attempt_counts_when_a_flood_is_near(gauge):
    """All workers together must not pass the limit unseen."""
    for rows in (LIMIT // 2, LIMIT, 5 * LIMIT):
        gauge.learn("db", MINUTE, rows)
        assert gauge.estimate("db", MINUTE, LIMIT) is None
    gauge.learn("db", MINUTE, 0)
    assert gauge.estimate("db", MINUTE, 1) is None
