"""Statements that a connection plans once, not for every call.

Planning one of the short queries that every call makes takes longer than running it.  Behind a
pooler that gives each transaction another connection, what was prepared may be missing, or be there
already: then the statement is planned every time on that connection, as any other is.
"""

import re
import zlib
from functools import lru_cache

from psycopg2.errors import (
    DuplicatePreparedStatement,
    FeatureNotSupported,
    InvalidSqlStatementName,
)

UNUSABLE = (DuplicatePreparedStatement, FeatureNotSupported, InvalidSqlStatementName)
"""What the server may say to :func:`prepared`; the caller rolls back and uses the statement."""


def run(cr, statement: str, params: dict, settings: str = "") -> list[tuple]:
    """Run a statement on a cursor in autocommit mode and return its rows, if it has any.

    :param cr: of Odoo
    :param statement: SQL with ``%(name)s`` for each parameter; a constant
    :param settings: SQL that precedes it in the same transaction, each statement with its ``;``
    """
    try:
        cr.execute(settings + prepared(cr._cnx, statement), params, log_exceptions=False)
    except UNUSABLE:
        give_up(cr._cnx, statement)
        cr.execute(settings + statement, params, log_exceptions=False)
    return cr.fetchall() if cr.description else []


def prepared(connection, statement: str) -> str:
    """Return SQL that runs a statement as one that this connection has prepared.

    :param connection: of psycopg2, and of a class that takes attributes
    :param statement: SQL with ``%(name)s`` for each parameter; a constant
    """
    name, preparation, execution = _forms(statement)
    usable = _usable(connection)
    if name not in usable:
        usable[name] = True
        return f"{preparation}; {execution}"
    return execution if usable[name] else statement


def named(query) -> tuple[str, dict]:
    """Return an ``odoo.tools.SQL`` as a statement with named parameters, and these.

    :param query: whose code is the same every time
    """
    params = {f"p{number}": value for number, value in enumerate(query.params)}
    names = iter(params)
    code = re.sub(
        "%[%s]", lambda found: found[0] if found[0] == "%%" else f"%({next(names)})s", query.code
    )
    return code, params


def give_up(connection, statement: str) -> None:
    """Have this connection plan a statement every time."""
    name, _preparation, _execution = _forms(statement)
    _usable(connection)[name] = False


def _usable(connection):
    return connection.__dict__.setdefault("_auth_integration_prepared", {})


@lru_cache(maxsize=64)
def _forms(statement):
    """Name of the prepared statement, and SQL that prepares and that executes it."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    # Another text is another statement, also on a connection that knows an older one.
    name = f"auth_integration_{zlib.crc32(statement.encode()):08x}"
    numbered = statement % {name: f"${number}" for number, name in enumerate(names, start=1)}
    values = ", ".join(f"%({name})s" for name in names)
    # Parameters are filled in once more, for the execution.
    preparation = f"PREPARE {name} AS {numbered}".replace("%", "%%")
    return name, preparation, f"EXECUTE {name} ({values})"
