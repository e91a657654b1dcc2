"""What was written is known by its database and bucket, and no more of it than fits."""

from odoo.addons.auth_integration.tools.durable_rows import MOST, DurableRows


def test_rows_are_known_by_database_and_bucket():
    rows = DurableRows()
    assert ("db", b"bucket") not in rows
    rows.add(("db", b"bucket"))
    assert ("db", b"bucket") in rows
    assert ("other", b"bucket") not in rows
    assert ("db", b"another") not in rows


def test_memory_is_bounded():
    rows = DurableRows()
    for number in range(5 * MOST):
        rows.add(("db", number))
    assert sum(("db", number) in rows for number in range(5 * MOST)) <= MOST
    assert ("db", 5 * MOST - 1) in rows
