"""The conditions in SQL under which an integration fails, and which successes end that.

The log is read in *series*: the rejections of one key, or of an integration without a known key,
that the same kind of success ends. If one of two hosts of an integration has a bad key, they are
two series: a success of the good host does not end the series of the other.

An incident is about a *source*, which its series share: a key, or else an integration and an
address.
"""

from __future__ import annotations

from ..attempt.flood_limits import ONE_ADDRESS
from ..health.probe import VERIFY
from ..key.key_state import OWN_END_SQL

# Every further call fails too, until somebody acts, so one rejection is enough.
MUST_FAIL = (
    "user_archived",
    "key_revoked",
    "key_superseded",
    "key_expired",
    "key_copied",
    "address_not_allowed",
    "channel_not_allowed",
)
# These depend on the calling host, not on the key alone: other hosts may succeed.
BY_HOST = (
    "key_user_mismatch",
    "key_revoked",
    "key_superseded",
    "key_expired",
    "key_copied",
    "address_not_allowed",
    "channel_not_allowed",
    "session_mismatch",
)
# How far back rejections since the last success are counted.
LOOKBACK = "interval '30 days'"
# A host that has not called for this long no longer keeps an incident open if others succeed.
QUIET = "interval '24 hours'"
# The time up to which the log has been evaluated; the finding ``failing_now`` evaluates the rest.
SEEN_PARAMETER = "auth_integration.incidents_seen_to"
_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"
# NULL before the first run, and if the parameter has another format.
SEEN_TO = f"""(SELECT p.value::timestamp FROM ir_config_parameter p
    WHERE p.key = '{SEEN_PARAMETER}' AND p.value ~ '^{_TIME}$')"""
# The open incidents about failing calls, with the columns that the functions below need.
OPEN_FAILING = """
    SELECT o.*, COALESCE(o.remote_addr, '') AS address FROM auth_integration_incident o
    WHERE o.state = 'open' AND o.kind = 'failing'
"""
# Seconds that a success may wait in memory before it is in the log (usage_writer).
SUCCESS_LAG = 45


def sql_list(codes) -> str:
    return "(" + ", ".join(f"'{code}'" for code in codes) + ")"


# Archived users are not split by host: while a user is archived, no host can succeed.
_HOST = f"""(CASE WHEN (a.key_id IS NULL AND a.cause <> 'user_archived'
                       OR a.cause IN {sql_list(BY_HOST)})
    AND {ONE_ADDRESS.format(row="a")} THEN a.remote_addr END)"""
_PROTOCOL = "(CASE WHEN a.cause = 'channel_not_allowed' THEN a.channel END)"
# The columns that identify a series, of a rejected attempt with the alias a.
SERIES = f"""
    CASE WHEN a.key_id IS NOT NULL THEN 'key:' || a.key_id
         WHEN a.cause = 'user_archived' THEN 'login:' || a.integration_id
         ELSE 'address:' || a.integration_id || ':' || COALESCE(a.remote_addr, '') END AS source,
    a.integration_id, a.key_id,
    CASE WHEN a.key_id IS NULL AND a.cause <> 'user_archived'
         THEN COALESCE(a.remote_addr, '') END AS address,
    {_HOST} AS host, {_PROTOCOL} AS protocol
"""

