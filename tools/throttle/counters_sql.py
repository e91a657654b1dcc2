"""SQL of the counters of guesses. All times are the database's, so workers share one clock.

A row of ``auth_throttle`` is one counter: the ``failed`` tries of the window that began at
``begins``, and the ``pending`` tries, whose outcome is not known yet. The number of a pending try
contains the time until which it is valid (microseconds times 1,024, plus a random part), so tries
left by a dead process expire by themselves. ``maximum`` is the limit of the last try.

Rows are always locked in the order of their keys, so that tries cannot deadlock.
"""

# Seconds after which the process of a pending try is considered dead: as long as Odoo lets a
# request run by default.
PENDING_SECONDS = 120
# Days for which a success makes a pair of login and address known.
KNOWN_DAYS = 30

TABLE = """
    CREATE TABLE IF NOT EXISTS auth_throttle (
        key bytea PRIMARY KEY,
        login_key bytea,  -- of a pair: the counter of its login
        maximum integer NOT NULL,
        failed integer NOT NULL DEFAULT 0,
        pending bigint[] NOT NULL DEFAULT '{}',
        begins timestamp,
        known_until timestamp,
        notified_at timestamp,
        expires timestamp NOT NULL
    ) WITH (fillfactor = 60);
    CREATE INDEX IF NOT EXISTS auth_throttle_expires_idx ON auth_throttle (expires);
    CREATE INDEX IF NOT EXISTS auth_throttle_login_idx ON auth_throttle (login_key)
        WHERE login_key IS NOT NULL;
"""
COLUMNS = frozenset(
    "key login_key maximum failed pending begins known_until notified_at expires".split()
)

# If the clock was set back, nobody must be limited for longer than a window: a window that begins
# in the future is over. Up to a minute is tolerated, as a transaction may have waited.
_IS_RUNNING = (
    "(t.begins > moment.now - %(window)s AND t.begins < moment.now + interval '1 minute')"
)
_FAILED = f"(CASE WHEN {_IS_RUNNING} THEN t.failed ELSE 0 END)"
_PENDING = """
    ARRAY(
        SELECT p FROM unnest(t.pending) p
        WHERE p > moment.number AND p < moment.number + %(longest)s
    )
"""
_MOMENT = """
    moment AS MATERIALIZED (
        SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now,
               (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 AS number
    )
"""


def _in_conflict(text: str) -> str:
    """Return SQL for ``ON CONFLICT``, where no other relation can be joined."""
    return text.replace("moment.now", "(SELECT now FROM moment)").replace(
        "moment.number", "(SELECT number FROM moment)"
    )


