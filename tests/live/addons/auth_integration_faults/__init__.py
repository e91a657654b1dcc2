"""Makes a function of the add-on fail during requests that name it in a header.

Another header makes the response say how many rounds of a password hash were computed.
"""

import functools
import hashlib
import importlib
from contextlib import contextmanager
from unittest.mock import patch

from odoo.addons.base.models import res_users
from odoo.http import Application
from passlib.hash import pbkdf2_sha512

# The tests check thousands of times who is let in, so hashing must be quick.
res_users.MIN_ROUNDS = 1000

ADDON = "odoo.addons.auth_integration."
_application_call = Application.__call__


class Fault(Exception):
    """An error in the add-on."""


@contextmanager
def broken(place, reached):
    """Make a function fail.

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


def _counting_rounds(self, environ, start_response):
    """Add a response header with the rounds of PBKDF2 with SHA-512 that the request computed."""
    computed = []
    compute = hashlib.pbkdf2_hmac

    def pbkdf2_hmac(name, secret, salt, rounds, dklen=None):
        if name == "sha512":
            computed.append(rounds)
        return compute(name, secret, salt, rounds, dklen)

    def start_response_saying_so(status, headers, *exc_info):
        return start_response(status, [*headers, ("X-Rounds", str(sum(computed)))], *exc_info)

    def verify(secret, stored, *arguments, **keywords):
        if stored.startswith("$pbkdf2-sha512$"):
            computed.append(int(stored.split("$")[2]))
        return original(secret, stored, *arguments, **keywords)

    original = pbkdf2_sha512.verify
    with (
        patch.object(hashlib, "pbkdf2_hmac", pbkdf2_hmac),
        patch.object(pbkdf2_sha512, "verify", verify),
    ):
        return _application_call(self, environ, start_response_saying_so)


@functools.wraps(_application_call)
def _call(self, environ, start_response):
    if environ.get("HTTP_X_ROUNDS"):
        return _counting_rounds(self, environ, start_response)
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
