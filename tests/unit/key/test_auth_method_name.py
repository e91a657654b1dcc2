"""The two ways in which Odoo names the authentication method of a route."""

import pytest

from odoo.addons.auth_integration.models.ir_http import auth_method_name


@pytest.mark.parametrize("auth", ["bearer", {"auth": "bearer", "type": "json2", "routes": ["/x"]}])
def test_auth_method_name(auth):
    assert auth_method_name(auth) == "bearer"
