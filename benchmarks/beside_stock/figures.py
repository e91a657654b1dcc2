"""The arithmetic of a comparison: medians, percentiles, ratios pair by pair, and the verdict."""

from dataclasses import dataclass
from math import comb
from statistics import median


def percentile(values, percent):
    """Return the smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(rank, 1) - 1]


def median_interval(values, confidence=0.95):
    """Return two of the values between which the true median lies with this confidence.

    From the order of the values alone (binomial), whatever their distribution: timings have a long
    tail, of which a standard deviation would speak and nothing else. Fewer than six values are
    too few for 95 %; then the smallest and the largest are returned.
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
    """Seconds of calls made in turn to the two servers; those of one place belong together."""

    stock: tuple
    ours: tuple

    def __add__(self, other):
        return Pairs(self.stock + other.stock, self.ours + other.ours)

    @property
    def ratios(self):
        """Ours divided by stock's, pair by pair: what slows the machine slows both of a pair."""
        return [ours / stock for stock, ours in zip(self.stock, self.ours, strict=True)]

    @property
    def ratio(self):
        """The median ratio."""
        return median(self.ratios)

    @property
    def interval(self):
        """Where the true median ratio lies, with 95 % confidence."""
        return median_interval(self.ratios)

    @property
    def spread(self):
        """The quarter and the three-quarter point of the ratios."""
        return percentile(self.ratios, 25), percentile(self.ratios, 75)

    def is_clear_about(self, promise):
        """Tell whether the interval lies on one side of the promise."""
        low, high = self.interval
        return high <= promise or low > promise


def pooled(tries):
    """Return all tries as one: none is chosen over another."""
    first, *others = tries
    for other in others:
        first += other
    return first


def needs_another_try(tries, promise, most):
    """Tell whether what was measured is too noisy to be judged and may be measured once more."""
    if promise is None or len(tries) >= most:
        return False
    return not pooled(tries).is_clear_about(promise)


def verdict(value, promise):
    """Return ``kept``, ``missed``, or nothing where nothing was promised."""
    if promise is None:
        return ""
    return "kept" if value <= promise else "missed"
