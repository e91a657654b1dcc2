"""What the log says of a guess that was refused unseen, kept for those like it in the same minute.

They come as fast as the guesser can send them. Finding out each time whose login it is would take
more than all the rest, and a different time for a login that does not exist.
"""

from __future__ import annotations

MAX_KEPT = 1000
# Characters that are looked at; the log keeps fewer.
MAX_AGENT = 512
# Of an attempt, what is found out while it is written down.
_FOUND = (
    "codes",
    "user_id",
    "known_login",
    "integration_id",
    "attribution",
    "described_agent",
    "completed",
)


def key_of(attempt) -> tuple | None:
    """Return what attempts have in common that share a row; None for one that was looked at.

    The reference is made of minute, address, channel and login or user id.
    """
    if "throttled" not in attempt.codes:
        return None
    return (
        attempt.database,
        attempt.reference,
        attempt.auth_type,
        (attempt.user_agent or "")[:MAX_AGENT],
        attempt.key_shaped,
        attempt.user_id,
        frozenset(attempt.codes),
    )


class RefusedGuesses:
    """The values of the last rows of throttled attempts, no more than so many."""

    def __init__(self):
        self._kept = {}

    def recall(self, key: tuple | None, attempt) -> dict | None:
        """Return the row's values and complete the attempt, if one like it was kept."""
        values, found = self._kept.get(key, (None, None))
        for name, value in (found or {}).items():
            setattr(attempt, name, set(value) if isinstance(value, set) else value)
        return values and dict(values)

    def keep(self, key: tuple | None, attempt, values: dict) -> None:
        """Keep the values of a throttled attempt's row.

        :param key: :func:`key_of` the attempt, before anything was found out about it
        """
        if key is None:
            return
        if len(self._kept) >= MAX_KEPT:
            self._kept = {}
        found = {name: getattr(attempt, name) for name in _FOUND}
        self._kept[key] = dict(values), found


refused_guesses = RefusedGuesses()
