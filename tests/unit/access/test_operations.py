"""The operation of a call is counted when the call ends, and leaves no state behind."""

import threading
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from odoo.addons.auth_integration.tools.access import operations
from odoo.addons.auth_integration.tools.access.access_rules import OWN_OPERATIONS
from odoo.addons.auth_integration.tools.access.operation_counts import Place
from odoo.addons.auth_integration.tools.attempt import request_state
from odoo.addons.auth_integration.tools.key.authenticated_key import AuthenticatedKey

OPERATION = ("res.partner", "read")


@pytest.fixture(autouse=True)
def counted():
    """The counts of uses, writes and rejections, by operation."""
    found = []

    def count(place, operation, counts):
        assert place == Place("db", 7)
        found.append((operation, counts.uses, counts.writes, counts.refused))

    with request_state.serving(), patch.object(operations.usage_writer, "count", count):
        yield found


def call(operation=OPERATION, access="full", mode="enforce", key_id=7):
    state = request_state.current()
    state.authenticated_key = key_id and AuthenticatedKey(
        "db", 1, key_id, "json2", None, access=access, access_mode=mode
    )
    state.operation = operation
    operations.watch()


def run(status, query="..."):
    """Run the hooks as Odoo's cursor does after a statement."""
    for hook in getattr(threading.current_thread(), "query_hooks", ()):
        hook(SimpleNamespace(_obj=SimpleNamespace(statusmessage=status)), query, None, 0, 0)


def test_a_call(counted):
    with request_state.counting():
        call()
        run("SELECT 1")
        assert counted == []
    assert counted == [(OPERATION, 1, 0, 0)]


def test_a_call_that_writes_is_one(counted):
    with request_state.counting():
        call()
        for status in ("SELECT 1", "INSERT 0 1", "SELECT 1", "UPDATE 2"):
            run(status)
    assert counted == [(OPERATION, 1, 1, 0)]


def test_nothing_is_left_in_the_thread(counted):
    for _call in range(2):
        with pytest.raises(ZeroDivisionError), request_state.counting():
            call()
            raise ZeroDivisionError
        assert threading.current_thread().query_hooks == []
        assert request_state.current().operation_call is None
    run("INSERT 0 1")
    assert counted == [(OPERATION, 1, 0, 0)] * 2


def test_a_call_within_another_is_counted_apart(counted):
    with request_state.counting():
        call()
        with request_state.counting():
            call(("res.users", "read"))
            run("UPDATE 1")
        run("SELECT 1")
    assert counted == [(("res.users", "read"), 1, 1, 0), (OPERATION, 1, 1, 0)], "in both it wrote"


def test_looked_up_twice_it_is_counted_once(counted):
    with request_state.counting():
        call()
        run("UPDATE 1")
        call()
    assert counted == [(OPERATION, 1, 1, 0)]


@pytest.mark.parametrize("operation", [None, *OWN_OPERATIONS])
def test_what_is_not_counted(counted, operation):
    with request_state.counting():
        call(operation)
        operations.note(False)
    with request_state.counting():
        call(key_id=None)
        operations.note(True)
    assert counted == []


@pytest.mark.parametrize(
    ("access", "mode", "refused", "status", "expected"),
    [
        ("listed", "enforce", True, "SELECT 1", (0, 0, 1)),
        ("listed", "report", True, "UPDATE 1", (1, 1, 1)),
        ("listed", "report", False, "UPDATE 1", (1, 1, 0)),
        ("read_only", "enforce", True, "SELECT 1", (0, 0, 1)),
        ("read_only", "report", False, "UPDATE 1", (1, 1, 1)),
        ("read_only", "report", False, "SELECT 1", (1, 0, 0)),
        ("full", "report", False, "UPDATE 1", (1, 1, 0)),
    ],
)
def test_what_is_not_allowed(counted, access, mode, refused, status, expected):
    with request_state.counting():
        call(access=access, mode=mode)
        operations.note(False)
        operations.note(refused)
        operations.note(False)
        run(status)
    assert counted == [(OPERATION, *expected)]


def test_what_fails_of_it_fails_nothing():
    """An error in the add-on's hook must not make Odoo's statement fail."""
    with request_state.counting():
        call()
        run(7)
