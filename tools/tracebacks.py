"""Tracebacks as core makes them: /json/2 shows that of a refusal to whoever is refused."""

from __future__ import annotations

import os
from types import TracebackType

_ADDON = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def without_our_frames(error: BaseException) -> BaseException:
    """Take our hooks out of an error's traceback, and of those of the errors that led to it.

    They would tell what stands between the caller and core.  Each frame also takes Python a while
    to put into words.

    :return: the same error
    """
    following, seen = error, set()
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        following.__traceback__ = _of_others(following.__traceback__)
        following = following.__cause__ or following.__context__
    return error


def _of_others(entry):
    others = []
    while entry is not None:
        if not entry.tb_frame.f_code.co_filename.startswith(_ADDON):
            others.append(entry)
        entry = entry.tb_next
    rebuilt = None
    for other in reversed(others):
        rebuilt = TracebackType(rebuilt, other.tb_frame, other.tb_lasti, other.tb_lineno)
    return rebuilt
