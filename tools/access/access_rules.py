"""Access of an API key as plain rules: what it allows, and whether another access is wider."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..integration import networks

FULL, READ_ONLY, LISTED = "full", "read_only", "listed"
ENFORCE, REPORT = "enforce", "report"
ANY_METHOD = "*"
HTTP = "http"
"""In the place of a model: the method is the path of a route."""

OWN_OPERATIONS = frozenset(
    {("auth.integration.key", "whoami"), ("auth.integration.key", "rotate")}
)
"""What every key may do about itself: always allowed, and not counted."""

MAX_OPERATIONS = 500

_MODEL = re.compile(r"[a-z_][a-z0-9_.]{0,126}")
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,126}|\*")
_ROUTE = re.compile(r"/[!-~]{0,255}")

Operation = tuple[str, str]


class OperationError(ValueError):
    """An invalid entry in a list of operations.

    :ivar entry: as given, shortened
    """

    def __init__(self, entry: object):
        self.entry = str(entry)[:100]
        super().__init__(f"not an operation: {self.entry}")


class KeyAccess(NamedTuple):
    """What a key may do, and from where.

    :ivar operations: the allowed ones: all for ``listed``, those besides reading for ``read_only``
    :ivar networks: text of its own networks; empty means those of its integration
    """

    access: str = FULL
    mode: str = ENFORCE
    operations: frozenset[Operation] = frozenset()
    networks: str = ""


def parse_operations(given: Iterable) -> frozenset[Operation]:
    """Read a list of operations from a caller: pairs of a model and a method.

    :raise OperationError: at the first invalid entry, or when there are too many
    """
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise OperationError(given)
    if len(given) > MAX_OPERATIONS:
        raise OperationError(f"more than {MAX_OPERATIONS}")
    return frozenset(map(_read_operation, given))


def _read_operation(entry):
    if not isinstance(entry, (list, tuple)) or len(entry) != 2:
        raise OperationError(entry)
    model, method = entry
    if not isinstance(model, str) or not isinstance(method, str):
        raise OperationError(entry)
    pattern = _ROUTE if model == HTTP else _METHOD
    if not _MODEL.fullmatch(model) or not pattern.fullmatch(method):
        raise OperationError(entry)
    return model, method


def operation_name(operation: Operation) -> str:
    """Return an operation as people read it: ``model.method``, or the path of a route."""
    model, method = operation
    return method if model == HTTP else f"{model}.{method}"


def is_wider(new: KeyAccess, old: KeyAccess) -> bool:
    """Whether a new access would allow a key anything that it is not allowed now.

    ``read_only`` and ``listed`` cannot be compared: each is wider than the other.  Switching to
    report mode is wider, too.
    """
    if new.mode == REPORT and old.mode != REPORT:
        return True
    if old.mode != REPORT and _allows_more(new, old):
        return True
    return networks.is_wider(new.networks, old.networks)


def _allows_more(new, old):
    if new.access != old.access:
        return old.access != FULL
    return new.access != FULL and not new.operations <= old.operations
