"""A log of a year: 10,000,000 rows (or ``LOG_ROWS``) of 20 integrations and of unknown callers."""

import os

from dev.common import say
from dev.servers import postgres

ROWS = 10_000_000
INTEGRATIONS = 20
ZONE = "Asia/Kathmandu"

# A year of calls by few integrations, each with one protocol, and by many unknown callers. Four of
# five calls of an integration succeed; all other calls fail.
GENERATE = """
    INSERT INTO auth_attempt (bucket, outcome, cause, channel, login, user_id, integration_id,
        attribution, key_id, remote_addr, user_agent, database, reference, count, first_seen,
        last_seen)
    SELECT decode(md5(n::text), 'hex'),
        CASE WHEN known AND n %% 5 > 0 THEN 'success' ELSE 'failure' END,
        CASE WHEN known AND n %% 5 > 0 THEN NULL
             WHEN known
             THEN (ARRAY['key_expired', 'key_revoked', 'address_not_allowed'])[1 + h %% 3]
             ELSE (ARRAY['user_unknown', 'key_unknown', 'password_wrong'])[1 + h %% 3] END,
        (ARRAY['xmlrpc', 'jsonrpc', 'json2', 'web'])
            [1 + CASE WHEN known THEN i.place ELSE h END %% 4],
        CASE WHEN known THEN i.code WHEN h %% 3 = 0
             THEN 'unknown login of ' || h %% 30 || ' characters #' || to_hex(h %% 65536) END,
        CASE WHEN known THEN i.user_id END, CASE WHEN known THEN i.id END,
        CASE WHEN known THEN 'key' END, CASE WHEN known THEN i.key_id END,
        format('10.%%s.%%s.%%s', h %% 4, h / 7 %% 250, h / 1999 %% 250),
        'agent/' || h %% 50, current_database(),
        CASE WHEN known AND n %% 5 > 0 THEN NULL ELSE substr(md5(h::text), 1, 10) END,
        1 + h %% 9, seen, seen
    FROM (
        SELECT n, n %% 2 = 0 AS known, abs(hashint8(n)::bigint) AS h,
            localtimestamp - interval '365 days' * (n / %(rows)s.0) AS seen
        FROM generate_series(1, %(rows)s) n
    ) numbered
    JOIN (
        SELECT a.*, k.id AS key_id, row_number() OVER (ORDER BY a.id) - 1 AS place
        FROM auth_integration a
        LEFT JOIN LATERAL (
            SELECT id FROM auth_integration_key WHERE integration_id = a.id LIMIT 1
        ) k ON TRUE
    ) i ON i.place = h %% (SELECT count(*) FROM auth_integration)
"""
PEOPLE = """
    owner = env.ref("base.user_admin")
    for number in range(integrations):
        made = env["auth.integration"].create({
            "name": f"System {number}", "code": f"system_{number}", "owner_ids": [(4, owner.id)]})
        import datetime
        end = datetime.datetime.now() + datetime.timedelta(days=30)
        env["res.users.apikeys"].with_user(made.user_id).sudo()._generate(None, "log", end)
"""
# Runs the hourly job twice, the second time with nothing left to do, and returns the times.
ROLLUP = """
    import time

    env.ref("base.user_admin").tz = zone
    env.cr.commit()
    result = []
    for _run in range(2):
        started = time.perf_counter()
        env["auth.attempt.report"]._cron_rollup()
        env.cr.commit()
        result.append(time.perf_counter() - started)
"""


def rows(usual=ROWS):
    """Return the number of rows to create."""
    return int(os.environ.get("LOG_ROWS") or usual)


def fill_and_roll_up(server):
    """Create the rows and their report, as the hourly job does; return the seconds of two runs."""
    postgres.durable(False)  # nothing is measured yet
    fill(server, rows())
    say("rolling them up")
    seconds = server.shell(ROLLUP, zone=ZONE)
    server.sql("VACUUM (ANALYZE) auth_attempt_report")
    postgres.durable(True)
    return seconds


def fill(server, number):
    """Create the rows without their indexes, then the indexes, which takes half the time."""
    server.shell(PEOPLE, integrations=INTEGRATIONS)
    say(f"making {number:,} rows")
    indexes = server.sql(
        "SELECT indexname AS name, indexdef AS definition FROM pg_indexes"
        " WHERE tablename = 'auth_attempt' AND indexname <> 'auth_attempt_pkey'"
    )
    for index in indexes:
        server.sql(f'DROP INDEX "{index["name"]}"')
    server.sql(GENERATE, {"rows": number})
    server.sql("SET maintenance_work_mem = '512MB'")
    for index in indexes:
        server.sql(index["definition"])
    server.sql("VACUUM (ANALYZE) auth_attempt")
