"""An error of the add-on is contained, and an error of Odoo is never mistaken for one."""

import logging

import pytest
from odoo.exceptions import AccessDenied
from psycopg2.errors import SerializationFailure

from odoo.addons.auth_integration.tools import fallback
from odoo.addons.auth_integration.tools.attempt.flood_limits import LogLimit
from odoo.addons.auth_integration.tools.fallback import core_fallback, observed_by, observing
from odoo.addons.auth_integration.tools.key.native_scope import KeyRulesUnreadable

DECISIONS = [AccessDenied, KeyRulesUnreadable, SerializationFailure]


class Observer:
    """A context manager of the add-on, of which some steps fail."""

    def __init__(self, failing=()):
        self.failing, self.seen = failing, []
        self._step("make")

    def _step(self, step):
        if step in self.failing:
            raise AccessDenied  # an observer cannot refuse access
        self.seen.append(step)

    def __enter__(self):
        self._step("enter")
        return self

    def __exit__(self, kind, error, trace):
        self._step("exit")
        return True  # nor can it suppress Odoo's error


def hook(core, observers=(), failing=(), before=lambda: None, decide=lambda: None):
    """A hook as in the add-on: observed, with parts that note and decide, and one call of Odoo."""

    def make():
        observers.append(Observer(failing))
        return observers[-1]

    with observed_by(make):
        with observing():
            before()
        with core_fallback():
            if (decided := decide()) is not None:
                return decided
        return core()


class Core:
    """A method of Odoo that accepts user 7, or refuses."""

    def __init__(self, error=None):
        self.error, self.calls = error, 0

    def __call__(self):
        self.calls += 1
        if self.error:
            raise self.error
        return 7


def outcome(core, **parts):
    try:
        return hook(core, observers=[], **parts)
    except Exception as error:
        return error


def fail():
    raise ZeroDivisionError


def refuse():
    raise AccessDenied("ours")


@pytest.mark.parametrize("error", [None, AccessDenied("core's"), TypeError(), ValueError()])
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"before": fail},
        {"before": refuse},
        {"decide": fail},
        {"failing": ("make",)},
        {"failing": ("enter",)},
        {"failing": ("exit",)},
        {"failing": ("exit",), "before": fail, "decide": fail},
    ],
)
def test_core_decides_once_whatever_of_ours_fails(parts, error):
    core = Core(error)
    assert outcome(core, **parts) == (error or 7)
    assert core.calls == 1


@pytest.mark.parametrize("error", [kind() for kind in DECISIONS])
def test_our_part_may_decide(error):
    def raises():
        raise error

    core = Core()
    assert outcome(core, decide=raises) is error
    assert outcome(core, decide=lambda: 5) == 5
    assert core.calls == 0


def test_the_end_of_a_process_is_no_failure_of_ours():
    with pytest.raises(KeyboardInterrupt), observing():
        raise KeyboardInterrupt


def test_what_could_not_be_opened_can_be_annotated_all_the_same():
    with observed_by(Observer, failing=("make",)) as attempt:
        attempt.note("password_wrong")
    assert attempt.codes == {"password_wrong"}


def test_lines_are_limited(monkeypatch, caplog):
    monkeypatch.setattr(fallback, "_failures", LogLimit(2, clock=lambda: 0))
    with caplog.at_level(logging.ERROR):
        for _failure in range(5):
            with core_fallback():
                fail()
    assert len(caplog.records) == 2
    assert caplog.records[0].exc_info[0] is ZeroDivisionError
