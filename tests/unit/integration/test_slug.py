"""The code of an integration: which codes are valid, and what invalid ones are changed to."""

import pytest

from odoo.addons.auth_integration.tools.integration import slug


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Web Shop", "web_shop"),
        ("  Café – Nord (2) ", "cafe_nord_2"),
        ("Straße", "strasse"),
        ("_Shop-1.2_", "shop-1.2"),
        ("倉庫", ""),
        ("", ""),
    ],
)
def test_proposal(text, code):
    assert slug.propose(text) == code
    assert not code or slug.is_good(code)


@pytest.mark.parametrize("code", ["", " shop", "Shop", "web shop", "-shop", "shop\n", "café"])
def test_no_code(code):
    assert not slug.is_good(code)


@pytest.mark.parametrize("code", ["shop", "2shop", "web.shop-2_b", "x"])
def test_code(code):
    assert slug.is_good(code)
