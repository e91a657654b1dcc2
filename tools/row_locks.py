"""Locks on rows, and the one order in which whatever is ours takes them.

1. the integration
2. keys and rotations, the newest first: a key, the rotation by which it came, the key that it
   replaces; siblings, which came by the same rotation, in the order of their ids
3. native keys (``res_users_apikeys``)
4. an address of a key, one bucket of the log, its budgets in the order of their names
5. the old protocols of a user (``auth_integration_rpc_use``)
6. operations of a key, in the order of their names

Each refusal and each batch of uses is a transaction of its own: workers wait for one another no
longer than one of these takes, and in no circle.  What a first use finds locked of the siblings it
leaves to the next run of the schedule.
"""

from odoo.tools import SQL


def wait_and_lock(records):
    """Keep others from changing some records until this transaction ends; wait for them first.

    ``lock_for_update`` of the ORM gives up at once.  Records can still be referred to meanwhile.
    Where somebody has changed one since this transaction began, what it has read is no longer so,
    and it has to begin again: Odoo does that by itself for calls. Core is kept from logging it as
    an error.

    :raise SerializationFailure: (of psycopg2.errors) one was changed or deleted meanwhile
    """
    if records:
        _lock(records)
        records.invalidate_recordset()


def lock_free_ones(records):
    """Keep others from changing those of some records that no one is changing now.

    ``try_lock_for_update`` of the ORM does the same, and core logs as an error when somebody has
    changed one in the very moment: where two runs work side by side that is usual.

    :return: the locked ones
    :raise SerializationFailure: (of psycopg2.errors) one was changed or deleted meanwhile
    """
    if not records:
        return records
    return records.browse(_lock(records, SQL("SKIP LOCKED")))


def _lock(records, otherwise=None):
    """Lock rows in the order of their ids and return these."""
    cr = records.env.cr
    cr.execute(
        SQL(
            "SELECT id FROM %s WHERE id IN %s ORDER BY id FOR NO KEY UPDATE %s",
            SQL.identifier(records._table),
            tuple(records.ids),
            otherwise or SQL(),
        ),
        log_exceptions=False,
    )
    return [id_ for (id_,) in cr.fetchall()]
