"""The details of refused guesses in the log are looked up once a minute."""

from odoo.addons.auth_integration.tools.attempt.request_state import Attempt
from odoo.addons.auth_integration.tools.throttle.refused_guesses import (
    MAX_KEPT,
    RefusedGuesses,
    key_of,
)


def refused(reference="ABCDE-FGHIJ", **facts):
    attempt = Attempt("web", "base", login="alice", reference=reference, **facts)
    attempt.outcome = "failure"
    attempt.note("throttled")
    return attempt


def test_one_like_it():
    kept, first = RefusedGuesses(), refused()
    key = key_of(first)
    assert kept.recall(key, first) is None
    first.user_id, first.known_login = 7, "alice"
    first.note("user_archived")
    kept.keep(key, first, {"login": "alice"})
    again = refused()
    assert kept.recall(key_of(again), again) == {"login": "alice"}
    assert (again.user_id, again.cause) == (7, "user_archived")


def test_others_are_told_apart():
    kept, first = RefusedGuesses(), refused()
    kept.keep(key_of(first), first, {})
    for other in (refused("another"), refused(user_agent="another"), refused(user_id=8)):
        assert kept.recall(key_of(other), other) is None


def test_what_was_looked_at_is_never_kept():
    attempt = Attempt("web", "base", login="alice", reference="ABCDE-FGHIJ")
    assert key_of(attempt) is None
    kept = RefusedGuesses()
    kept.keep(None, attempt, {})
    assert kept.recall(None, attempt) is None


def test_it_is_bounded():
    kept = RefusedGuesses()
    for number in range(3 * MAX_KEPT):
        attempt = refused(str(number))
        kept.keep(key_of(attempt), attempt, {})
    assert len(kept._kept) <= MAX_KEPT
