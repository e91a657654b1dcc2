"""The tests that SECURITY.md names for its promises exist."""

import re

from dev.common import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_test_that_is_named_exists():
    named = NAMED.findall((ROOT / "SECURITY.md").read_text())
    assert len(named) > 30
    for path, function in named:
        assert (ROOT / path).is_file(), path
        assert not function or f"def {function}(" in (ROOT / path).read_text(), (path, function)
