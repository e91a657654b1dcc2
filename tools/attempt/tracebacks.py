"""Remove frames of this add-on from tracebacks, which /json/2 shows to rejected callers."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

# The path as it stands in frames, not resolved: an add-ons folder may hold a link to this one.
_ADDON = str(Path(__file__).parents[2]) + os.sep
# Where core is patched or extended: every call passes through here.
_HOOKS = tuple(
    os.path.join(_ADDON, *path)
    for path in (
        ("tools", ""),
        ("models", "ir_http.py"),
        ("models", "res_users.py"),
        ("models", "res_users_apikeys.py"),
    )
)


def strip_addon_frames(error: BaseException) -> BaseException:
    """Remove this add-on's frames from the traceback of an error and of the errors that led to it.

    They would reveal what stands between the caller and core.  Formatting each frame also takes
    time.

    :return: the same error
    """
    return _without_frames(error, _ADDON)


def without_hooks(error: BaseException) -> BaseException:
    """Remove the hooks from the traceback of an error that other code raised.

    The traceback of an error raised in this add-on stays complete: it is a bug of ours, or a
    message for people.

    :return: the same error
    """
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    if entry is None or _file_of(entry).startswith(_ADDON):
        return error
    return _without_frames(error, _HOOKS)


def _without_frames(error, prefixes):
    following, seen = error, set()
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        following.__traceback__ = _of_others(following.__traceback__, prefixes)
        following = following.__cause__ or following.__context__
    return error


def _file_of(entry):
    return entry.tb_frame.f_code.co_filename


def _of_others(entry, prefixes):
    others = []
    while entry is not None:
        if not _file_of(entry).startswith(prefixes):
            others.append(entry)
        entry = entry.tb_next
    rebuilt = None
    for other in reversed(others):
        rebuilt = TracebackType(rebuilt, other.tb_frame, other.tb_lasti, other.tb_lineno)
    return rebuilt
