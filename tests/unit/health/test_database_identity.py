"""Whether two identities can be those of the same database."""

import pytest

from odoo.addons.auth_integration.tools.health.database_identity import is_same


@pytest.mark.parametrize(
    ("stored", "present", "same"),
    [
        ("77:16390", "77:16390", True),
        ("77:16390", "77:16391", False),  # createdb -T
        ("77:16390", "78:16390", False),  # pg_restore into another server
        (":16390", "78:16390", True),  # what could not be read is not compared
        ("77:16390", ":16390", True),
        ("77:16390", ":16391", False),
        ("neutralized", "77:16390", False),
        ("", "77:16390", False),
        (None, "77:16390", False),
        (None, ":", False),
    ],
)
def test_same_database(stored, present, same):
    assert is_same(stored, present) is same