# Which rejections may mean that an integration fails. A personal key counts from its tenth use on.
# A key that called an operation outside its access was authenticated nevertheless.
# A login or user ID is not secret: anybody can cause rejections for it, from any number of
# addresses. The start of a key is not secret either. So attempts attributed by one of these alone
# count only from known addresses, unless the user is archived, which is true for every caller.
COUNTS = f"""
    a.outcome = 'failure' AND a.auth_type IS DISTINCT FROM '{VERIFY}'
    AND a.cause <> 'operation_not_allowed'
    AND (a.integration_id IS NOT NULL OR EXISTS (
        SELECT FROM auth_integration_key personal
        WHERE personal.id = a.key_id AND personal.integration_id IS NULL
          AND personal.scope IS NULL AND personal.use_count >= 10))
    AND NOT (a.cause <> 'user_archived' AND a.key_id IS NULL
             AND COALESCE(a.attribution, '') IN ('login', 'key')
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


def last_success(series: str, now: str) -> str:
    """Return SQL of the last success that ends a series: a scalar subquery that only uses indexes.

    :param series: alias of a row with the columns of :data:`SERIES`
    """
    of_integration = f"""
        SELECT s.last_seen FROM auth_attempt s
        WHERE s.integration_id = {series}.integration_id AND s.outcome = 'success'
          AND ({series}.protocol IS NULL OR s.channel = {series}.protocol)
          AND s.last_seen > {now} - {LOOKBACK} AND {{which}}
        ORDER BY s.last_seen DESC LIMIT 1
    """
    of_any_host = of_integration.format(
        which=f"{series}.host IS NULL AND {series}.key_id IS NULL"
    )
    # A separate equality, so that its index is used: a host may never have succeeded.
    of_host = of_integration.format(which=f"s.remote_addr = {series}.host")
    by_user = f"""
        SELECT s.last_seen FROM auth_integration_key personal
        JOIN auth_attempt s ON s.user_id = personal.user_id AND s.outcome = 'success'
        WHERE {series}.integration_id IS NULL AND personal.id = {series}.key_id
          AND ({series}.host IS NULL OR s.remote_addr = {series}.host)
          AND s.last_seen > {now} - {LOOKBACK}
        ORDER BY s.last_seen DESC LIMIT 1
    """
    by_key = f"""
        SELECT s.last_seen FROM auth_attempt s
        WHERE s.key_id = {{key}} AND {series}.host IS NULL AND s.outcome = 'success'
          AND s.last_seen > {now} - {LOOKBACK}
        ORDER BY s.last_seen DESC LIMIT 1
    """
    of_key = by_key.format(key=f"{series}.key_id")
    # A key that has ended cannot succeed again, so any success of its integration counts.
    after_key = of_integration.format(
        which=f"""{series}.host IS NULL AND EXISTS (
            SELECT FROM auth_integration_key ended
            WHERE ended.id = {series}.key_id
              AND (ended.ended_at IS NOT NULL OR {OWN_END_SQL.format(k="ended")} <= {now}))"""
    )
    of_replacement = f"""
        SELECT newer.last_used_at FROM auth_integration_key newer
        WHERE newer.replaces_id = {series}.key_id AND {series}.host IS NULL
    """
    return f"""(SELECT max(found.last_seen) FROM (
        ({of_any_host}) UNION ALL ({of_host}) UNION ALL ({by_user}) UNION ALL ({of_key})
        UNION ALL ({after_key}) UNION ALL ({of_replacement})
    ) found(last_seen))"""


def refusals(of: str, after: str) -> str:
    """Return a SELECT of the rejections of a series or an incident after a moment.

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
    """Return a SELECT of recently rejected sources that fail and have no open incident.

    A series fails if every further call must fail too, or from its ``threshold``-th rejection since
    the last success on. Equal rejections of one minute share a row of the log: if a success lies
    within a row, only one of its rejections is known to be later. A dismissed source is not
    reported until a success.

    Columns: ``source``, ``integration_id``, ``key_id``, ``failure_count``, ``opened_at`` and
    ``reference`` of the first rejection since the last success, ``last_failure_at``,
    ``last_success_at``, and of the latest rejection ``cause``, ``remote_addr``, ``channel`` and
    ``user_id``.

    :param since: SQL of the moment; rejections are found by the minute in which they began
    :param now: SQL of the current time
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
        FROM ({_failing_series(since, now, threshold)}) f
        WHERE NOT EXISTS (
            SELECT FROM auth_integration_incident known
            WHERE known.source = f.source AND known.state = 'dismissed'
              AND known.closed_at > COALESCE(f.last_success_at, '-infinity'))
          AND NOT EXISTS (
            SELECT FROM auth_integration_key dismissed
            WHERE dismissed.id = f.key_id AND dismissed.calls_dismissed_at >= f.last_failure_at)
        GROUP BY f.source, f.integration_id, f.key_id
    """


def _failing_series(since: str, now: str, threshold: str) -> str:
    """Return a SELECT of the failing series, each with its counted rejections."""
    return f"""
        SELECT series.source, series.integration_id, series.key_id, series.last_success_at,
               counted.*
        FROM (
            SELECT series.*, {last_success("series", now)} AS last_success_at
            FROM (
                SELECT DISTINCT {SERIES} FROM auth_attempt a
                WHERE a.last_seen >= {since} AND a.first_seen >= {since} AND {COUNTS}
            ) series
            WHERE NOT EXISTS (
                SELECT FROM auth_integration_incident known
                WHERE known.source = series.source AND known.state = 'open')
        ) series
        CROSS JOIN LATERAL ({_counted_refusals(now)}) counted
        WHERE counted.failure_count >= CASE WHEN counted.cause IN {sql_list(MUST_FAIL)} THEN 1
                                            ELSE {threshold} END
    """


