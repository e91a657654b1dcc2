"""The checks: measurements against a fixed promise, each of which takes minutes.

A check is a function that yields :class:`Finding` objects. It runs only if ``ROWS`` is its name.
Most checks measure only the server with the add-on.
"""

from collections.abc import Callable
from dataclasses import dataclass

CHECKS = {}


@dataclass(frozen=True)
class Check:
    """A function that yields findings.

    :ivar sides: names of the servers that it gets as arguments
    :ivar server: more options for ``LiveServer``
    """

    run: Callable
    sides: tuple
    server: dict


@dataclass(frozen=True)
class Finding:
    """A figure of a check.

    :ivar promise: the highest allowed value; None if nothing was promised
    """

    name: str
    value: float
    unit: str
    promise: float | None = None


def check(name, sides=("ours",), **server):
    """Declare a check.

    :param name: its name in ``ROWS``
    :param sides: the servers that it needs, ``stock`` or ``ours``
    :param server: options for ``LiveServer`` that differ from the defaults
    """

    def declare(function: Callable):
        CHECKS[name] = Check(function, tuple(sides), server)
        return function

    return declare
