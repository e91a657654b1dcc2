"""Whether a call writes: whether the database would have rejected it in a read-only transaction.

Each statement that core's cursor has run is checked by the tag of PostgreSQL's response and, for a
query, by its text.  This costs no round trip.  Not detected: a function that writes (``setval``,
functions of other modules), ``COPY``, SQL in lower case within a query, and what another thread or
server does.  Statements that a savepoint has undone and changes of no row are detected too: both
would have been rejected.
"""

# The commands that a read-only transaction allows.
_READING = frozenset(
    "FETCH MOVE DECLARE CLOSE SAVEPOINT RELEASE ROLLBACK BEGIN START COMMIT SET RESET SHOW LOCK"
    " EXPLAIN PREPARE DEALLOCATE LISTEN UNLISTEN NOTIFY DISCARD VALUES DO".split()
)
_WRITING_WITHIN_A_QUERY = (
    "FOR UPDATE", "KEY UPDATE", "FOR SHARE", "KEY SHARE", "nextval(",
    "INSERT INTO", "UPDATE ", "DELETE FROM", "SELECT INTO",
)


def is_write(status: str | None, query: object) -> bool:
    """Whether a read-only transaction would reject a statement.

    :param status: psycopg2's ``statusmessage``, such as ``"UPDATE 3"``; the last one if there are
        several statements
    :param query: the text, with placeholders
    """
    tag = (status or "").partition(" ")[0]
    if tag == "SELECT":
        text = query if isinstance(query, str) else str(query)
        return any(words in text for words in _WRITING_WITHIN_A_QUERY)
    return bool(tag) and tag not in _READING