# Returns one row: the number of the try, the counters that are full of failures, whether every
# counter has taken the try, and the counters that have. If not all have, the transaction is rolled
# back.
RESERVE = f"""
    WITH {_MOMENT},
    try AS MATERIALIZED (
        SELECT number + %(longest)s / 2 + floor(random() * 1024)::bigint AS number FROM moment
    ),
    wanted AS (
        SELECT * FROM unnest(%(keys)s::bytea[], %(maxima)s::integer[]) w(key, maximum)
    ),
    known AS MATERIALIZED (
        SELECT FROM auth_throttle t, moment
        WHERE t.key = %(pair)s AND t.known_until > moment.now
    ),
    applied AS MATERIALIZED (
        SELECT * FROM wanted WHERE key = %(pair)s OR NOT EXISTS (SELECT FROM known)
    ),
    full_one AS MATERIALIZED (
        SELECT t.key FROM applied JOIN auth_throttle t USING (key), moment
        WHERE {_FAILED} >= applied.maximum
    ),
    reserved AS (
        INSERT INTO auth_throttle AS t (key, login_key, maximum, pending, expires)
        SELECT key, CASE WHEN key = %(pair)s THEN %(login)s::bytea END, maximum,
               ARRAY[try.number], moment.now + 2 * %(window)s
        FROM applied, try, moment
        WHERE NOT EXISTS (SELECT FROM full_one)
        ORDER BY key
        ON CONFLICT (key) DO UPDATE
        SET maximum = EXCLUDED.maximum,
            failed = {_in_conflict(_FAILED)},
            begins = CASE WHEN {_in_conflict(_IS_RUNNING)} THEN t.begins END,
            pending = {_in_conflict(_PENDING)} || EXCLUDED.pending,
            -- Seldom: it is in an index.
            expires = CASE WHEN t.expires < EXCLUDED.expires - %(window)s / 2
                           THEN EXCLUDED.expires ELSE t.expires END
        WHERE {_in_conflict(_FAILED)} + cardinality({_in_conflict(_PENDING)}) < EXCLUDED.maximum
        RETURNING t.key
    )
    SELECT (SELECT number FROM try),
           (SELECT array_agg(key) FROM full_one),
           (SELECT count(*) FROM reserved) = (SELECT count(*) FROM applied),
           ARRAY(SELECT key FROM reserved)
"""
# Whether the counter of a login and address takes no further try at the moment. It is read in a
# call's own transaction, which must not wait while the table is locked.
DO_NOT_WAIT = "LOCK TABLE auth_throttle IN ACCESS SHARE MODE NOWAIT;"
IS_FULL = f"""
    EXISTS (
        WITH {_MOMENT}
        SELECT FROM auth_throttle t, moment
        WHERE t.key = %(pair)s AND {_FAILED} + cardinality({_PENDING}) >= t.maximum
    )
"""
# An INSERT, because the row may have been deleted in the meantime.
FAIL = f"""
    WITH {_MOMENT}
    INSERT INTO auth_throttle AS t (key, login_key, maximum, failed, begins, expires)
    SELECT key, CASE WHEN key = %(pair)s THEN %(login)s::bytea END, maximum, 1, moment.now,
           moment.now + 2 * %(window)s
    FROM unnest(%(keys)s::bytea[], %(maxima)s::integer[]) w(key, maximum), moment
    ORDER BY key
    ON CONFLICT (key) DO UPDATE
    SET failed = {_in_conflict(_FAILED)} + 1,
        begins = CASE WHEN {_in_conflict(_IS_RUNNING)} THEN t.begins ELSE EXCLUDED.begins END,
        pending = array_remove(t.pending, %(number)s),
        expires = CASE WHEN t.expires < EXCLUDED.expires - %(window)s / 2
                       THEN EXCLUDED.expires ELSE t.expires END
"""
# A complete success makes a pair known; any success of a known pair keeps it known.
RELEASE = """
    WITH locked AS MATERIALIZED (
        SELECT key FROM auth_throttle WHERE key = ANY(%(keys)s::bytea[]) ORDER BY key FOR UPDATE
    ),
    moment AS MATERIALIZED (
        SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now,
               clock_timestamp() AT TIME ZONE 'UTC' + %(known)s AS known_until
    )
    UPDATE auth_throttle t
    SET pending = array_remove(t.pending, %(number)s),
        known_until = CASE
            WHEN t.key <> %(pair)s OR NOT %(succeeded)s THEN t.known_until
            WHEN t.known_until > moment.now + %(known)s - interval '1 day'
                 AND t.known_until <= moment.known_until THEN t.known_until
            WHEN %(complete)s OR t.known_until > moment.now THEN moment.known_until
            ELSE t.known_until END,
        expires = CASE
            WHEN t.key <> %(pair)s OR NOT %(succeeded)s
                 OR NOT (%(complete)s OR COALESCE(t.known_until > moment.now, FALSE))
                 OR t.expires > moment.known_until - interval '1 day' THEN t.expires
            ELSE moment.known_until + interval '1 hour' END
    FROM locked, moment
    WHERE t.key = locked.key
"""
# Removes empty counters after a try was released. Otherwise guesses that core itself rejects could
# fill the table with logins.
CLEAR = """
    DELETE FROM auth_throttle
    WHERE key = ANY(%(keys)s::bytea[]) AND pending = '{}' AND failed = 0 AND known_until IS NULL
"""
# Removes expired counters, a few at a time. A locked row is in use.
EXPIRE = """
    DELETE FROM auth_throttle WHERE key IN (
        SELECT key FROM auth_throttle WHERE expires < clock_timestamp() AT TIME ZONE 'UTC'
        ORDER BY expires LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )
"""
# Known pairs stay known.
UNLOCK = """
    WITH locked AS MATERIALIZED (
        SELECT key FROM auth_throttle
        WHERE key = ANY(%(keys)s::bytea[]) OR login_key = %(login)s
        ORDER BY key FOR UPDATE
    )
    UPDATE auth_throttle t
    SET failed = 0, begins = NULL, notified_at = NULL FROM locked WHERE t.key = locked.key
"""
# Which of these logins have a full counter, over all addresses or from one of them.
FULL_LOGINS = f"""
    WITH {_MOMENT}
    SELECT DISTINCT COALESCE(t.login_key, t.key) FROM auth_throttle t, moment
    WHERE (t.key = ANY(%(logins)s::bytea[]) OR t.login_key = ANY(%(logins)s::bytea[]))
      AND {_FAILED} >= t.maximum
"""
# Logins whose counter over all addresses has become full, each reported once per window.
NOTIFY = f"""
    WITH {_MOMENT},
    locked AS MATERIALIZED (
        SELECT t.key FROM auth_throttle t, moment
        WHERE t.key = ANY(%(logins)s::bytea[]) AND {_FAILED} >= t.maximum
          AND (t.notified_at IS NULL OR t.notified_at < t.begins)
        ORDER BY t.key FOR UPDATE OF t
    )
    UPDATE auth_throttle t SET notified_at = moment.now FROM locked, moment
    WHERE t.key = locked.key RETURNING t.key
"""
