"""``make bench ROWS=oracle``: what the time of a rejection reveals about a login.

It makes 1,000 rejected calls (``SAMPLES``) of each kind, mixed, on a server that hashes quickly, so
that every difference but the hash itself shows. (A test checks that all kinds hash the same number
of rounds.) The differences are compared with the smallest one that could be detected beside a real
hash, whose time varies much more: the difference of two means of this many samples that is found in
four of five cases at a significance of 5 %. Then the same over the limit, where nothing is hashed.
"""

import os
import random
from statistics import mean, stdev

from benchmarks.beside_stock import harness
from benchmarks.beside_stock.side import BOT_LOGIN, GUESSED_LOGIN
from benchmarks.checks.registry import Finding, check
from dev.common import ROOT, say

SAMPLES = int(os.environ.get("SAMPLES") or 1000)
REAL_SAMPLES = 60
KINDS = ("wrong password", "unknown", "archived", "integration user")
FAST = {
    "modules": ("auth_integration", "auth_integration_faults"),
    "extra_addons": (ROOT / "tests/live/addons",),
}
# The share of samples to keep: the slowest ones were disturbed by something else.
KEPT = 0.9


@check("oracle")
def oracle(side):
    """Measure the noise of a real hash here, and the rest on a server that hashes quickly."""
    side.limit_no_guesses()
    real = [
        side.authenticate(GUESSED_LOGIN, f"wrong {number}").seconds
        for number in range(REAL_SAMPLES)
    ]
    limit = _detectable(real, SAMPLES)
    yield Finding("oracle: mean of a refusal", mean(real) * 1e3, "ms")
    yield Finding("oracle: its standard deviation", stdev(real) * 1e3, "ms")
    yield Finding(f"oracle: difference that {SAMPLES} of each can tell", limit * 1e3, "ms")
    with harness.running_sides(side.server.workers, "ours_fast", **FAST) as (fast,):
        fast.limit_no_guesses()
        logins = _logins(fast)
        say(f"{SAMPLES} refusals of each kind")
        yield from _differences("", _measure(fast, logins), limit)
        say("and over the limit")
        fast.server.sql("DELETE FROM auth_throttle")
        for login in logins.values():
            fast.exhaust_guesses(login)
        yield from _differences("over the limit, ", _measure(fast, logins, reset=False))


def _logins(side):
    side.server.shell(
        """
        user = env["res.users"].create({"name": "gone", "login": "bench_gone", "password": "x"})
        user.active = False
        """
    )
    return dict(
        zip(KINDS, (GUESSED_LOGIN, "bench_nobody", "bench_gone", BOT_LOGIN), strict=True)
    )


def _measure(side, logins, reset=True):
    """Return the seconds of the rejections of each kind, measured in random order."""
    found = {kind: [] for kind in logins}
    chance = random.Random(0)
    for number in range(SAMPLES):
        if reset and number % 500 == 0:
            side.server.sql("DELETE FROM auth_throttle")
        for kind in chance.sample(KINDS, len(KINDS)):
            answer = side.authenticate(logins[kind], f"wrong {number}")
            if answer.accepted:
                raise RuntimeError(f"{kind}: accepted")
            found[kind].append(answer.seconds)
    return {kind: sorted(seconds)[: int(KEPT * SAMPLES)] for kind, seconds in found.items()}


def _differences(when, found, limit=None):
    """Compare each kind with a wrong password; the limit, if any, is the promise."""
    base = found[KINDS[0]]
    for kind in KINDS[1:]:
        difference = abs(mean(found[kind]) - mean(base)) * 1e3
        name = f"oracle: {when}{kind}, difference"
        told = _detectable(base + found[kind], len(base)) * 1e3
        yield Finding(f"{name} (can be told here from {told:.2f} ms on)", difference, "ms",
                      limit and limit * 1e3)


def _detectable(samples, count):
    """Return the smallest difference of means found with a power of 80 % at 5 %, two-sided."""
    return (1.96 + 0.84) * stdev(samples) * (2 / count) ** 0.5
