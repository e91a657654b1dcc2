"""Whether a change of what limits or directs the keys of an integration allows more."""

import pytest

from odoo.addons.auth_integration.tools.access.access_rules import KeyAccess
from odoo.addons.auth_integration.tools.integration.key_rules import (
    KeyRules,
    is_handed_over,
    is_wider,
)
from odoo.addons.auth_integration.tools.key.key_state import Lifetime

RULES = KeyRules(
    user=7,
    company=1,
    owners=frozenset({8, 9}),
    targets=frozenset({"https://hooks.example/a"}),
    delivery="claim",
    networks="10.0.0.0/8",
    channels=frozenset({"json2", "xmlrpc"}),
    lifetime=Lifetime(max_age=60, extension=10, overlap=5),
    access=KeyAccess("read_only"),
)
WIDER = [
    {"user": 6},
    {"company": 2},
    {"owners": frozenset({8, 10})},
    {"targets": frozenset({"https://hooks.example/b"})},
    {"delivery": "webhook"},
    {"networks": ""},
    {"networks": "10.0.0.0/8\n192.0.2.1"},
    {"channels": frozenset()},
    {"channels": frozenset({"json2", "http"})},
    {"lifetime": Lifetime(61, 0, 0)},
    {"lifetime": Lifetime(1, 11, 0)},
    {"lifetime": Lifetime(1, 0, 6)},
    {"access": KeyAccess()},
    {"access": KeyAccess("read_only", operations=frozenset({("res.partner", "write")}))},
]
NOT_WIDER = [
    {},
    {"active": False},
    {"owners": frozenset({8})},
    {"targets": frozenset()},
    {"networks": "10.1.0.0/16\n10.2.3.4"},
    {"channels": frozenset({"json2"})},
    {"lifetime": Lifetime(59, 10, 0)},
    {"access": KeyAccess("read_only", networks="10.0.0.1")},
]


@pytest.mark.parametrize("change", WIDER)
def test_wider(change):
    assert is_wider(RULES._replace(**change), RULES)


@pytest.mark.parametrize("change", NOT_WIDER)
def test_not_wider(change):
    assert not is_wider(RULES._replace(**change), RULES)


def test_what_was_unlimited_and_what_is_restored():
    every = RULES._replace(channels=frozenset(), networks="")
    assert not is_wider(every._replace(channels=frozenset({"json2"}), networks="10.1.1.1"), every)
    assert is_wider(RULES, RULES._replace(active=False))


def test_handed_over():
    """Only what gives the keys, or the rights of their user, to somebody."""
    found = [change for change in WIDER if is_handed_over(RULES._replace(**change), RULES)]
    assert [list(change) for change in found] == [["user"], ["company"], ["owners"]]
