"""The statistics of a comparison: medians, percentiles, ratios of pairs, and the verdict."""

from dataclasses import dataclass
from math import comb
from statistics import median


def percentile(values, percent):
    """Return the smallest value that at least this percentage of the values do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(rank, 1) - 1]


def median_interval(values, confidence=0.95):
    """Return two of the values between which the true median lies with this confidence.

    It uses only the order of the values (binomial), so it holds for any distribution. Timings have
    a long tail, which would dominate a standard deviation. Fewer than six values are too few for 95
    %; then the smallest and the largest are returned.
    """
    ordered = sorted(values)
    count = len(ordered)
    below, outside = 0, 0.0
    while below < count // 2:
        outside += 2 * comb(count, below) / 2**count
        if outside > 1 - confidence:
            break
        below += 1
    below = max(below, 1)
    return ordered[below - 1], ordered[count - below]


@dataclass(frozen=True)
class Pairs:
    """Seconds of calls made in turn to the two servers; equal positions form a pair."""

    stock: tuple
    ours: tuple

    def __add__(self, other):
        return Pairs(self.stock + other.stock, self.ours + other.ours)

    @property
    def ratios(self):
        """Our time divided by stock's for each pair.

        What slows the machine slows both calls of a pair.
        """
        return [ours / stock for stock, ours in zip(self.stock, self.ours, strict=True)]

    @property
    def ratio(self):
        """The median ratio."""
        return median(self.ratios)

    @property
    def interval(self):
        """The 95 % confidence interval of the true median ratio."""
        return median_interval(self.ratios)

    @property
    def spread(self):
        """The lower and upper quartile of the ratios."""
        return percentile(self.ratios, 25), percentile(self.ratios, 75)

    def is_clear_about(self, promise):
        """Return whether the whole interval is on one side of the promise."""
        low, high = self.interval
        return high <= promise or low > promise


def pooled(tries):
    """Return the pairs of all tries together, so that no try is preferred."""
    first, *others = tries
    for other in others:
        first += other
    return first


def needs_another_try(tries, promise, most):
    """Return whether the result is too noisy to be judged and another try is allowed."""
    if promise is None or len(tries) >= most:
        return False
    return not pooled(tries).is_clear_about(promise)


def verdict(value, promise):
    """Return ``kept`` or ``missed``, or an empty string if nothing was promised."""
    if promise is None:
        return ""
    return "kept" if value <= promise else "missed"
