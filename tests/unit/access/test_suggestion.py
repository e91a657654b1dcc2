"""A suggestion would not have rejected any of the calls that it is based on."""

from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.access.access_rules import LISTED, READ_ONLY, KeyAccess
from odoo.addons.auth_integration.tools.access.operation_counts import OTHER
from odoo.addons.auth_integration.tools.access.suggestion import Use, rejected, suggest

SEARCH, CREATE = ("res.partner", "search_read"), ("sale.order", "create")


NAMES = {"search_read", "x"}


def reads(_model, method):
    return method in NAMES or (_model, method) == OTHER


def in_star(_model, method):
    return method != "onchange"


def test_only_reads():
    assert suggest([Use(SEARCH, 3, 0), Use(OTHER, 9, 0)], reads) == KeyAccess(READ_ONLY)


def test_writes():
    uses = [Use(SEARCH, 3, 0), Use(CREATE, 1, 1), Use(("res.partner", "unlink"), 0, 0)]
    assert suggest(uses, reads) == KeyAccess(LISTED, operations=frozenset({SEARCH, CREATE}))


def test_what_is_not_known_to_read():
    uses = [Use(SEARCH, 3, 0), Use(("res.partner", "onchange"), 2, 0)]
    operations = frozenset(use.operation for use in uses)
    assert suggest(uses, reads) == KeyAccess(LISTED, operations=operations)
    would_be = rejected(uses, KeyAccess(READ_ONLY), reads, in_star)
    assert would_be == [Use(("res.partner", "onchange"), 2, 0)]
    named = KeyAccess(READ_ONLY, operations=operations)
    assert rejected(uses, named, reads, in_star) == []


def test_nothing_to_go_by():
    assert suggest([], reads) is None
    assert suggest([Use(SEARCH, 0, 0)], reads) is None
    assert suggest([Use(CREATE, 1, 1), Use(OTHER, 1, 0)], reads) is None, "no complete list"


def test_what_another_access_would_have_rejected():
    uses = [Use(SEARCH, 3, 0), Use(CREATE, 10, 4)]
    assert rejected(uses, KeyAccess(), reads, in_star) == []
    assert rejected(uses, KeyAccess(READ_ONLY), reads, in_star) == [Use(CREATE, 10, 4)]
    named = KeyAccess(READ_ONLY, operations=frozenset({CREATE}))
    assert rejected(uses, named, reads, in_star) == [Use(CREATE, 4, 4)]
    listed = KeyAccess(LISTED, operations=frozenset({("sale.order", "*")}))
    assert rejected(uses, listed, reads, in_star) == [Use(SEARCH, 3, 0)]
    assert len(rejected(uses, listed, reads, lambda *_: False)) == 2


operations = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "*"]))
uses = st.lists(st.builds(Use, operations, st.integers(0, 3), st.just(0)), unique_by=lambda u: u[0])


@given(uses, st.booleans())
def test_a_suggestion_rejects_nothing(found, writes):
    if writes:
        found = [use._replace(writes=use.uses) for use in found]
    suggested = suggest(found, reads)
    assert suggested is None or rejected(found, suggested, reads, in_star) == []
