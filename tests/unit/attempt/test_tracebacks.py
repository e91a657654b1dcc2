"""The add-on's frames are removed from a traceback; the rest and the error stay the same."""

import traceback

import pytest

from odoo.addons.auth_integration.tools import fallback
from odoo.addons.auth_integration.tools.attempt import tracebacks

# A hook around a method of Odoo; its frame counts as the add-on's.
_made = {}
exec(compile("def hook(core):\n    return core()\n", fallback.__file__, "exec"), _made)
hook = _made["hook"]


@pytest.fixture
def only_hook(monkeypatch):
    """This file is also within the add-on, but its frames must be kept."""
    monkeypatch.setattr(tracebacks, "_ADDON", fallback.__file__)


def refuse():
    try:
        raise KeyError("looked up")
    except KeyError:
        raise PermissionError("refused") from None


def refuse_because():
    try:
        hook(refuse)
    except PermissionError as error:
        raise ValueError("passed on") from error


def raised_by(method):
    try:
        hook(lambda: method())
    except Exception as error:
        return error


def functions(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_ours_are_not_shown(only_hook):
    error = raised_by(refuse)
    assert functions(error) == ["raised_by", "hook", "<lambda>", "refuse"]
    assert tracebacks.strip_addon_frames(error) is error
    assert functions(error) == ["raised_by", "<lambda>", "refuse"]
    assert error.args == ("refused",)


def test_nor_in_the_errors_that_led_to_it(only_hook):
    error = raised_by(refuse_because)
    assert "hook" in functions(error.__cause__)
    tracebacks.strip_addon_frames(error)
    assert functions(error.__cause__) == ["refuse_because", "refuse"]
    assert functions(error.__cause__.__context__) == ["refuse"]


def test_an_error_that_was_never_raised_has_none():
    assert tracebacks.strip_addon_frames(ValueError()).__traceback__ is None


def test_errors_in_a_circle_end():
    first, second = raised_by(refuse), raised_by(refuse)
    first.__context__ = second
    second.__context__ = first
    assert tracebacks.strip_addon_frames(first) is first


def test_hooks_that_an_error_has_passed_are_not_shown(monkeypatch):
    monkeypatch.setattr(tracebacks, "_ADDON", fallback.__file__)
    monkeypatch.setattr(tracebacks, "_HOOKS", (fallback.__file__,))
    error = tracebacks.without_hooks(raised_by(refuse))
    assert functions(error) == ["raised_by", "<lambda>", "refuse"]


def test_an_error_of_ours_is_shown_whole(monkeypatch):
    """Whoever fixes it needs every line."""
    monkeypatch.setattr(tracebacks, "_ADDON", __file__)
    monkeypatch.setattr(tracebacks, "_HOOKS", (fallback.__file__,))
    error = raised_by(refuse)
    before = functions(error)
    assert functions(tracebacks.without_hooks(error)) == before
