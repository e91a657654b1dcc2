"""The function with which newer builds verify keys is patched wherever it was imported by name."""

import sys
import types

import pytest
from odoo.addons.base.models import res_users

from odoo.addons.auth_integration.tools import core_patches
from odoo.addons.auth_integration.tools.key import cursor_verification

NAME = cursor_verification.FUNCTION


@pytest.fixture
def holder(monkeypatch):
    """A module that has imported stock's function under another name."""

    def stock(cr, *, scope, key, table="res_users_apikeys"):
        return "stock"

    module = types.ModuleType("holder_of_the_function")
    module.alias = stock
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(res_users, NAME, stock, raising=False)
    return module


def test_every_holder_has_it(holder):
    stock = holder.alias
    core_patches._patch_key_function()
    assert holder.alias is getattr(res_users, NAME)
    assert holder.alias is not stock


def test_it_is_patched_once(holder):
    core_patches._patch_key_function()
    patched = holder.alias
    core_patches._patch_key_function()
    assert holder.alias is patched is getattr(res_users, NAME)


def test_without_it_nothing_is_patched(monkeypatch):
    monkeypatch.delattr(res_users, NAME, raising=False)
    core_patches._patch_key_function()
    assert not hasattr(res_users, NAME)


class Cursor:
    """The cursor of a database that is not loaded and cannot be read."""

    dbname = "nowhere"


@pytest.mark.parametrize(
    "given",
    [
        {"scope": "rpc", "key": "k"},  # the add-on's part fails
        {"scope": "rpc", "key": ""},
        {"scope": "browser", "key": "k", "table": "auth_totp_device"},
    ],
)
def test_stock_decides_what_we_cannot(holder, given):
    core_patches._patch_key_function()
    assert holder.alias(Cursor(), **given) == "stock"


def test_wrong_arguments_are_stock_s_business(holder):
    core_patches._patch_key_function()
    with pytest.raises(TypeError):
        holder.alias(Cursor(), nonsense=1)
