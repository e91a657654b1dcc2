"""Log values of guesses that were rejected unchecked, reused for equal guesses of the same minute.

Such guesses come as fast as they can be sent. Looking up the user of the login each time would take
longer than everything else, and its time would reveal whether the login exists.
"""

from __future__ import annotations

MAX_KEPT = 1000
# Characters that are compared; the log keeps fewer.
MAX_AGENT = 512
# The fields of an attempt that are set while it is written.
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
    """Return what attempts that share a row have in common; None for one that was not throttled.

    The reference is derived from minute, address, channel and login or user ID.
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
    """The values of the last rows of throttled attempts, at most ``MAX_KEPT``."""

    def __init__(self):
        self._kept = {}

    def recall(self, key: tuple | None, attempt) -> dict | None:
        """Return the row's values and complete the attempt, if an equal one was kept."""
        values, found = self._kept.get(key, (None, None))
        for name, value in (found or {}).items():
            setattr(attempt, name, set(value) if isinstance(value, set) else value)
        return values and dict(values)

    def keep(self, key: tuple | None, attempt, values: dict) -> None:
        """Keep the values of a throttled attempt's row.

        :param key: :func:`key_of` the attempt, before its fields were completed
        """
        if key is None:
            return
        if len(self._kept) >= MAX_KEPT:
            self._kept = {}
        found = {name: getattr(attempt, name) for name in _FOUND}
        self._kept[key] = dict(values), found


refused_guesses = RefusedGuesses()
