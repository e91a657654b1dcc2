"""What a key could be limited to, by what it has called, and what a limit would have rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .access_rules import ANY_METHOD, FULL, LISTED, READ_ONLY, KeyAccess, Operation
from .operation_counts import OTHER

SUGGEST_DAYS = 90
"""Days of use that a suggestion is made from."""


class Use(NamedTuple):
    """What a key has done with one operation.

    :ivar uses: calls that were let through
    :ivar writes: those of them that wrote
    """

    operation: Operation
    uses: int
    writes: int


def suggest(
    uses: Iterable[Use], runs_other_code: Callable[..., bool] = lambda *_: False
) -> KeyAccess | None:
    """Return the narrowest access that would have rejected none of these.

    :param runs_other_code: tells of a model and a method whether it may run any code, see
        :mod:`other_code`
    :return: None when there is nothing to go by, or too much: not all the operations are known
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
    """Return what an access would have rejected of these, the most used first.

    Of an operation that sometimes wrote, a read-only access would have rejected those calls.

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
