"""Which rejected calls mean that an integration fails, and which successes end that: one place.

The log is read in *lines*: the refusals of one key, or of an integration without a known key, as
far as the same kind of success heals them. Two hosts of one integration, one of them with a bad
key, are two lines: the good one heals nothing of the other.

An incident is about a *source*: a key, or else an integration and an address. Its lines share it.
"""

from __future__ import annotations

from ..attempt.flood_limits import COLLAPSED
from ..health.probe import VERIFY

# Every further call fails too, until somebody acts: one refusal is enough.
MUST_FAIL = (
    "user_archived",
    "key_revoked",
    "key_superseded",
    "key_expired",
    "address_not_allowed",
    "channel_not_allowed",
)
# What decides lies with the host that calls, not with the key: other hosts may well succeed.
BY_HOST = (
    "key_user_mismatch",
    "key_revoked",
    "key_superseded",
    "key_expired",
    "address_not_allowed",
    "channel_not_allowed",
    "session_mismatch",
)
# So far back refusals since the last success are counted.
LOOKBACK = "interval '30 days'"
# A host that has not called for so long no longer keeps an incident open when others succeed.
QUIET = "interval '24 hours'"
# So far the log has been looked through; the finding ``failing_now`` looks at the rest itself.
SEEN_PARAMETER = "auth_integration.incidents_seen_to"
_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"
# NULL before the first run, and when somebody has written something else there.
SEEN_TO = f"""(SELECT p.value::timestamp FROM ir_config_parameter p
    WHERE p.key = '{SEEN_PARAMETER}' AND p.value ~ '^{_TIME}$')"""
# Seconds for which a success may wait in memory before it is in the log (usage_writer).
SUCCESS_LAG = 45


def _in(codes) -> str:
    return "(" + ", ".join(f"'{code}'" for code in codes) + ")"


# While a user is archived, no host of its integration succeeds.
_HOST = f"""(CASE WHEN (a.key_id IS NULL AND a.cause <> 'user_archived'
                       OR a.cause IN {_in(BY_HOST)})
    AND a.remote_addr <> '{COLLAPSED}' THEN a.remote_addr END)"""
_PROTOCOL = "(CASE WHEN a.cause = 'channel_not_allowed' THEN a.channel END)"
# The columns that make a line, of a refused attempt under the alias a.
LINE = f"""
    CASE WHEN a.key_id IS NOT NULL THEN 'key:' || a.key_id
         WHEN a.cause = 'user_archived' THEN 'login:' || a.integration_id
         ELSE 'address:' || a.integration_id || ':' || COALESCE(a.remote_addr, '') END AS source,
    a.integration_id, a.key_id,
    CASE WHEN a.key_id IS NULL AND a.cause <> 'user_archived'
         THEN COALESCE(a.remote_addr, '') END AS address,
    {_HOST} AS host, {_PROTOCOL} AS protocol
"""

# Which refusals may mean that something fails. A personal key counts once a system has used it.
# A key that may not do what it was asked to has authenticated all the same.
# A login or user id is no secret: with it alone, anybody is rejected in its name, from as many
# addresses as he likes. Only that its user is archived is true whoever calls.
COUNTS = f"""
    a.outcome = 'failure' AND a.auth_type IS DISTINCT FROM '{VERIFY}'
    AND a.cause <> 'operation_not_allowed'
    AND (a.integration_id IS NOT NULL OR EXISTS (
        SELECT FROM auth_integration_key personal
        WHERE personal.id = a.key_id AND personal.integration_id IS NULL
          AND personal.scope IS NULL AND personal.use_count >= 10))
    AND NOT (a.cause <> 'user_archived' AND a.key_id IS NULL
             AND COALESCE(a.attribution, '') = 'login'
             AND NOT EXISTS (
                 SELECT FROM auth_integration_key_address known
                 JOIN auth_integration_key known_key ON known_key.id = known.key_id
                 WHERE known_key.integration_id = a.integration_id
                   AND known.address = a.remote_addr))
    AND NOT (a.cause = 'key_superseded' AND a.integration_id IS NOT NULL
             AND a.remote_addr IS NOT NULL AND NOT EXISTS (
                 SELECT FROM auth_integration_key_address known
                 JOIN auth_integration_key known_key ON known_key.id = known.key_id
                 WHERE known_key.integration_id = a.integration_id
                   AND known.address = a.remote_addr))
"""


