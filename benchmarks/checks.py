"""What is measured on our server alone, against a fixed promise; minutes each, so on request only.

A check is a function that yields :class:`Finding` objects; its name is what ``ROWS`` asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass

CHECKS = {}


@dataclass(frozen=True)
class Check:
    """A function that yields findings.

    :ivar server: options of ``LiveServer`` beyond the usual
    """

    run: Callable
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


def check(name, **server):
    """Declare a check.

    :param name: what ``ROWS`` asks for
    :param server: options of ``LiveServer``, where it needs other than the usual
    """

    def declare(function: Callable):
        CHECKS[name] = Check(function, server)
        return function

    return declare
