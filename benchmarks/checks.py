"""What is measured on our server alone, against a fixed promise; minutes each, so on request only.

A check is a function that yields :class:`Finding` objects; its name is what ``ROWS`` asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass

CHECKS = {}


@dataclass(frozen=True)
class Finding:
    """One figure of a check.

    :ivar promise: the figure may be so high at most; None where nothing was promised
    """

    name: str
    value: float
    unit: str
    promise: float | None = None


def check(name):
    """Declare a check.

    :param name: what ``ROWS`` asks for
    """

    def declare(function: Callable):
        CHECKS[name] = function
        return function

    return declare
