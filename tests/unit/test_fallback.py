"""Core is asked once at most, and its answer stands when our part fails."""

import pytest
from odoo.exceptions import AccessDenied

from odoo.addons.auth_integration.tools.fallback import CoreDecision


class Core:
    """A method of core: accepts user 7, or refuses."""

    def __init__(self, refusal=None):
        self.refusal, self.calls = refusal, 0

    def __call__(self, login, *, interactive):
        self.calls += 1
        assert (login, interactive) == ("person", False)
        if self.refusal:
            raise self.refusal
        return 7


def decide(part, refusal=None):
    """Return what comes of our part above such a core, and how often core was asked."""
    core = Core(refusal)
    try:
        result = CoreDecision(core, "person", interactive=False).with_our_part(part)
    except Exception as error:
        result = error
    return result, core.calls


def fails_before(core):
    raise ZeroDivisionError


def fails_after(core):
    core()
    raise ZeroDivisionError


def fails_at_a_refusal(core):
    try:
        return core()
    except AccessDenied:
        raise ZeroDivisionError from None


@pytest.mark.parametrize("part", [fails_before, fails_after, fails_at_a_refusal])
def test_core_decides_when_our_part_fails(part):
    refusal = AccessDenied()
    assert decide(part) == (7, 1)
    assert decide(part, refusal) == (refusal, 1)


@pytest.mark.parametrize("outcome", [8, AccessDenied(), ValueError()])
def test_what_decides_instead_of_core_is_not_asked_twice(outcome):
    """Its error is no failure of ours, and its answer stands when ours fails later."""
    calls = []

    def instead(login):
        calls.append(login)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def decides(core):
        return core.instead(instead, "person")

    def fails_later(core):
        core.instead(instead, "person")
        raise ZeroDivisionError

    for part in (decides, fails_later):
        assert decide(part) == (outcome, 0)
    assert calls == ["person"] * 2


def test_our_part_may_refuse():
    """What core has accepted, too."""

    def refuse(core):
        core()
        raise AccessDenied

    result, calls = decide(refuse)
    assert isinstance(result, AccessDenied) and calls == 1


def test_our_part_may_decide_alone():
    assert decide(lambda core: 5) == (5, 0)


def test_an_error_of_core_is_passed_on():
    error = TypeError("secret must be unicode")
    assert decide(lambda core: core(), error) == (error, 1)


def test_parts_within_parts():
    """An outer part knows core's error by an inner one's call."""
    error = TypeError("secret must be unicode")
    assert decide(lambda core: core.with_our_part(lambda inner: inner()), error) == (error, 1)
    assert decide(lambda core: core.with_our_part(fails_before), error) == (error, 1)
