"""OCA's auth_api_key, the real wheel from PyPI: its auth method is logged without special code."""

import subprocess
import sys
import zipfile

import pytest

from dev.common import state_dir
from worlds.attempt import Calls

WHEEL = "odoo-addon-auth-api-key==19.0.1.1.0.3"
ROUTE = """
from odoo import http
from odoo.http import request


class Route(http.Controller):
    @http.route("/oca", type="http", auth="api_key", save_session=False)
    def route(self, **_marker):
        return str(request.env.uid)
"""


@pytest.fixture(scope="module")
def addons():
    """The unpacked add-on of the wheel, and a test add-on with a route that uses it."""
    folder = state_dir("test", "oca_auth_api_key")
    if not (folder / "auth_api_key").exists():
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, WHEEL],
            capture_output=True, text=True,
        )
        if done.returncode:
            pytest.skip(f"PyPI does not give {WHEEL}: {done.stderr[-200:]}")
        [wheel] = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked")
        (folder / "unpacked/odoo/addons/auth_api_key").rename(folder / "auth_api_key")
    route = folder / "oca_route"
    route.mkdir(exist_ok=True)
    (route / "__manifest__.py").write_text(
        "{'name': 'Route', 'depends': ['auth_api_key'], 'license': 'LGPL-3'}"
    )
    (route / "__init__.py").write_text(ROUTE)
    return folder


@pytest.fixture(scope="module")
def server(live_server, addons):
    server = live_server(
        "main",
        modules=("auth_integration", "auth_api_key", "oca_route"),
        extra_addons=(addons,),
    )
    server.shell(
        "env['auth.api.key'].create({'name': 'x', 'user_id': 2, 'key': 'the right OCA key'})"
    )
    return server


class Place:
    def __init__(self, server):
        self.server, self.db = server, server.db


@pytest.mark.parametrize(
    ("key", "status", "outcome", "cause", "uid"),
    [
        ("the right OCA key", 200, "success", None, 2),
        ("a wrong OCA key", 403, "failure", "key_unknown", None),
        (None, 401, "failure", "header_missing", None),
    ],
)
def test_each_call_is_one_attempt(server, key, status, outcome, cause, uid):
    """Accepted, rejected and without a key; a wrong key appears in no log line."""
    caller = Calls(Place(server))
    mark = server.log_mark()
    reply = caller.http("GET", "/oca", headers={"API-KEY": key} if key else {})
    assert reply.status == status
    [row] = caller.rows()
    assert (row["outcome"], row["cause"], row["user_id"], row["count"]) == (outcome, cause, uid, 1)
    assert (row["channel"], row["auth_type"]) == ("http", "api_key")
    assert row["reference"] == reply.reference
    assert not key or key not in server.log_since(mark)
