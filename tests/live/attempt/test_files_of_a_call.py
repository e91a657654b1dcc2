"""The number of files of the add-on that one warm call enters."""

import pytest

from dev.common import TEST_ADDONS
from worlds.attempt import WRONG_KEY, World

SERVER = {
    "modules": ("auth_integration", "auth_integration_files"),
    "extra_addons": (TEST_ADDONS,),
}


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


# The goal is 10 and 12. The excess is small modules with one purpose each: the caller, agents and
# redaction; for a rejected call also causes, references, buckets, limits and settings.
@pytest.mark.parametrize(("key", "bound"), [("good", 14), (WRONG_KEY, 23)])
def test_files_entered_by_a_warm_call(world, key, bound):
    """This is how many files one must read to see how a key is accepted or rejected."""
    caller, secret = world.calls(), world.secret(key)
    for _warm in range(3):
        caller.json2(secret)
    _status, headers, _body = caller.raw(
        "POST", "/json/2/res.users/context_get", "{}",
        {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", "X-Files": "1"},
    )
    files = headers["X-Files"].split(",")
    assert len(files) <= bound, files
