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


def test_detail_is_lost_in_steps_up_to_twice_the_limit():
    assert [level(rows, 100) for rows in (None, 0, 99, 100, 149, 150, 199, 200, 10**9)] == [
        0, 0, 0, 1, 1, 2, 2, 3, 3,
    ]


def test_a_source_has_a_part_of_what_all_have():
    assert failure_level(15, 15, 120) == 1
    assert failure_level(1, 119, 120) == 0
    assert failure_level(1, 240, 120) == MAX_LEVEL


def test_address_and_agent_go_first_then_login_then_user():
    address = {"remote_addr", "user_agent", "reference"}
    assert [collapsed(STRANGER, wanted) for wanted in range(4)] == [
        set(), address, address | {"login"}, address | {"login"},
    ]
    assert [collapsed(KNOWN_USER, wanted) for wanted in range(4)] == [
        set(), address, address, address | {"login", "user_id"},
    ]


def test_an_integration_keeps_all_as_long_as_there_is_room():
    assert [bool(collapsed(INTEGRATION, wanted)) for wanted in range(4)] == [
        False, False, False, True,
    ]
    assert collapsed(INTEGRATION, 3) == {"remote_addr", "user_agent", "reference"}
    guessed = STRANGER | {"integration_id": 3, "attribution": "address"}
    assert collapsed(guessed, 2) == {"remote_addr", "user_agent", "reference", "login"}


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
        for wanted in range(4)
    ]
    assert changed == [set(), {"user_agent"}, {"user_agent", "remote_addr"},
                       {"user_agent", "remote_addr"}]


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
