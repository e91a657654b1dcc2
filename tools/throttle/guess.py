"""The guess that is currently being checked, if any: one hook reserves and decides it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

from ..attempt import request_state
from .counters import Counters


@dataclass(slots=True)
class Guess:
    """A password or second factor that is about to be checked.

    :ivar counters: all counters that may count it
    :ivar number: of the reserved try, None when none was reserved
    :ivar keys: of the counters that have taken it
    :ivar counts: whether it is counted if it is wrong; a rejection for another reason is not
    :ivar user_id: the user whose password was compared, None when none was
    :ivar complete: whether a success includes the last factor
    :ivar looked_at: whether it was checked, or a hash was computed as if it had been
    """

    counters: Counters
    number: int | None = None
    keys: list[bytes] = field(default_factory=list)
    counts: bool = True
    user_id: int | None = None
    complete: bool = True
    looked_at: bool = True

    @property
    def maxima(self) -> list[int]:
        """Limits of the counters that have taken it, in the order of :attr:`keys`."""
        limits = dict([self.counters.pair, *self.counters.wide])
        return [limits[key] for key in self.keys]


def current() -> Guess | None:
    """Return the guess that is being checked, or None."""
    return request_state.current().guess


@contextmanager
def being_checked(guess: Guess):
    """Make a guess the current one in the block."""
    state = request_state.current()
    outer, state.guess = state.guess, guess
    try:
        yield guess
    finally:
        state.guess = outer


def note_comparison(user_id: int) -> None:
    """Record the user whose password is compared with the current guess, which is slow."""
    if guess := current():
        guess.user_id = user_id


def do_not_count() -> None:
    """Record that the current guess is not a guess, or was rejected without being checked."""
    if guess := current():
        guess.counts = False
