"""Which attempts share a row."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.attempt import buckets

START = datetime(2026, 3, 4, 5, 6)

values = st.one_of(st.none(), st.booleans(), st.integers(), st.text())
rows = st.dictionaries(st.text(max_size=5), values, max_size=5)


def test_a_minute_for_failures_and_an_hour_for_successes():
    when = datetime(2026, 3, 4, 5, 59, 59, 999_999)
    assert buckets.bucket_start(when, "failure") == datetime(2026, 3, 4, 5, 59)
    assert buckets.bucket_start(when, "success") == datetime(2026, 3, 4, 5)


def test_a_time_zone_is_converted():
    india = timezone(timedelta(hours=5, minutes=30))
    when = datetime(2026, 3, 4, 5, 10, 20, tzinfo=india)
    assert buckets.bucket_start(when, "failure") == datetime(2026, 3, 3, 23, 40)
    assert buckets.bucket_start(when, "success") == datetime(2026, 3, 3, 23)


@pytest.mark.parametrize("outcome", ["", None, "SUCCESS", "error"])
def test_an_unknown_outcome_is_refused(outcome):
    with pytest.raises(ValueError, match="success"):
        buckets.bucket_start(START, outcome)


@given(st.datetimes(), st.sampled_from(["failure", "success"]))
def test_a_bucket_holds_its_attempts(when, outcome):
    start = buckets.bucket_start(when, outcome)
    size = timedelta(hours=1) if outcome == "success" else timedelta(minutes=1)
    assert start <= when
    assert when - start < size
    assert buckets.bucket_start(start, outcome) == start


def test_the_hash_never_changes():
    """The hash is stored: if it changed, the same attempt would be counted in a new row."""
    columns = {"login": "magento", "user_id": 7, "key_id": None, "remote_addr": "192.0.2.1"}
    assert buckets.bucket_hash(columns, START).hex() == "34378b4556725f157d3df1b885d346c7"


def test_the_order_of_the_columns_does_not_matter():
    columns = {"a": 1, "b": None, "c": "x"}
    reverse = dict(reversed(columns.items()))
    assert buckets.bucket_hash(columns, START) == buckets.bucket_hash(reverse, START)


def test_values_that_look_alike_are_different():
    alike = [None, "", 0, False, "0", 1, True, "1", "None", "'1'", "[]"]
    hashes = {buckets.bucket_hash({"a": value}, START) for value in alike}
    assert len(hashes) == len(alike)
    assert buckets.bucket_hash({}, START) not in hashes


def test_columns_do_not_run_into_each_other():
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("a", "s2:bc"), ("as2:b", "c")]
    hashes = {buckets.bucket_hash({"x": one, "y": two}, START) for one, two in pairs}
    assert len(hashes) == len(pairs)


def test_another_bucket_is_another_row():
    other = START + timedelta(minutes=1)
    assert buckets.bucket_hash({"a": 1}, START) != buckets.bucket_hash({"a": 1}, other)


def test_the_same_moment_in_another_zone_is_the_same_bucket():
    aware = START.replace(tzinfo=timezone.utc).astimezone(timezone(timedelta(hours=-3)))
    assert buckets.bucket_hash({"a": 1}, aware) == buckets.bucket_hash({"a": 1}, START)


@pytest.mark.parametrize("value", [1.0, b"", START, [], {}, object()])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError, match=type(value).__name__):
        buckets.bucket_hash({"a": value}, START)


def typed(row):
    return {name: (type(value), value) for name, value in row.items()}


@given(rows, rows)
def test_equal_rows_and_only_they_have_equal_hashes(one, two):
    equal = buckets.bucket_hash(one, START) == buckets.bucket_hash(two, START)
    assert equal is (typed(one) == typed(two))
    assert len(buckets.bucket_hash(one, START)) == buckets.HASH_SIZE


@given(st.text())
def test_any_text_has_a_hash(text):
    buckets.bucket_hash({"login": text, "agent": "\ud800" + text}, START)
