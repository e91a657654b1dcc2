"""Row locks, and the one order in which all our code takes them.

1. the integration
2. keys and rotations, the newest first: a key, the rotation that created it, the key that it
   replaces; siblings, which were created by the same rotation, in the order of their IDs
3. native keys (``res_users_apikeys``)
4. an address of a key, one bucket of the log, its budgets in the order of their names
5. the old protocols of a user (``auth_integration_rpc_use``)
6. operations of a key, in the order of their names

Each rejection and each batch of uses is a transaction of its own, so workers wait for one another
no longer than one of these takes, and never in a circle.  If a first use finds siblings locked, it
leaves them to the next run of the schedule.
"""

from odoo.tools import SQL


def wait_and_lock(records):
    """Lock records until this transaction ends, waiting for other transactions first.

    ``lock_for_update`` of the ORM does not wait.  Locked records can still be referenced.
    If another transaction has changed a record since this one began, this one has outdated data and
    must begin again, which Odoo does automatically for calls. Core does not log this as an error.

    :raise SerializationFailure: (of psycopg2.errors) a record was changed or deleted meanwhile
    """
    if records:
        _lock(records)
        records.invalidate_recordset()


def lock_free_ones(records):
    """Lock those of some records that no other transaction has locked.

    ``try_lock_for_update`` of the ORM does the same, but core logs an error if a record was changed
    at the same moment, which is usual where two runs work in parallel.

    :return: the locked ones
    :raise SerializationFailure: (of psycopg2.errors) a record was changed or deleted meanwhile
    """
    if not records:
        return records
    return records.browse(_lock(records, SQL("SKIP LOCKED")))


def _lock(records, otherwise=None):
    """Lock rows in the order of their IDs and return the IDs."""
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
