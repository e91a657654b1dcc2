"""Evaluated code that calls the add-on is recognized, and gets no cursor that can write."""

import pytest
from odoo.tools.safe_eval import safe_eval

from odoo.addons.auth_integration.tools.access import evaluated_code
from odoo.addons.auth_integration.tools.attempt import request_state


def through_a_method(function):
    return function()


CALLS = {
    "an expression": lambda function: safe_eval("f()", {"f": function}),
    "within a function": lambda function: safe_eval("(lambda: f())()", {"f": function}),
    "by code of a file": lambda function: safe_eval(
        "t(f)", {"t": through_a_method, "f": function}
    ),
    "by a built-in function": lambda function: safe_eval(
        "list(map(lambda _one: f(), [1]))[0]", {"f": function}
    ),
    "a server action": lambda function: _result_of_action(function),
}


def _result_of_action(function):
    context = {"f": function}
    safe_eval("result = f()", context, mode="exec", filename="ir.actions.server(1,)")
    return context["result"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_evaluated_code_that_calls(call):
    assert call(evaluated_code.is_running) is True
    assert evaluated_code.is_running() is False


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_it_gets_no_cursor_that_may_write(call):
    def limit_within():
        with request_state.unrestricted():
            return request_state.current().read_only_database

    with request_state.serving():
        request_state.current().read_only_database = "db"
        assert limit_within() is None
        assert call(limit_within) == "db"
        assert request_state.current().read_only_database == "db"
