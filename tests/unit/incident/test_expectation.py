"""The expected interval of calls that is proposed for an integration."""

from datetime import datetime, timedelta

import pytest

from odoo.addons.auth_integration.tools.incident.expectation import propose

START = datetime(2026, 1, 1)


def _calls(*hours):
    return [(START + timedelta(hours=h), START + timedelta(hours=h, minutes=5)) for h in hours]


@pytest.mark.parametrize(
    ("periods", "hours"),
    [
        ([], 0),
        (_calls(0, 1, 2, 3, 4, 5), 0),  # half a day
        (_calls(0, 24, 48), 0),  # three times
        (_calls(*range(0, 72)), 2),  # hourly
        (_calls(*range(0, 240, 24)), 36),  # each night
        (_calls(*range(0, 24 * 28, 24 * 7), 24 * 28), 252),  # weekly
        (_calls(0, 900, 1800, 2700, 3600), 0),  # too rare to mean anything
    ],
)
def test_propose(periods, hours):
    assert propose(periods) == hours
    assert propose(reversed(periods)) == hours


def test_a_stretch_within_another_is_no_pause():
    day = timedelta(days=1)
    periods = [(START, START + 5 * day), *((START + n * day, START + n * day) for n in range(5))]
    assert propose(periods) == 1
