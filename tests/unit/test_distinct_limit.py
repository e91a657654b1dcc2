"""So many values of one caller are told apart, and no more."""

from odoo.addons.auth_integration.tools.distinct_limit import MANY, DistinctLimit

HOUR = 3600


def named(limit, caller, values, now=0.0):
    return [limit.named(caller, value, now) for value in values]


def test_the_first_ones_keep_their_names():
    limit = DistinctLimit(most=2)
    assert named(limit, "key", ["a", "b", "c", "a", None, "b"]) == ["a", "b", MANY, "a", MANY, "b"]


def test_callers_and_hours_are_apart():
    limit = DistinctLimit(most=1)
    assert named(limit, "one", ["a", "b"]) == ["a", MANY]
    assert named(limit, "other", ["b"]) == ["b"]
    assert named(limit, "one", ["b", "a"], now=HOUR) == ["b", MANY]


def test_it_is_bounded():
    limit = DistinctLimit(most=3, max_callers=5)
    for number in range(1000):
        limit.named(number, f"agent {number}", 0.0)
    assert len(limit._known) == 5
    assert named(limit, 999, [f"agent {number}" for number in range(10)]).count(MANY) == 8
