"""Operations as people write and read them: ``model.method``, or the path of a route."""

from __future__ import annotations

from .access_rules import HTTP, Operation


def split_operation(text: str | None) -> Operation | None:
    """Return model and method of an operation from its text.

    :return: None when it is not an operation
    """
    text = (text or "").strip()
    if text.startswith("/"):
        return HTTP, text
    model, _dot, method = text.rpartition(".")
    return (model, method) if model and method else None


def read_operations(text: str | None) -> list[Operation]:
    """Read one operation per line.

    :raise ValueError: a line is not an operation; the error message is that line
    """
    found = []
    for line in filter(None, map(str.strip, (text or "").splitlines())):
        operation = split_operation(line)
        if operation is None:
            raise ValueError(line)
        found.append(operation)
    return found
