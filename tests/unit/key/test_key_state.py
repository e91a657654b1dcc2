"""The rules for a key's end: no job or policy moves a date later."""

from datetime import datetime, timedelta
from itertools import product

import pytest

from odoo.addons.auth_integration.tools.key import key_state
from odoo.addons.auth_integration.tools.key.key_state import Dates, KeyEnds, Lifetime

NOW = datetime(2030, 1, 1)
DAY = timedelta(days=1)
MOMENTS = (None, NOW - DAY, NOW, NOW + DAY)


def test_the_earliest_of_all_dates_counts():
    for expires_at, retire_at, native_end in product(MOMENTS, repeat=3):
        ends = KeyEnds(expires_at=expires_at, retire_at=retire_at, native_end=native_end)
        dates = [date for date in (expires_at, retire_at, native_end) if date]
        assert key_state.end_of(ends) == min(dates, default=None)
        ended = any(date <= NOW for date in dates)
        assert (key_state.state_of(ends, NOW) in ("expired", "superseded")) is ended


def test_a_key_without_a_native_row_has_ended():
    for was_used, retire_at in product((False, True), (None, NOW + DAY)):
        ends = KeyEnds(has_native=False, was_used=was_used, retire_at=retire_at)
        assert key_state.state_of(ends, NOW) == "revoked"


@pytest.mark.parametrize("extension", [0, 30])
def test_dates_at_issue(extension):
    dates = key_state.issued(NOW, Lifetime(max_age=90, extension=extension, overlap=7))
    assert dates == Dates(NOW + 90 * DAY, NOW + (90 + extension) * DAY)


def test_a_policy_moves_no_date_later():
    """It moves none to less than an overlap from now, either, unless it was earlier before."""
    lifetimes = [Lifetime(*values) for values in product((1, 30, 365), (0, 30), (0, 7))]
    found = [-100, -1, 0, 3, 20, 100, None]
    for lifetime, age, by, left in product(lifetimes, (0, 50, 400), found, found):
        before = Dates(*(days if days is None else NOW + days * DAY for days in (by, left)))
        after = key_state.shortened(before, NOW - age * DAY, lifetime, NOW)
        for date, moved in zip(before, after, strict=True):
            assert date is None or moved <= date
            assert moved == date or moved >= NOW + lifetime.overlap * DAY


def test_a_looser_policy_changes_nothing():
    dates = key_state.issued(NOW, Lifetime(30, 10, 7))
    assert key_state.shortened(dates, NOW, Lifetime(31, 30, 7), NOW + DAY) == dates


def test_a_stricter_policy_counts_from_the_issue():
    dates = key_state.issued(NOW, Lifetime(90, 30, 7))
    after = key_state.shortened(dates, NOW, Lifetime(60, 0, 7), NOW + 10 * DAY)
    assert after == Dates(NOW + 60 * DAY, NOW + 60 * DAY)
    after = key_state.shortened(dates, NOW, Lifetime(5, 0, 7), NOW + 10 * DAY)
    assert after == Dates(NOW + 17 * DAY, NOW + 17 * DAY), "time to replace it is left"
