"""The counters to which a guess is added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.integration import networks
from odoo.addons.auth_integration.tools.throttle.counters import (
    address_keys,
    counters_of,
    login_key,
    login_text,
    networks_of,
    normalized,
)

SECRET = b"a secret"


@pytest.mark.parametrize(
    "address, expected",
    [
        ("192.0.2.7", ["192.0.2.7"]),
        ("::ffff:192.0.2.7", ["192.0.2.7"]),
        ("2001:db8:1:2::3", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:db8:1:2:ffff::3%eth0", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        (None, ["unknown"]),
        ("", ["unknown"]),
        ("unknown", ["unknown"]),
        ("1" * 5000, ["unknown"]),
    ],
)
def test_networks(address, expected):
    assert networks_of(address) == expected


def test_one_network_is_one_guesser():
    one = counters_of(SECRET, "alice", "2001:db8:1:2::3", 10)
    other = counters_of(SECRET, "alice", "2001:db8:1:2:5:6:7:8", 10)
    next_door = counters_of(SECRET, "alice", "2001:db8:1:3::3", 10)
    assert one == other
    assert next_door.pair != one.pair
    assert next_door.addresses[0] != one.addresses[0]
    assert next_door.addresses[1] == one.addresses[1], "the /48 is the same"


@pytest.mark.parametrize(
    "typed",
    [
        "Alice Å", " alice å ", "ALICE Å", "\uff21lice å", "alice  å", "alice\u3000å", "alice\tå",
        "alice \u212b", "alice a\u030a", "alice \u200b å", "al\u00adice å", "\ufeffalice å",
        "alice\u200d å", "a\u034flice å", "al\u1806ice å", "ali\ufffcce å", "ali\x00ce å",
        "alice a",
    ],
)  # fmt: skip
def test_one_account_has_one_counter(typed):
    """Directories treat these as the same account; the last one only some of them."""
    assert counters_of(SECRET, typed, None, 10) == counters_of(SECRET, "alice å", None, 10)


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_normalized_stays(login):
    assert normalized(normalized(login)) == normalized(login)


@pytest.mark.parametrize(
    "login, text",
    [("alice", "alice"), ("", ""), (None, ""), (False, ""), (1001, "1001"), (0, "0"),
     (1.5, "1.5"), (True, "True"), (["alice"], None), ([], None), ({}, None), (b"alice", None)],
)  # fmt: skip
def test_login_that_core_searches(login, text):
    assert login_text(login) == text


def test_limits():
    counters = counters_of(SECRET, "alice", "2001:db8::1", 7)
    assert counters.pair.maximum == 7
    assert [counter.maximum for counter in counters.wide] == [70, 70, 70]
    assert len({counter.key for counter in (counters.pair, *counters.wide)}) == 4


def test_keys_tell_nothing():
    """They reveal neither login nor address, and are different in another database."""
    counters = counters_of(SECRET, "alice", "192.0.2.7", 10)
    for counter in (counters.pair, *counters.wide):
        assert len(counter.key) == 16
    assert login_key(SECRET, "alice") == counters.login.key
    assert address_keys(SECRET, "192.0.2.7") == [counter.key for counter in counters.addresses]
    assert counters_of(b"another", "alice", "192.0.2.7", 10).login.key != counters.login.key


def test_parts_cannot_be_shifted():
    assert (
        counters_of(SECRET, "alice\x001", None, 10).pair
        != counters_of(SECRET, "alice", "1", 10).pair
    )


@pytest.mark.parametrize("exempt, expected", [("192.0.2.0/24", 0), ("10.0.0.0/8", 1), ("", 1)])
def test_exempt_networks(exempt, expected):
    counters = counters_of(SECRET, "alice", "192.0.2.7", 10, networks.parse(exempt))
    assert len(counters.addresses) == expected
    assert counters.login.maximum == 100, "a login is limited all the same"


def test_no_address_is_not_exempt():
    assert counters_of(SECRET, "alice", None, 10, networks.parse("0.0.0.0/0, ::/0")).addresses


@pytest.mark.parametrize("login", ["\ud800", "\x00", "a" * 100_000, "İ", ""])
def test_any_text_is_a_login(login):
    assert counters_of(SECRET, login, None, 10)
    assert normalized(login) == normalized(normalized(login))


def test_long_logins_are_told_apart_by_their_beginning():
    assert len(normalized("a" * 100_000)) == 4096
