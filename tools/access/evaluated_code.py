"""Whether code that Odoo evaluates has called us: an expression, a template, a server action."""

import os
import sys

# Frames of Python's own, and of a library that makes wrappers, that no file has either.
_OF_NO_FILE = ("<frozen ", "<decorator-gen")


def is_running() -> bool:
    """Whether evaluated code is among the callers, however far away.

    Code of a module is compiled from its file.  What :func:`odoo.tools.safe_eval.safe_eval` and
    QWeb compile has a name that is the path of none.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not (os.path.isabs(name) or name.startswith(_OF_NO_FILE)):
            return True
        frame = frame.f_back
    return False
