"""What is measured against a fixed promise; minutes each, so on request only.

A check is a function that yields :class:`Finding` objects; its name is what ``ROWS`` asks for.
Most are about our server alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

CHECKS = {}


@dataclass(frozen=True)
class Check:
    """A function that yields findings.

    :ivar sides: names of the servers that it is called with
    :ivar server: options of ``LiveServer`` beyond the usual
    """

    run: Callable
    sides: tuple
    server: dict


@dataclass(frozen=True)
class Finding:
    """One figure of a check.

    :ivar promise: the figure may be so high at most; None where nothing was promised
    """

    name: str
    value: float
    unit: str
    promise: float | None = None


def check(name, sides=("ours",), **server):
    """Declare a check.

    :param name: what ``ROWS`` asks for
    :param sides: of ``stock`` and ``ours``, those it needs
    :param server: options of ``LiveServer``, where it needs other than the usual
    """

    def declare(function: Callable):
        CHECKS[name] = Check(function, tuple(sides), server)
        return function

    return declare
