"""One function of the add-on fails while a request is served that names it in a header."""

import functools
import importlib
from contextlib import contextmanager
from unittest.mock import patch

from odoo.addons.base.models import res_users
from odoo.http import Application

# Who is let in is what is tested here, and that a thousand times: hash quickly.
res_users.MIN_ROUNDS = 1000

ADDON = "odoo.addons.auth_integration."
_application_call = Application.__call__


class Fault(Exception):
    """Something of the add-on went wrong."""


@contextmanager
def broken(place, reached):
    """Have a function fail.

    :param place: such as ``tools.caller:current`` or ``models.res_users:ResUsers._rpc_user``
    :param reached: a list that gets an entry for each call
    """
    module, _colon, path = place.partition(":")
    *classes, name = path.split(".")
    owner = functools.reduce(getattr, classes, importlib.import_module(ADDON + module))

    def fail(*_args, **_kwargs):
        reached.append(place)
        raise Fault(place)

    original = vars(owner)[name]
    kind = type(original) if isinstance(original, classmethod | staticmethod | property) else None
    with patch.object(owner, name, kind(fail) if kind else fail):
        yield


@functools.wraps(_application_call)
def _call(self, environ, start_response):
    place = environ.get("HTTP_X_FAULT")
    if not place:
        return _application_call(self, environ, start_response)
    reached = []

    def start_response_saying_so(status, headers, *exc_info):
        headers = [*headers, ("X-Fault-Reached", str(len(reached)))]
        return start_response(status, headers, *exc_info)

    with broken(place, reached):
        return _application_call(self, environ, start_response_saying_so)


Application.__call__ = _call
