"""Prevent the call of a read-only key from making its connection writable again.

The connection begins every transaction read-only.  SQL could begin another one, and Python that
Odoo evaluates could reach the connection itself.  Both can come from the caller: a template that is
only previewed, or a domain that is checked before it is stored, is evaluated before a row changes.
"""

from __future__ import annotations

import functools
import re

from odoo.tools import SQL
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.sql import Composable

from ..attempt import request_state

# Names by which evaluated code reaches a cursor, runs SQL, or gets a context manager's value.
_NAMES = frozenset(
    "cr _cr cursor registry pool transaction connection _cnx _obj gen"
    " execute_query execute_query_dict".split()
)
_START = r"(?:^|;)\s*"
# SET of an ordinary setting, which does not concern the transaction.
_HARMLESS = r"set\s+(?:(?:local|session)\s+)?(?!session\b)(?!\w*transaction)[a-z_.]+\s*(?:=|\bto\b)"
_CONTROL = re.compile(
    rf"{_START}(?:(?:commit|end|abort|begin|start|reset|discard)\b|prepare\s+transaction\b"
    rf"|rollback\b(?!\s+to\b)|(?!{_HARMLESS})set\b)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"/\*|--")
_LEADING_COMMENTS = re.compile(r"(?:\s|--[^\r\n]*(?:[\r\n]|$)|/\*(?:(?!/\*|\*/).)*\*/)*", re.DOTALL)


def check_code(code) -> None:
    """Check code that is about to be evaluated in the call of a read-only key.

    :param code: the compiled code; code nested in it is checked separately
    :raise ReadOnlySqlTransaction: it uses a name that reaches the database past the ORM
    """
    if request_state.current().read_only_database is None:
        return
    if found := _NAMES.intersection(code.co_names):
        raise ReadOnlySqlTransaction(f"evaluated code uses {min(found)}")


def guard(cr) -> None:
    """Make a read-only cursor reject SQL that ends its transaction or changes its mode."""
    if "execute" not in vars(cr):
        cr.execute = functools.partial(_execute, cr, cr.execute)


def _execute(cr, original, query, *args, **kwargs):
    text = query.code if isinstance(query, SQL) else query
    if isinstance(text, Composable):
        text = text.as_string(cr._cnx)
    if is_transaction_control(text.decode(errors="replace") if isinstance(text, bytes) else text):
        raise ReadOnlySqlTransaction("transactions are not controlled by SQL here")
    return original(query, *args, **kwargs)


def is_transaction_control(text: str) -> bool:
    """Whether any of the statements begins or ends a transaction, or sets its mode.

    Text in quotes counts too, and so do several statements with a comment that could hide one.
    """
    text = text[_LEADING_COMMENTS.match(text).end() :].rstrip().rstrip(";")
    if text.startswith("/*") or (";" in text and _COMMENT.search(text)):
        return True
    return bool(_CONTROL.search(text))
