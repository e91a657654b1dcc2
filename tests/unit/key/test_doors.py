"""Every place in Odoo that verifies or accepts a credential has been reviewed."""

from pathlib import Path

import doors
import odoo
import odoo.addons
import pytest

from dev.common import ROOT
from dev.servers.odoo_command import tree

WHAT_TO_DO = (
    "decide how rules and ends of keys hold there and who records what it refuses, then name it in"
    " tests/unit/key/known_doors.txt: "
)
LOOKED_AT = set((Path(__file__).parent / "known_doors.txt").read_text().splitlines())


def unknown(found):
    """Return for each place that was not reviewed a line that says what to decide."""
    return [WHAT_TO_DO + door for door in found if door not in LOOKED_AT]


def test_every_door_of_the_addons_is_known():
    folders = {str(tree() / "odoo/addons"), *map(str, odoo.addons.__path__)}
    ours = [folder for folder in folders if str(ROOT) in folder]
    assert unknown(doors.find(folders - set(ours))) == []


def test_every_door_of_the_framework_is_known():
    [package] = {str(tree() / "odoo")}
    found = (f"odoo/{door}" for door in doors.find([package]) if not door.startswith("addons/"))
    assert unknown(found) == []


DOORS = {
    "def f(cr):\n    return _check_apikey_credentials(cr, scope='rpc', key=1)": (
        "f calls _check_apikey_credentials"
    ),
    "class C:\n    @http.route('/x', auth='none')\n    def m(self): pass": (
        "C.m is a route for none"
    ),
    "class C:\n    @route(['/x'], auth=METHOD)\n    def m(self): pass": "C.m is a route for METHOD",
    "class C:\n    def _auth_method_magic(cls): pass": "C._auth_method_magic is defined",
    "class C:\n    def m(self):\n        return [u._login(x) for u in self]": "C.m calls _login",
    "env['res.users'].authenticate(c, e)": "the module calls authenticate",
    "QUERY = 'SELECT key FROM res_users_apikeys'": "names res_users_apikeys",
}


@pytest.mark.parametrize("source", DOORS)
def test_a_new_door_is_found(source):
    """A place in a future build is found, and its line says what to decide."""
    found = list(doors.doors_of(source))
    assert found == [DOORS[source]]
    [line] = unknown(f"new/models.py {door}" for door in found)
    assert line.startswith("decide how") and line.endswith(DOORS[source])


def test_sessions_are_no_doors():
    assert not list(doors.doors_of("@route('/x', auth='user')\ndef m(self): pass"))