def _counted_refusals(now: str) -> str:
    """Return a SELECT of one row that sums up the rejections of a series since its last success."""
    latest = "ORDER BY a.last_seen DESC, a.id DESC"
    since = f"GREATEST({now} - {LOOKBACK}, series.last_success_at)"
    return f"""
        SELECT sum(CASE WHEN series.last_success_at >= a.first_seen THEN 1 ELSE a.count END)
                   AS failure_count,
               min(GREATEST(a.first_seen, series.last_success_at)) AS opened_at,
               max(a.last_seen) AS last_failure_at,
               (array_agg(a.reference ORDER BY a.first_seen, a.id)
                   FILTER (WHERE a.reference IS NOT NULL))[1] AS reference,
               (array_agg(a.cause {latest}))[1] AS cause,
               (array_agg(a.remote_addr {latest}))[1] AS remote_addr,
               (array_agg(a.channel {latest}))[1] AS channel,
               (array_agg(a.user_id {latest}))[1] AS user_id
        FROM ({refusals("series", since)}) a
        WHERE {_HOST} IS NOT DISTINCT FROM series.host
          AND {_PROTOCOL} IS NOT DISTINCT FROM series.protocol
    """


def recovered_at(incident: str, now: str) -> str:
    """Return SQL of the success that ends an incident, NULL while it lasts: a scalar subquery.

    Every series that was rejected within :data:`QUIET` must have succeeded since. If there is none,
    any success of the integration (or the person) after the last rejection ends the incident.

    :param incident: alias of a row of ``auth_integration_incident`` with ``address``
    """
    # OFFSET 0: the last success is looked up once per series, not for each reference to it.
    return f"""(
        SELECT CASE WHEN count(*) = 0 THEN {_any_success(incident)}
               WHEN bool_and(COALESCE(series.last_success_at >= series.last_seen, FALSE))
                   THEN max(series.last_success_at) END
        FROM (
            SELECT series.*, {last_success("series", now)} AS last_success_at
            FROM ({_refused_series(incident, now)}) series OFFSET 0
        ) series
    )"""


def is_lasting(incident: str, now: str) -> str:
    """Return SQL of whether :func:`recovered_at` is NULL; it stops at the first failing series."""
    return f"""(
        CASE WHEN EXISTS ({refusals(incident, _refused_after(incident, now))}) THEN EXISTS (
            SELECT FROM ({_refused_series(incident, now)}) series
            WHERE COALESCE({last_success("series", now)} < series.last_seen, TRUE)
        ) ELSE {_any_success(incident)} IS NULL END
    )"""


def ended_incidents(now: str) -> str:
    """Return a SELECT of the ``id`` of each open incident that a success has ended."""
    return f"""
        SELECT o.id FROM ({OPEN_FAILING}) o WHERE NOT {is_lasting("o", now)}
        UNION ALL
        SELECT o.id FROM auth_integration_incident o
        WHERE o.state = 'open' AND o.kind = 'silent' AND {_success_after_silence("o")} IS NOT NULL
    """


def ended_at(incident: str, now: str) -> str:
    """Return SQL of the success that ended an incident of :func:`ended_incidents`."""
    return f"""(
        CASE {incident}.kind WHEN 'silent' THEN {_success_after_silence(incident)}
             ELSE {recovered_at(incident, now)} END
    )"""


def _success_after_silence(incident: str) -> str:
    return f"""(
        SELECT s.last_seen FROM auth_attempt s
        WHERE s.integration_id = {incident}.integration_id AND s.outcome = 'success'
          AND s.last_seen > {incident}.opened_at
        ORDER BY s.last_seen DESC LIMIT 1
    )"""


def _refused_after(incident: str, now: str) -> str:
    return f"GREATEST({incident}.opened_at - interval '1 minute', {now} - {QUIET})"


def _refused_series(incident: str, now: str) -> str:
    """Return a SELECT of an incident's recently rejected series, with their last rejection."""
    return f"""
        SELECT {SERIES}, max(a.last_seen) AS last_seen
        FROM ({refusals(incident, _refused_after(incident, now))}) a
        GROUP BY 1, 2, 3, 4, 5, 6
    """


def _any_success(incident: str) -> str:
    """Return SQL of the last success, of any host, after the last rejection of an incident."""
    return f"""COALESCE((
        SELECT s.last_seen FROM auth_attempt s
        WHERE s.integration_id = {incident}.integration_id AND s.outcome = 'success'
          AND s.last_seen > {incident}.last_failure_at
        ORDER BY s.last_seen DESC LIMIT 1
    ), (
        SELECT s.last_seen FROM auth_attempt s
        WHERE {incident}.integration_id IS NULL AND s.user_id = {incident}.user_id
          AND s.outcome = 'success' AND s.last_seen > {incident}.last_failure_at
        ORDER BY s.last_seen DESC LIMIT 1
    ))"""
