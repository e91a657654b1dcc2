"""Which details collapse in a flood and for whom, and which never do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.attempt.flood_limits import (
    COLLAPSED,
    MAX_LEVEL,
    LogLimit,
    RateLimit,
    collapse_failure,
    collapse_success,
    failure_level,
    level,
    source,
)
from odoo.addons.auth_integration.tools.settings import DEFAULTS

LEVELS = range(MAX_LEVEL + 1)

STRANGER = {
    "outcome": "failure",
    "cause": "user_unknown",
    "login": "unknown login (8 characters, #12ab)",
    "user_id": None,
    "integration_id": None,
    "attribution": None,
    "key_id": None,
    "remote_addr": "192.0.2.1",
    "user_agent": "curl/8.0",
    "reference": "7KQ2M-WX94T",
    "operation": None,
}
KNOWN_USER = STRANGER | {"login": "person", "user_id": 7, "cause": "password_wrong"}
INTEGRATION = STRANGER | {
    "login": "shop", "user_id": 8, "integration_id": 3, "attribution": "login", "key_id": 5,
}


def collapsed(values, wanted):
    kept = collapse_failure(values, wanted)
    return {name for name in values if kept[name] != values[name]}


def test_the_similar_key_goes_with_the_first_detail():
    """Otherwise a caller could create a row for each known prefix of a key."""
    values = STRANGER | {"cause": "key_unknown", "similar_key_id": 4}
    assert [collapse_failure(values, wanted)["similar_key_id"] for wanted in (0, 1)] == [4, None]


@pytest.mark.parametrize(
    ("address", "counts_for"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::1", "::/64"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_a_source_is_an_address_or_its_64(address, counts_for):
    assert source(address) == counts_for


def test_detail_is_lost_in_steps_from_the_limit_on():
    assert [level(rows, 120) for rows in (None, 0, 119, 120, 129, 130, 140, 150, 10**9)] == [
        0, 0, 0, 1, 1, 2, 3, 4, 4,
    ]


def test_a_source_has_60_rows_a_minute_and_all_have_240():
    limit = DEFAULTS["attempt_new_rows_per_minute"]
    assert [failure_level(rows, 0, limit) for rows in (59, 60, 65, 70)] == [0, 1, 2, 3]
    assert [failure_level(1, rows, limit) for rows in (239, 240, 260, 280, 300)] == [0, 1, 2, 3, 4]


@given(st.integers(0, 10**9), st.integers(0, 239))
def test_no_source_uses_up_its_address_alone(rows, others):
    assert failure_level(rows, others, 240) < MAX_LEVEL


def test_the_agent_goes_first_then_login_then_user_and_the_address_last():
    agent = {"user_agent", "reference"}
    assert [collapsed(STRANGER, wanted) for wanted in LEVELS] == [
        set(), agent, agent | {"login"}, agent | {"login"}, agent | {"login", "remote_addr"},
    ]
    user = agent | {"login", "user_id"}
    assert [collapsed(KNOWN_USER, wanted) for wanted in LEVELS] == [
        set(), agent, agent, user, user | {"remote_addr"},
    ]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:1:2::3", None])
def test_below_the_last_level_the_address_says_which_source(address):
    values = STRANGER | {"remote_addr": address}
    kept = [collapse_failure(values, wanted)["remote_addr"] for wanted in LEVELS]
    source_kept = address and source(address)
    assert kept == [address, source_kept, source_kept, source_kept, COLLAPSED]


def test_an_integration_keeps_all_as_long_as_there_is_room():
    agent = {"user_agent", "reference"}
    assert [collapsed(INTEGRATION, wanted) for wanted in LEVELS] == [
        set(), set(), set(), agent, agent | {"remote_addr"},
    ]
    guessed = STRANGER | {"integration_id": 3, "attribution": "address"}
    assert collapsed(guessed, 2) == agent | {"login"}


@given(st.sampled_from([STRANGER, KNOWN_USER, INTEGRATION]), st.integers(0, MAX_LEVEL))
def test_what_says_what_happened_stays(values, wanted):
    kept = collapse_failure(values, wanted)
    for name in ("outcome", "cause", "integration_id", "attribution", "key_id"):
        assert kept[name] == values[name]


def test_a_login_that_was_not_sent_is_not_many():
    assert collapse_failure(STRANGER | {"login": None}, MAX_LEVEL)["login"] is None


def test_of_a_success_the_agent_goes_first_then_the_address():
    values = INTEGRATION | {"outcome": "success", "reference": None}
    changed = [
        {name for name, value in collapse_success(values, wanted).items() if value == COLLAPSED}
        for wanted in LEVELS
    ]
    assert changed == [set(), {"user_agent"}, *[{"user_agent", "remote_addr"}] * 3]


def test_lines_are_limited_and_what_was_left_out_is_counted():
    now = [0]
    limit = LogLimit(2, clock=lambda: now[0])
    assert [limit.admit() for _line in range(4)] == [0, 0, None, None]
    now = [60]
    assert limit.admit() == 2


def test_requests_are_limited_by_caller_and_minute():
    now = [0]
    limit = RateLimit(2, max_callers=2, clock=lambda: now[0])
    assert [limit.admits("a") for _time in range(3)] == [True, True, False]
    assert limit.admits("b")
    now = [60]
    assert limit.admits("a")
    assert limit.admits("c") and limit.admits("d")
    assert len(limit._counts) == 2
