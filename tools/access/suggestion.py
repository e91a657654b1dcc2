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


def suggest(uses: Iterable[Use], is_reading: Callable[..., bool]) -> KeyAccess | None:
    """Return the narrowest access that would not have rejected any of these uses.

    :param is_reading: whether a model's method only reads, see :mod:`allowed_methods`
    :return: None when there are no uses, or when not all operations are known
    """
    used = [use for use in uses if use.uses]
    if not used:
        return None
    if not any(use.writes or not is_reading(*use.operation) for use in used):
        return KeyAccess(READ_ONLY)
    operations = frozenset(use.operation for use in used)
    return None if OTHER in operations else KeyAccess(LISTED, operations=operations)


def rejected(
    uses: Iterable[Use],
    access: KeyAccess,
    is_reading: Callable[..., bool],
    is_in_star: Callable[..., bool],
) -> list[Use]:
    """Return the uses that an access would have rejected, the most frequent first.

    For an operation that only sometimes wrote, a read-only access would have rejected those calls.

    :param is_reading: as for :func:`suggest`
    :param is_in_star: whether ``*`` stands for a model's method
    """
    found = []
    for use in uses:
        model, _method = use.operation
        covered = use.operation in access.operations or (
            (model, ANY_METHOD) in access.operations and is_in_star(*use.operation)
        )
        number = 0 if covered or access.access == FULL else use.uses
        if access.access == READ_ONLY and (covered or is_reading(*use.operation)):
            number = use.writes
        if number:
            found.append(use._replace(uses=number))
    return sorted(found, key=lambda use: (-use.uses, use.operation))
