"""The registry of causes is complete, in the right order, readable and translatable."""

import ast
import re
import runpy
from itertools import permutations
from pathlib import Path

import pytest

from dev.common import ROOT
from odoo.addons.auth_integration.tools.attempt import causes

LEFT_HEAD = """
    database_unknown endpoint_unknown malformed_request authenticate_skipped header_missing
    header_malformed login_missing secret_missing user_unknown user_archived
""".split()
LEFT_REST = """
    interactive_not_allowed password_not_allowed password_wrong cooldown throttled internal_error
""".split()
RIGHT = """
    key_unknown key_wrong_scope key_user_mismatch key_revoked key_superseded key_expired
    key_copied address_not_allowed channel_not_allowed session_expired session_mismatch
    second_factor_wrong second_factor_replayed webhook_unknown provider_error operation_not_allowed
""".split()


def test_every_cause_of_the_design_is_there_in_its_order():
    assert list(causes.CAUSES) == LEFT_HEAD + LEFT_REST + RIGHT
    assert all(code == cause.code for code, cause in causes.CAUSES.items())


def test_precedence_depends_on_the_shape_of_the_secret():
    assert causes.PRECEDENCE[True] == tuple(LEFT_HEAD + RIGHT + LEFT_REST)
    assert causes.PRECEDENCE[False] == tuple(LEFT_HEAD + LEFT_REST + RIGHT)


@pytest.mark.parametrize(
    ("codes", "key_shaped", "winner"),
    [
        # what is wrong before the secret is checked wins over a wrong secret
        (["key_expired", "user_archived", "user_unknown"], True, "user_unknown"),
        (["password_wrong", "user_archived", "cooldown"], False, "user_archived"),
        # a key: its own state, then its origin
        (["address_not_allowed", "key_revoked", "key_expired"], True, "key_revoked"),
        (["password_wrong", "key_unknown"], True, "key_unknown"),
        # a password is never explained as a key
        (["key_unknown", "password_wrong"], False, "password_wrong"),
        # none of the expected kind: the other kind still explains it
        (["cooldown"], True, "cooldown"),
        (["second_factor_wrong"], False, "second_factor_wrong"),
    ],
)
def test_first_names_the_cause_when_several_hold(codes, key_shaped, winner):
    for order in permutations(codes):
        assert causes.first(order, key_shaped) == winner


def test_first_of_nothing_is_none():
    assert causes.first([], True) is None
    assert causes.first(iter(()), False) is None


@pytest.mark.parametrize("codes", [["nonsense"], ["key_expired", "nonsense"]])
def test_an_unknown_code_is_an_error_that_names_it(codes):
    with pytest.raises(KeyError, match="nonsense"):
        causes.get(codes[-1])
    with pytest.raises(KeyError, match="nonsense"):
        causes.first(codes, True)


@pytest.mark.parametrize("cause", causes.CAUSES.values(), ids=lambda cause: cause.code)
def test_texts_can_be_read(cause):
    assert cause.severity in ("info", "warning", "critical")
    assert 0 < len(cause.title) <= 50
    assert not cause.title.endswith(".")
    for text in (cause.explanation, cause.remedy):
        assert text.endswith(".")
        assert "  " not in text
        sentences = re.split(r"(?<=[.!?:]) ", text)
        assert len(sentences) <= 4 and max(len(said.split()) for said in sentences) <= 20
    for text in (cause.title, cause.explanation, cause.remedy):
        assert "%" not in text, "would be read as a placeholder by translators"


def test_titles_tell_causes_apart():
    assert len({cause.title for cause in causes.CAUSES.values()}) == len(causes.CAUSES)


def test_only_guesses_count_towards_a_limit():
    assert {cause.code for cause in causes.CAUSES.values() if cause.counts} == {
        "user_unknown",
        "password_not_allowed",
        "password_wrong",
        "key_unknown",
        "second_factor_wrong",
        "second_factor_replayed",
        "webhook_unknown",
    }


def test_fail2ban_counts_what_counts():
    """The filter bans for guesses, and for nothing that honest programs do."""
    text = (ROOT / "data/fail2ban/auth_integration.conf").read_text()
    [named] = re.findall(r"^failregex = .* cause=\(\?:([a-z_|]+)\) ", text, re.M)
    counted = {cause.code for cause in causes.CAUSES.values() if cause.counts}
    # A throttled guess is also a guess, although it does not count toward the add-on's limits.
    assert set(named.split("|")) == counted | {"throttled"}


def marked_literals(path):
    """Return what Odoo's export of terms finds in a file: only literals in ``_lt( )``."""
    marked = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_lt":
            assert len(node.args) == 1 and isinstance(node.args[0], ast.Constant)
            marked.add(node.args[0].value)
    return marked


def test_every_text_is_a_marked_literal():
    texts = {
        text
        for cause in causes.CAUSES.values()
        for text in (cause.title, cause.explanation, cause.remedy)
    }
    assert texts == marked_literals(Path(causes.__file__))


def test_every_text_of_the_doctor_is_a_marked_literal():
    """Diagnose shows them in the user's language."""
    doctor = ROOT / "static" / "doctor.py"
    known = runpy.run_path(str(doctor))["CAUSES"]
    texts = {text for cause in known.values() for text in (cause.title, cause.remedy)}
    assert texts == marked_literals(doctor)
    assert not [text for text in texts if "%" in text]


def test_keys_are_issued_on_the_integration():
    """The list of keys has no button for it."""
    for cause in causes.CAUSES.values():
        assert not re.search(r"[Ii]ssue[^.;]*Integrations ▸ Keys", cause.remedy), cause.code
