"""Quiet hours in the reader's time zone."""

from datetime import datetime

import pytest

from odoo.addons.auth_integration.tools.incident.quiet_hours import ends_at, parse


@pytest.mark.parametrize(
    ("text", "hours"),
    [("20-7", (20, 7)), (" 0 - 6 ", (0, 6)), ("", None), (None, None), ("7-7", None)],
)
def test_parse(text, hours):
    assert parse(text) == hours


@pytest.mark.parametrize("text", ["20", "20-24", "night", "20-7-8", "-1-5"])
def test_nonsense(text):
    with pytest.raises(ValueError, match=""):
        parse(text)


@pytest.mark.parametrize(
    ("now", "zone", "end"),
    [
        # In winter, Brussels is one hour ahead.
        (datetime(2026, 1, 10, 18, 59), "Europe/Brussels", None),
        (datetime(2026, 1, 10, 19, 0), "Europe/Brussels", datetime(2026, 1, 11, 6, 0)),
        (datetime(2026, 1, 11, 5, 59), "Europe/Brussels", datetime(2026, 1, 11, 6, 0)),
        (datetime(2026, 1, 11, 6, 0), "Europe/Brussels", None),
        # Across the change to summer time on 29 March 2026.
        (datetime(2026, 3, 28, 22, 0), "Europe/Brussels", datetime(2026, 3, 29, 5, 0)),
        (datetime(2026, 1, 10, 12, 0), "Asia/Tokyo", datetime(2026, 1, 10, 22, 0)),
        (datetime(2026, 1, 10, 21, 0), None, datetime(2026, 1, 11, 7, 0)),
        (datetime(2026, 1, 10, 21, 0), "Mars/Crater", datetime(2026, 1, 11, 7, 0)),
    ],
)
def test_over_night(now, zone, end):
    assert ends_at(now, zone, (20, 7)) == end


def test_within_a_day():
    assert ends_at(datetime(2026, 1, 10, 13), "UTC", (12, 14)) == datetime(2026, 1, 10, 14)
    assert ends_at(datetime(2026, 1, 10, 14), "UTC", (12, 14)) is None


def test_none():
    assert ends_at(datetime(2026, 1, 10, 3), "UTC", None) is None