def last_success(line: str, now: str) -> str:
    """SQL of the last success that heals a line: a scalar subquery, by indexes only.

    :param line: alias of a row with the columns of :data:`LINE`
    """
    of_integration = f"""
        SELECT s.last_seen FROM auth_attempt s
        WHERE s.integration_id = {line}.integration_id AND s.outcome = 'success'
          AND ({line}.protocol IS NULL OR s.channel = {line}.protocol)
          AND s.last_seen > {now} - {LOOKBACK} AND {{which}}
        ORDER BY s.last_seen DESC LIMIT 1
    """
    of_any_host = of_integration.format(
        which=f"{line}.host IS NULL AND {line}.key_id IS NULL"
    )
    # An equality of its own, for the index on it: a host may never have succeeded.
    of_host = of_integration.format(which=f"s.remote_addr = {line}.host")
    by_user = f"""
        SELECT s.last_seen FROM auth_integration_key personal
        JOIN auth_attempt s ON s.user_id = personal.user_id AND s.outcome = 'success'
        WHERE {line}.integration_id IS NULL AND personal.id = {line}.key_id
          AND ({line}.host IS NULL OR s.remote_addr = {line}.host)
          AND s.last_seen > {now} - {LOOKBACK}
        ORDER BY s.last_seen DESC LIMIT 1
    """
    by_key = f"""
        SELECT s.last_seen FROM auth_attempt s
        WHERE s.key_id = {{key}} AND {line}.host IS NULL AND s.outcome = 'success'
          AND s.last_seen > {now} - {LOOKBACK}
        ORDER BY s.last_seen DESC LIMIT 1
    """
    of_key = by_key.format(key=f"{line}.key_id")
    of_replacement = f"""
        SELECT newer.last_used_at FROM auth_integration_key newer
        WHERE newer.replaces_id = {line}.key_id AND {line}.host IS NULL
    """
    return f"""(SELECT max(found.last_seen) FROM (
        ({of_any_host}) UNION ALL ({of_host}) UNION ALL ({by_user}) UNION ALL ({of_key})
        UNION ALL ({of_replacement})
    ) found(last_seen))"""


def refusals(of: str, after: str) -> str:
    """A SELECT of the refusals of a line or an incident that were seen after a moment.

    :param of: alias of a row with ``source``, ``key_id``, ``integration_id`` and ``address``
    :param after: SQL of the moment
    """
    return f"""
        SELECT a.* FROM auth_attempt a
        WHERE a.key_id = {of}.key_id AND a.last_seen > {after} AND {COUNTS}
        UNION ALL
        SELECT a.* FROM auth_attempt a
        WHERE {of}.key_id IS NULL AND a.key_id IS NULL AND a.integration_id = {of}.integration_id
          AND (a.cause = 'user_archived') = starts_with({of}.source, 'login:')
          AND (a.cause = 'user_archived' OR COALESCE(a.remote_addr, '') = {of}.address)
          AND a.last_seen > {after} AND {COUNTS}
    """


def failing_sources(since: str, now: str, threshold: str) -> str:
    """A SELECT of the sources that fail and have no incident yet, among those rejected lately.

    A line fails when every further call must fail too, or from its ``threshold``-th refusal since
    the last success on. Equal refusals of a minute share a row of the log: of a row that a success
    lies within, one refusal is known to be later. What was dismissed stays so until a success.

    Columns: ``source``, ``integration_id``, ``key_id``, ``failure_count``, ``opened_at`` and
    ``reference`` of the first refusal since the last success, ``last_failure_at``,
    ``last_success_at``, and of the latest refusal ``cause``, ``remote_addr``, ``channel`` and
    ``user_id``.

    :param since: SQL of the moment; refusals are found by the minute in which they began
    :param now: SQL of the present
    :param threshold: SQL of a number
    """
    return f"""
        SELECT f.source, f.integration_id, f.key_id, sum(f.failure_count)::bigint AS failure_count,
               min(f.opened_at) AS opened_at, max(f.last_failure_at) AS last_failure_at,
               max(f.last_success_at) AS last_success_at,
               (array_agg(f.reference ORDER BY f.opened_at))[1] AS reference,
               (array_agg(f.cause ORDER BY f.last_failure_at DESC))[1] AS cause,
               (array_agg(f.remote_addr ORDER BY f.last_failure_at DESC))[1] AS remote_addr,
               (array_agg(f.channel ORDER BY f.last_failure_at DESC))[1] AS channel,
               (array_agg(f.user_id ORDER BY f.last_failure_at DESC))[1] AS user_id
        FROM ({_failing_lines(since, now, threshold)}) f
        WHERE NOT EXISTS (
            SELECT FROM auth_integration_incident known
            WHERE known.source = f.source AND known.state = 'dismissed'
              AND known.closed_at > COALESCE(f.last_success_at, '-infinity'))
        GROUP BY f.source, f.integration_id, f.key_id
    """


