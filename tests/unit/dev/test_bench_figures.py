"""The statistics of the benchmark."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.beside_stock.figures import (
    Pairs,
    median_interval,
    needs_another_try,
    percentile,
    pooled,
    verdict,
)

times = st.lists(st.floats(0.001, 10), min_size=1, max_size=60)


def of_ratios(*ratios):
    return Pairs((1.0,) * len(ratios), tuple(ratios))


@pytest.mark.parametrize(
    "values, percent, expected",
    [
        ([7], 95, 7),
        (range(1, 101), 95, 95),
        (range(1, 21), 95, 19),
        ([4, 1, 3, 2], 50, 2),
        ([4, 1, 3, 2], 0, 1),
        ([4, 1, 3, 2], 100, 4),
    ],
)
def test_a_percentile_is_one_of_the_values(values, percent, expected):
    assert percentile(values, percent) == expected


def test_the_interval_of_a_median_has_the_ranks_of_the_binomial_table():
    # From a textbook: 10 values 2nd and 9th; 15 values 4th and 12th; 100 values 40th and 61st.
    assert median_interval(range(1, 11)) == (2, 9)
    assert median_interval(range(1, 16)) == (4, 12)
    assert median_interval(range(1, 101)) == (40, 61)


def test_few_values_give_the_widest_interval():
    assert median_interval([3]) == (3, 3)
    assert median_interval([3, 1, 2]) == (1, 3)


@settings(deadline=None)  # the first example may be slow on a busy machine
@given(times)
def test_the_interval_holds_the_median_of_the_sample(values):
    low, high = median_interval(values)
    assert low <= percentile(values, 50) <= high


def test_the_interval_holds_the_true_median_as_often_as_it_says():
    chance = random.Random(1)
    samples = [[chance.lognormvariate(0, 1) for _ in range(30)] for _ in range(2000)]
    hits = sum(low <= 1 <= high for low, high in map(median_interval, samples))
    assert 0.94 < hits / len(samples) < 0.98


def test_ratios_are_taken_pair_by_pair():
    # The machine was ten times slower during the second pair, which must not matter.
    pairs = Pairs(stock=(1.0, 10.0, 1.0), ours=(2.0, 20.0, 2.0))
    assert pairs.ratios == [2, 2, 2]
    assert pairs.ratio == 2
    assert pairs.spread == (2, 2)


def test_tries_are_judged_together():
    both = pooled([of_ratios(1.0, 1.1), of_ratios(1.3)])
    assert both.ratios == [1.0, 1.1, 1.3]


def test_a_row_is_measured_again_only_while_it_cannot_be_judged():
    clear = of_ratios(*[1.0] * 20)
    noisy = of_ratios(*[0.5, 1.5] * 10)
    assert not needs_another_try([clear], promise=1.2, most=3)
    assert not needs_another_try([clear], promise=0.9, most=3)
    assert needs_another_try([noisy], promise=1.2, most=3)
    assert needs_another_try([noisy, noisy], promise=1.2, most=3)
    assert not needs_another_try([noisy, noisy, noisy], promise=1.2, most=3)
    assert not needs_another_try([noisy], promise=None, most=3)


def test_a_promise_is_kept_up_to_its_limit():
    assert verdict(1.2, 1.2) == "kept"
    assert verdict(1.2001, 1.2) == "missed"
    assert verdict(99, None) == ""
