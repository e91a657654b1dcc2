"""Whether a call writes: whether the database would have refused it in a read-only transaction.

Asked of each statement that core's cursor has run, by the tag that PostgreSQL answers with and, of
a query, by its text.  It costs no round trip.  Not seen are: a function that writes (``setval``,
functions of other modules), ``COPY``, SQL in small letters within a query, and what another
thread or server does.  Seen is also what a savepoint has undone, and a change of no row: both
would have been refused.
"""

# What a read-only transaction lets pass. LOCK: in the modes that stand in nobody's way.
_READING = frozenset(
    "FETCH MOVE DECLARE CLOSE SAVEPOINT RELEASE ROLLBACK BEGIN START COMMIT SET RESET SHOW LOCK"
    " EXPLAIN PREPARE DEALLOCATE LISTEN UNLISTEN NOTIFY DISCARD VALUES DO".split()
)
_WRITING_WITHIN_A_QUERY = (
    "FOR UPDATE", "KEY UPDATE", "FOR SHARE", "KEY SHARE", "nextval(",
    "INSERT INTO", "UPDATE ", "DELETE FROM", "SELECT INTO",
)


def is_write(status: str | None, query: object) -> bool:
    """Tell whether a statement was one that a read-only transaction refuses.

    :param status: psycopg2's ``statusmessage``, such as ``"UPDATE 3"``; of several statements, of
        the last
    :param query: the text, with placeholders
    """
    tag = (status or "").partition(" ")[0]
    if tag == "SELECT":
        text = query if isinstance(query, str) else str(query)
        return any(words in text for words in _WRITING_WITHIN_A_QUERY)
    return bool(tag) and tag not in _READING
