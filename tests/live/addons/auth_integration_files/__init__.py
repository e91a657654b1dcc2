"""Reports the files of the add-on that a request enters, if a header asks for it."""

import functools
import os
import sys

import odoo.addons.auth_integration
from odoo.http import Application

FOLDER = os.path.dirname(odoo.addons.auth_integration.__file__) + os.sep
_application_call = Application.__call__


@functools.wraps(_application_call)
def _call(self, environ, start_response):
    if "HTTP_X_FILES" not in environ:
        return _application_call(self, environ, start_response)
    files = set()

    def note(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename.startswith(FOLDER):
            files.add(frame.f_code.co_filename.removeprefix(FOLDER))

    def start_response_with_files(status, headers, *exc_info):
        return start_response(status, [*headers, ("X-Files", ",".join(sorted(files)))], *exc_info)

    sys.setprofile(note)
    try:
        return _application_call(self, environ, start_response_with_files)
    finally:
        sys.setprofile(None)


Application.__call__ = _call
