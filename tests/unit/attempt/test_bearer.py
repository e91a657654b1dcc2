import pytest

from odoo.addons.auth_integration.tools.attempt.caller import bearer_token


@pytest.mark.parametrize(
    "header, token",
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER \t abc", "abc"),
        ("Bearer abc def", "abc def"),
        ("Bearer abc ", "abc "),
        *((header, "") for header in (None, "", "Bearer", "Bearer ", "Bearerabc", "Basic abc",
                                      "abc", " Bearer abc", "Token abc")),
    ],
)
def test_bearer_token(header, token):
    """It is parsed as in Odoo's ``ir.http._auth_method_bearer``, which accepts no other header."""
    assert bearer_token(header) == token
