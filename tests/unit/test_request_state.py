"""The state of a request is kept in one place, and does not leak into others."""

import re

from dev.common import ROOT
from odoo.addons.auth_integration.tools.attempt import request_state
from odoo.addons.auth_integration.tools.attempt.request_state import Attempt

FOLDERS = ("models", "tools", "controllers", "wizard")


def files_with(pattern):
    return {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if re.search(pattern, path.read_text())
    }


def test_one_context_variable():
    assert files_with(r"\bContextVar\(") == {"tools/attempt/request_state.py"}


def test_no_decision_by_the_frames_of_others():
    """Only two modules look at stack frames.

    The first call has nothing else. A traceback is shortened for its readers.
    """
    pattern = r"_getframe|f_locals|extract_tb|co_name\b|tb_frame|inspect\.stack|currentframe"
    assert files_with(pattern) == {"tools/call_of_import.py", "tools/attempt/tracebacks.py"}


def test_a_request_leaves_nothing_behind():
    with request_state.serving():
        state = request_state.current()
        assert state.is_wrapped
        state.authenticated_key = state.reference = "somebody's"
        state.attempt = Attempt(channel="xmlrpc", database="db")
    after = request_state.current()
    assert (after.authenticated_key, after.reference, after.attempt) == (None, None, None)
    assert not after.is_wrapped


def test_a_service_call_begins_and_ends_without_a_key():
    """What the response needs from the call is kept."""
    with request_state.serving():
        state = request_state.current()
        state.authenticated_key, state.is_decided = "somebody's", True
        request_state.note("cooldown")
        with request_state.dispatching("object", "execute_kw", ()):
            assert (state.authenticated_key, state.is_decided) == (None, False)
            assert (state.unclaimed_codes, state.is_service_reached) == (set(), True)
            assert state.service_call == ("object", "execute_kw", ())
            state.authenticated_key, state.is_decided, state.reference = "mine", True, "REF"
        assert (state.authenticated_key, state.service_call) == (None, None)
        assert (state.is_decided, state.reference, state.is_service_reached) == (True, "REF", True)


def test_causes_are_kept_for_whoever_opens_an_attempt():
    with request_state.serving():
        request_state.note("cooldown")
        with request_state.opened(Attempt(channel="totp", database="db")) as attempt:
            request_state.note("second_factor_wrong")
            assert request_state.attempt() is attempt
        assert attempt.codes == {"second_factor_wrong"}
        assert request_state.current().unclaimed_codes == {"cooldown"}
        assert request_state.attempt() is None
