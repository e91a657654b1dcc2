"""The guess that is being checked right now, if any: reserved by one hook, decided by the same."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

from ..attempt import request_state
from .counters import Counters


@dataclass(slots=True)
class Guess:
    """A password or second factor that is about to be checked.

    :ivar counters: all that it may be counted by
    :ivar number: of the reserved try, None when none was reserved
    :ivar keys: of the counters that have taken it
    :ivar counts: whether it is counted when it was wrong; a refusal for another reason is not
    :ivar user_id: whose password was compared, None when none was
    :ivar complete: whether a success is that of the last factor
    :ivar looked_at: whether it was checked, or a hash was computed as if it were
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
    """The guess that is being checked, or None."""
    return request_state.current().guess


@contextmanager
def being_checked(guess: Guess):
    """Have a guess be the current one for the block."""
    state = request_state.current()
    outer, state.guess = state.guess, guess
    try:
        yield guess
    finally:
        state.guess = outer


def note_comparison(user_id: int) -> None:
    """Note that the password of a user is compared with the current guess, which is slow."""
    if guess := current():
        guess.user_id = user_id


def do_not_count() -> None:
    """Note that the current guess is none, or was refused before it was looked at."""
    if guess := current():
        guess.counts = False
