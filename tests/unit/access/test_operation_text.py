"""Operations are parsed as they are written."""

import pytest

from odoo.addons.auth_integration.tools.access.operation_text import (
    read_operations,
    split_operation,
)


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("res.partner.create", ("res.partner", "create")),
        (" base.write ", ("base", "write")),
        ("res.partner.*", ("res.partner", "*")),
        ("/a/b.c", ("http", "/a/b.c")),
        ("nothing", None),
        ("res.partner.", None),
        (".create", None),
        ("(many)", None),
        ("", None),
        (False, None),
        (None, None),
    ],
)
def test_one(text, operation):
    assert split_operation(text) == operation


def test_many():
    text = "res.partner.read\n\n  res.country.*  \r\n/json/1/<path:subpath>"
    assert read_operations(text) == [
        ("res.partner", "read"), ("res.country", "*"), ("http", "/json/1/<path:subpath>"),
    ]
    assert read_operations(None) == []
    with pytest.raises(ValueError, match="^partners$"):
        read_operations("res.partner.read\npartners")