def _failing_lines(since: str, now: str, threshold: str) -> str:
    """A SELECT of the lines that fail, with what is counted of each."""
    return f"""
        SELECT line.source, line.integration_id, line.key_id, line.last_success_at, counted.*
        FROM (
            SELECT line.*, {last_success("line", now)} AS last_success_at
            FROM (
                SELECT DISTINCT {LINE} FROM auth_attempt a
                WHERE a.last_seen >= {since} AND a.first_seen >= {since} AND {COUNTS}
            ) line
            WHERE NOT EXISTS (
                SELECT FROM auth_integration_incident known
                WHERE known.source = line.source AND known.state = 'open')
        ) line
        CROSS JOIN LATERAL ({_counted_refusals(now)}) counted
        WHERE counted.failure_count >= CASE WHEN counted.cause IN {_in(MUST_FAIL)} THEN 1
                                            ELSE {threshold} END
    """


def _counted_refusals(now: str) -> str:
    """A SELECT of one row: the refusals of a ``line`` since its last success, first and latest."""
    latest = "ORDER BY a.last_seen DESC, a.id DESC"
    since = f"GREATEST({now} - {LOOKBACK}, line.last_success_at)"
    return f"""
        SELECT sum(CASE WHEN line.last_success_at >= a.first_seen THEN 1 ELSE a.count END)
                   AS failure_count,
               min(GREATEST(a.first_seen, line.last_success_at)) AS opened_at,
               max(a.last_seen) AS last_failure_at,
               (array_agg(a.reference ORDER BY a.first_seen, a.id)
                   FILTER (WHERE a.reference IS NOT NULL))[1] AS reference,
               (array_agg(a.cause {latest}))[1] AS cause,
               (array_agg(a.remote_addr {latest}))[1] AS remote_addr,
               (array_agg(a.channel {latest}))[1] AS channel,
               (array_agg(a.user_id {latest}))[1] AS user_id
        FROM ({refusals("line", since)}) a
        WHERE {_HOST} IS NOT DISTINCT FROM line.host
          AND {_PROTOCOL} IS NOT DISTINCT FROM line.protocol
    """


def healed_at(incident: str, now: str) -> str:
    """SQL of the success that ends an incident, NULL while it lasts: a scalar subquery.

    Every line that was refused within :data:`QUIET` has succeeded since; when none was, any success
    of the integration (or the person) since the last refusal will do.

    :param incident: alias of a row of ``auth_integration_incident`` with ``address``
    """
    after = f"GREATEST({incident}.opened_at - interval '1 minute', {now} - {QUIET})"
    return f"""(
        SELECT CASE WHEN count(*) = 0 THEN COALESCE((
                   SELECT s.last_seen FROM auth_attempt s
                   WHERE s.integration_id = {incident}.integration_id AND s.outcome = 'success'
                     AND s.last_seen > {incident}.last_failure_at
                   ORDER BY s.last_seen DESC LIMIT 1
               ), (
                   SELECT s.last_seen FROM auth_attempt s
                   WHERE {incident}.integration_id IS NULL AND s.user_id = {incident}.user_id
                     AND s.outcome = 'success' AND s.last_seen > {incident}.last_failure_at
                   ORDER BY s.last_seen DESC LIMIT 1
               ))
               WHEN bool_and(COALESCE(line.last_success_at >= line.last_seen, FALSE))
                   THEN max(line.last_success_at) END
        FROM (
            SELECT line.*, {last_success("line", now)} AS last_success_at
            FROM (
                SELECT {LINE}, max(a.last_seen) AS last_seen
                FROM ({refusals(incident, after)}) a
                GROUP BY 1, 2, 3, 4, 5, 6
            ) line
        ) line
    )"""
