"""Suggest a limit for a key from its past calls, and find the calls a limit would have rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .access_rules import ANY_METHOD, FULL, LISTED, READ_ONLY, KeyAccess, Operation
from .operation_counts import OTHER

SUGGEST_DAYS = 90
"""Days of use that a suggestion is made from."""


class Use(NamedTuple):
    """How a key has used one operation.

    :ivar uses: calls that were let through
    :ivar writes: those of them that wrote
    """

    operation: Operation
    uses: int
    writes: int


def suggest(
    uses: Iterable[Use], runs_other_code: Callable[..., bool] = lambda *_: False
) -> KeyAccess | None:
    """Return the narrowest access that would not have rejected any of these uses.

    :param runs_other_code: whether a model's method may run other code, see :mod:`other_code`
    :return: None when there are no uses, or when not all operations are known
    """
    used = [use for use in uses if use.uses]
    if not used:
        return None
    if not any(use.writes or runs_other_code(*use.operation) for use in used):
        return KeyAccess(READ_ONLY)
    operations = frozenset(use.operation for use in used)
    return None if OTHER in operations else KeyAccess(LISTED, operations=operations)


def rejected(
    uses: Iterable[Use], access: KeyAccess, runs_other_code: Callable[..., bool] = lambda *_: False
) -> list[Use]:
    """Return the uses that an access would have rejected, the most frequent first.

    For an operation that only sometimes wrote, a read-only access would have rejected those calls.

    :param runs_other_code: as for :func:`suggest`
    """
    found = []
    for use in uses:
        if access.access == READ_ONLY:
            number = use.uses if runs_other_code(*use.operation) else use.writes
        elif access.access == FULL or _is_listed(
            use.operation, access.operations, runs_other_code
        ):
            number = 0
        else:
            number = use.uses
        if number:
            found.append(use._replace(uses=number))
    return sorted(found, key=lambda use: (-use.uses, use.operation))


def _is_listed(operation, operations, runs_other_code):
    if operation in operations:
        return True
    return (operation[0], ANY_METHOD) in operations and not runs_other_code(*operation)
