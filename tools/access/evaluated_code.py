"""Whether code that Odoo evaluates is calling: an expression, a template, a server action."""

import os
import sys

# Frames of Python itself and of the library decorator, which have no file either.
_OF_NO_FILE = ("<frozen ", "<decorator-gen")


def is_running() -> bool:
    """Whether evaluated code is anywhere in the call stack.

    Code of a module is compiled from a file with an absolute path.  The file names of code compiled
    by :func:`odoo.tools.safe_eval.safe_eval` and QWeb are not absolute paths.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not (os.path.isabs(name) or name.startswith(_OF_NO_FILE)):
            return True
        frame = frame.f_back
    return False
