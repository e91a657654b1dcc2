"""Row locks that wait for whoever has them; ``lock_for_update`` of the ORM gives up at once."""

from odoo.tools import SQL


def wait_and_lock(records):
    """Keep others from changing some records until this transaction ends; wait for them first.

    Records can still be referred to meanwhile. Where somebody has changed one since this
    transaction began, what it has read is no longer so, and it has to begin again: Odoo does that
    by itself for calls. Core is kept from logging it as an error.

    :raise SerializationFailure: (of psycopg2.errors) one was changed or deleted meanwhile
    """
    if not records:
        return
    records.env.cr.execute(
        SQL(
            "SELECT id FROM %s WHERE id IN %s ORDER BY id FOR NO KEY UPDATE",
            SQL.identifier(records._table),
            tuple(records.ids),
        ),
        log_exceptions=False,
    )
    records.invalidate_recordset()
