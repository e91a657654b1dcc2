"""Whether a change would allow a key more than before."""

import pytest

from odoo.addons.auth_integration.tools.access.access_rules import (
    KeyAccess,
    OperationError,
    is_wider,
    parse_operations,
)

READ, COUNTRIES = ("res.partner", "read"), ("res.country", "*")
LISTED = KeyAccess("listed", operations=frozenset({READ, COUNTRIES}))
WIDER = [
    (LISTED, KeyAccess()),
    (LISTED, KeyAccess("read_only")),
    (KeyAccess("read_only"), KeyAccess()),
    (KeyAccess("read_only"), LISTED),  # a listed method may write
    (KeyAccess("read_only"), KeyAccess("read_only", "report")),
    (KeyAccess(), KeyAccess(mode="report")),
    (LISTED, LISTED._replace(operations=LISTED.operations | {("res.partner", "write")})),
    (LISTED, LISTED._replace(operations=LISTED.operations | {("res.partner", "*")})),
    # ``*`` does not stand for every method.
    (LISTED, LISTED._replace(operations=LISTED.operations | {("res.country", "read")})),
    (KeyAccess("read_only"), KeyAccess("read_only", operations=frozenset({READ}))),
    (KeyAccess(networks="10.0.0.0/8"), KeyAccess()),
    (KeyAccess(networks="10.0.0.0/8"), KeyAccess(networks="10.0.0.0/8\n192.0.2.1")),
    (KeyAccess(networks="nonsense"), KeyAccess(networks="10.0.0.0/8")),
]
NOT_WIDER = [
    (KeyAccess(), LISTED),
    (KeyAccess(), KeyAccess("read_only")),
    (LISTED, LISTED),
    (LISTED, LISTED._replace(operations=frozenset({READ}))),
    (KeyAccess("read_only", "report"), KeyAccess()),
    (KeyAccess("read_only", "report"), KeyAccess("read_only")),
    (KeyAccess("full", "report"), KeyAccess("read_only", "report")),
    (KeyAccess(), KeyAccess(networks="10.0.0.0/8")),
    (KeyAccess(networks="10.0.0.0/8"), KeyAccess(networks="10.1.0.0/16")),
]


@pytest.mark.parametrize("old, new", WIDER)
def test_wider(old, new):
    assert is_wider(new, old)


@pytest.mark.parametrize("old, new", NOT_WIDER)
def test_not_wider(old, new):
    assert not is_wider(new, old)


def test_operations_are_pairs():
    given = [["res.partner", "read"], ("res.country", "*"), ["http", "/json/1/<path:subpath>"]]
    assert parse_operations(given) == {READ, COUNTRIES, ("http", "/json/1/<path:subpath>")}


@pytest.mark.parametrize(
    "given",
    [
        "res.partner",
        {"res.partner": "read"},
        ["res.partner.read"],
        [["res.partner", "read", 1]],
        [["res.partner", "_read"]],
        [["res.partner", "read "]],
        [["Res.Partner", "read"]],
        [["res.partner", None]],
        [["http", "json/1"]],
        [["http", "*"]],
        [["res.partner", f"m{number}"] for number in range(501)],
    ],
)
def test_anything_else_is_none(given):
    with pytest.raises(OperationError):
        parse_operations(given)
