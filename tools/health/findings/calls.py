"""Findings about calls: failing calls, missing calls, and guesses."""

from ...incident import conditions
from ...key.key_policy import END_CODES
from .kind import (
    CALLED,
    HAS_NO_KEY,
    IS_NEVER_CALLED,
    LOST_ITS_KEY,
    MAX_GUESSED_LOGINS,
    NOW,
    UNSEEN,
    USER_ARCHIVED,
    Kind,
    _lt,
)

# Incidents of failing calls, without those that the job has yet to close.
FAILING_INCIDENTS = f"""
    SELECT n.id, n.integration_id, n.key_id, n.opened_at AS since, n.cause
    FROM ({conditions.OPEN_FAILING}) n
    WHERE {conditions.is_lasting("n", NOW)}
"""
ENDED = conditions.sql_list(sorted(END_CODES))
# For a row ``found``: the finding about its key says more.
OF_ENDED_KEY = f"(found.cause IN {ENDED} AND found.key_id IS NOT NULL)"
# Integrations that fail, by incidents and by attempts that their job has not evaluated yet.
FAILING = f"""
    SELECT n.integration_id, n.key_id, n.since, n.cause FROM ({FAILING_INCIDENTS}) n
    UNION ALL
    SELECT f.integration_id, f.key_id, f.opened_at, f.cause
    FROM ({conditions.failing_sources(UNSEEN, NOW, "3")}) f
"""
# The last rejection of an integration with the alias ``i``, if it has not succeeded since. Before
# its first call, no address is known, so whatever names the integration is meant for it.
LAST_REJECTED = f"""
    SELECT a.id AS attempt_id, a.integration_id, a.key_id, a.cause, a.last_seen
    FROM auth_attempt a
    WHERE a.integration_id = i.id AND a.outcome = 'failure'
      AND a.last_seen > {NOW} - {conditions.LOOKBACK}
      AND a.last_seen > COALESCE((
          SELECT s.last_seen FROM auth_attempt s
          WHERE s.integration_id = i.id AND s.outcome = 'success'
          ORDER BY s.last_seen DESC LIMIT 1), '-infinity')
      AND ({conditions.COUNTS} OR {CALLED} AND {IS_NEVER_CALLED})
    ORDER BY a.last_seen DESC, a.id DESC LIMIT 1
"""

KINDS = (
    Kind(
        code="failing_now",
        number=15,
        severity="critical",
        status="failing",
        title=_lt("Failing now"),
        message=_lt(
            "Every call from %(caller)s has been rejected since %(since)s. To be fixed: %(cause)s."
        ),
        remedy=_lt("Open the attempts. The latest one shows the cause and what to do."),
        sql=f"""
            SELECT DISTINCT ON (i.id)
                   i.id AS record_id, i.id AS integration_id, failing.key_id, i.user_id,
                   failing.since, failing.cause
            FROM (
                SELECT found.*, {OF_ENDED_KEY} AS of_ended_key FROM ({FAILING}) found
            ) failing
            JOIN auth_integration i ON i.id = failing.integration_id AND i.active
            ORDER BY i.id, failing.of_ended_key, failing.since DESC
        """,
        cause="found.cause",
        folded=f"""(
            found.cause = 'user_archived' AND {USER_ARCHIVED}
            OR found.cause IN {ENDED} AND {LOST_ITS_KEY}
            OR {OF_ENDED_KEY})""",
    ),
    Kind(
        code="call_rejected",
        number=16,
        severity="warning",
        status="rejected",
        title=_lt("Last call rejected"),
        message=_lt(
            "The last call from %(caller)s was rejected (%(since)s). To be fixed: %(cause)s."
        ),
        remedy=_lt("Open the attempts. The latest one shows the cause and what to do."),
        # Only what no other kind is about: fewer calls than make an incident.
        sql=f"""
            SELECT i.id AS record_id, i.id AS integration_id, found.key_id, i.user_id,
                   found.last_seen AS since, found.cause
            FROM auth_integration i CROSS JOIN LATERAL ({LAST_REJECTED}) found
            WHERE i.active AND found.cause <> 'user_archived' AND NOT {OF_ENDED_KEY}
              AND NOT EXISTS (
                SELECT FROM auth_integration_incident n
                WHERE n.integration_id = i.id AND n.kind = 'failing'
                  AND (n.state = 'open' OR n.closed_at >= found.last_seen))
              AND NOT EXISTS (
                SELECT FROM ({FAILING}) failing WHERE failing.integration_id = i.id)
        """,
        cause="found.cause",
    ),
    Kind(
        code="silent",
        number=40,
        severity="critical",
        status="failing",
        title=_lt("Expected calls did not come"),
        message=_lt("%(integration)s has not called successfully since %(since)s."),
        remedy=_lt("Check that the external system runs and can reach this server."),
        sql=f"""
            SELECT late.id AS record_id, late.id AS integration_id, NULL::integer AS key_id,
                   late.user_id, late.since
            FROM (
                SELECT i.id, i.user_id, i.expected_every_hours, GREATEST(i.expected_since, (
                           SELECT s.last_seen FROM auth_attempt s
                           WHERE s.integration_id = i.id AND s.outcome = 'success'
                           ORDER BY s.last_seen DESC LIMIT 1)) AS since
                FROM auth_integration i
                WHERE i.active AND i.expected_every_hours > 0 AND i.expected_since IS NOT NULL
            ) late
            WHERE late.since < {NOW} - make_interval(hours => late.expected_every_hours)
        """,
        folded=f"""({HAS_NO_KEY} OR {USER_ARCHIVED} OR EXISTS (
            SELECT FROM auth_integration_incident n
            WHERE n.integration_id = found.integration_id AND n.state = 'open'
              AND n.kind = 'failing'))""",
    ),
    Kind(
        code="guessing",
        number=30,
        severity="warning",
        title=_lt("Password guessing"),
        message=_lt(
            "Too many wrong passwords for %(login)s. Since %(time)s, %(count)s further sign-in"
            " attempts were rejected, from %(addresses)s."
        ),
        remedy=_lt(
            "If this is an attack, block the addresses in your firewall. If it is your own system,"
            " correct its password or use an API key. Unlock User lets the user sign in again now."
        ),
        # An attack on many logins is one finding, as it does not target one of them.
        sql=f"""
            SELECT CASE WHEN hit.logins > {MAX_GUESSED_LOGINS} THEN 0 ELSE hit.user_id END
                   AS record_id,
                   CASE WHEN hit.logins > {MAX_GUESSED_LOGINS} THEN NULL ELSE i.id END
                   AS integration_id, NULL::integer AS key_id,
                   CASE WHEN hit.logins > {MAX_GUESSED_LOGINS} THEN NULL ELSE hit.user_id END
                   AS user_id, min(hit.since) AS since
            FROM (
                SELECT a.user_id, min(a.first_seen) AS since, count(*) OVER () AS logins
                FROM auth_attempt a LEFT JOIN res_users u ON u.id = a.user_id
                WHERE a.cause = 'throttled' AND a.user_id IS NOT NULL
                  AND a.last_seen > {NOW} - interval '1 hour'
                  AND (u.sign_in_unlocked_at IS NULL OR a.last_seen > u.sign_in_unlocked_at)
                GROUP BY a.user_id
            ) hit
            LEFT JOIN auth_integration i ON i.user_id = hit.user_id
            GROUP BY 1, 2, 4
        """,
    ),
)
