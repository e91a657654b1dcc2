"""What is sent to the server for a statement that its connection is to plan once."""

import pytest
from odoo.tools import SQL

from odoo.addons.auth_integration.tools.prepared import give_up, named, prepared

STATEMENT = "SELECT * FROM key WHERE id = %(id)s AND (hash = %(hash)s OR id < %(id)s)"


class Connection:
    """As much of a connection as is used: it takes attributes."""


@pytest.fixture
def connection():
    return Connection()


def test_prepared_once_then_executed(connection):
    first, again = (prepared(connection, STATEMENT) for _time in range(2))
    assert first.endswith(f"; {again}")
    assert "AS SELECT * FROM key WHERE id = $1 AND (hash = $2 OR id < $1);" in first
    assert again.endswith("(%(id)s, %(hash)s)")


def test_another_connection_prepares_it_again(connection):
    first = prepared(connection, STATEMENT)
    assert prepared(Connection(), STATEMENT) == first


def test_given_up_for_this_connection_only(connection):
    give_up(connection, STATEMENT)
    assert prepared(connection, STATEMENT) == STATEMENT
    assert prepared(Connection(), STATEMENT) != STATEMENT


def test_each_statement_has_a_name_of_its_own(connection):
    one, two = (prepared(connection, f"SELECT {number}") for number in range(2))
    assert one.split()[1] != two.split()[1]


def test_percent_signs_survive_the_parameters(connection):
    sent = prepared(connection, "SELECT id FROM key WHERE name LIKE 'a%%' AND id = %(id)s")
    assert sent % {"id": 7} == (
        sent.partition(" AS ")[0] + " AS SELECT id FROM key WHERE name LIKE 'a%' AND id = $1; "
        + sent.rpartition("; ")[2] % {"id": 7}
    )


def test_parameters_get_names():
    query = SQL("SELECT id FROM key WHERE id = %s AND name LIKE 'a%%s' AND uid = %s", 3, 4)
    code, params = named(query)
    assert code == "SELECT id FROM key WHERE id = %(p0)s AND name LIKE 'a%%s' AND uid = %(p1)s"
    assert params == {"p0": 3, "p1": 4}
