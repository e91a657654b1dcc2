"""The groups proposed for an integration user, based on the calls of a key."""

from odoo.addons.auth_integration.tools.access.needed_groups import least_groups, used_rights
from odoo.addons.auth_integration.tools.access.suggestion import Use

READ, WRITE, CREATE = ("sale.order", "read"), ("sale.order", "write"), ("sale.order", "create")
PARTNER = ("res.partner", "read")
SALESMAN = {READ, WRITE, CREATE}
MANAGER = SALESMAN | {("sale.order", "unlink"), ("crm.team", "write")}


def test_rights_by_the_names_of_methods():
    uses = [Use(("sale.order", "search_read"), 3, 0), Use(("res.partner", "web_save"), 1, 1)]
    assert used_rights(uses) == {
        READ, PARTNER, ("res.partner", "create"), ("res.partner", "write"),
    }


def test_a_method_of_another_name_that_wrote_takes_write():
    assert used_rights([Use(("sale.order", "action_confirm"), 3, 1)]) == {READ, WRITE}
    assert used_rights([Use(("sale.order", "action_preview"), 3, 0)]) == {READ}


def test_routes_take_no_group():
    assert used_rights([Use(("http", "/shop"), 3, 1)]) == set()


def test_the_lesser_of_two_groups():
    offered = {1: MANAGER, 2: SALESMAN}
    assert least_groups({READ, CREATE}, set(), offered) == [2]
    assert least_groups({("crm.team", "write")}, set(), offered) == [1]


def test_no_group_that_another_one_makes_superfluous():
    offered = {1: {READ}, 2: SALESMAN, 3: {PARTNER}}
    assert least_groups({READ, CREATE}, set(), offered) == [2]
    assert least_groups({READ, CREATE, PARTNER}, {READ}, offered) == [2, 3]


def test_what_is_given_takes_no_group():
    assert least_groups({READ}, {READ}, {2: SALESMAN}) == []


def test_two_groups_where_none_is_enough():
    assert least_groups({READ, PARTNER}, set(), {5: {PARTNER}, 2: SALESMAN}) == [2, 5]


def test_what_no_group_gives_is_left_out():
    assert least_groups({READ, PARTNER}, set(), {2: SALESMAN}) == [2]
    assert least_groups({PARTNER}, set(), {}) == []
