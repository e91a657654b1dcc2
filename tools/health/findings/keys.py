"""Findings about a key: its dates, its use and its rotation."""

from ...attempt.flood_limits import COLLAPSED
from .calls import ENDED
from .kind import (
    ADMINISTRATORS,
    CALLED,
    FEW_OPERATIONS,
    LIVE,
    LOST_ITS_KEY,
    NOW,
    Kind,
    _lt,
    key_sql,
)

_CALL_OF_ENDED_KEY = f"""
    a.cause IN {ENDED} AND a.key_id IS NOT NULL AND {CALLED}
    AND a.last_seen > {NOW} - interval '7 days'
"""
# The last rejected call with each ended key. A call counts as fixed once the same program succeeds
# from the same address, or somebody dismisses it. Read backwards from the latest call, which
# usually is the one wanted.
ENDED_KEYS_CALLED = f"""
    SELECT called.key_id, last.since, last.attempt_id
    FROM (SELECT DISTINCT a.key_id FROM auth_attempt a WHERE {_CALL_OF_ENDED_KEY}) called
    CROSS JOIN LATERAL (
        SELECT a.last_seen AS since, a.id AS attempt_id FROM auth_attempt a
        WHERE a.key_id = called.key_id AND a.outcome = 'failure' AND {_CALL_OF_ENDED_KEY}
          AND NOT EXISTS (
            SELECT FROM auth_attempt s
            WHERE s.integration_id = a.integration_id AND s.outcome = 'success'
              AND s.remote_addr = a.remote_addr AND s.last_seen > a.last_seen
              AND s.remote_addr <> '{COLLAPSED}'
              AND s.user_agent IS DISTINCT FROM '{COLLAPSED}'
              AND s.user_agent IS NOT DISTINCT FROM a.user_agent)
        ORDER BY a.last_seen DESC, a.id DESC LIMIT 1
    ) last
    WHERE NOT EXISTS (
        SELECT FROM auth_integration_key dismissed
        WHERE dismissed.id = called.key_id AND dismissed.calls_dismissed_at >= last.since)
"""

KINDS = (
    Kind(
        code="key_expired",
        number=3,
        severity="warning",
        status="expiring",
        title=_lt("Key expired"),
        message=_lt("The key %(prefix)s… of %(login)s expired on %(since)s."),
        remedy=_lt("Create a new key and install it in the external system."),
        sql=key_sql(
            "k.ends_at",
            """
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            WHERE k.state = 'expired' AND NOT EXISTS (
                SELECT FROM auth_integration_key newer
                WHERE newer.integration_id = k.integration_id AND newer.issued_at > k.issued_at
            )
            """,
        ),
        folded=LOST_ITS_KEY,
    ),
    Kind(
        code="key_expired_still_used",
        number=4,
        severity="critical",
        status="failing",
        title=_lt("Inactive key still used"),
        message=_lt(
            "An external system still uses the key %(prefix)s… of %(login)s, which no longer"
            " works. Last call: %(since)s."
        ),
        remedy=_lt(
            "Install the current key of the integration in the external system. The issue closes"
            " within a minute after a call with it from the same address and user agent, or seven"
            " days after the last call with the old key."
        ),
        sql=f"""
            SELECT k.id AS record_id, k.integration_id, k.id AS key_id, k.user_id, used.since
            FROM ({ENDED_KEYS_CALLED}) used
            JOIN auth_integration_key k ON k.id = used.key_id
        """,
        folded=f"""({LOST_ITS_KEY} OR EXISTS (
            SELECT FROM auth_integration_key expired JOIN auth_integration i
                ON i.id = expired.integration_id AND i.active
            WHERE expired.id = found.key_id AND expired.expires_at <= {NOW}
              AND expired.ended_at IS NULL AND NOT EXISTS (
                  SELECT FROM auth_integration_key newer
                  WHERE newer.integration_id = i.id AND newer.issued_at > expired.issued_at)))""",
        # The integration works, but one of its hosts does not have the new key yet.
        minor=f"""EXISTS (
            SELECT FROM auth_integration_key ended JOIN present_key newer
                ON newer.integration_id = ended.integration_id
            WHERE ended.id = found.key_id AND newer.issued_at > ended.issued_at
              AND newer.state IN {LIVE} AND newer.last_used_at > {NOW} - interval '7 days')""",
    ),
    Kind(
        code="key_expiring",
        number=5,
        severity="warning",
        status="expiring",
        title=_lt("Key must be replaced soon"),
        message=_lt(
            "The key %(prefix)s… of %(login)s should be replaced by %(since)s. It expires on"
            " %(expires)s."
        ),
        remedy=_lt(
            "Rotate the key, or continue its rotation. The old key keeps working for some days"
            " after the first call with the new key."
        ),
        sql=key_sql(
            "k.replace_by",
            f"""
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            JOIN auth_integration_policy p ON p.id = i.policy_id
            WHERE k.state IN ('pending', 'active')
              AND k.replace_by <= {NOW} + make_interval(days => p.rotation_lead_days)
            """,
        ),
    ),
    Kind(
        code="key_no_expiry",
        number=9,
        severity="warning",
        title=_lt("Key never expires"),
        message=_lt("The key %(prefix)s… of %(login)s never expires."),
        remedy=_lt("Replace it with a key that expires, or convert it to an integration."),
        sql=key_sql(
            "k.issued_at",
            f"WHERE k.ends_at IS NULL AND k.state IN {LIVE}",
        ),
    ),
    Kind(
        code="key_outlived_end",
        number=23,
        severity="warning",
        title=_lt("Key works past its expiration date"),
        message=_lt(
            "An earlier version of this app extended the key %(prefix)s… of %(login)s by mistake."
            " It was due to expire on %(since)s and now expires on %(expires)s."
        ),
        remedy=_lt("Revoke the key. If an external system still needs it, rotate it instead."),
        sql=key_sql("k.replace_by", f"WHERE k.outlived_end AND k.state IN {LIVE}"),
    ),
    Kind(
        code="key_dormant",
        number=10,
        severity="info",
        title=_lt("Unused key"),
        message=_lt("The key %(prefix)s… of %(login)s has not been used since %(since)s."),
        remedy=_lt("Revoke the key if it is no longer needed."),
        sql=key_sql(
            "COALESCE(k.last_used_at, k.issued_at)",
            f"""
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            JOIN auth_integration_policy p ON p.id = i.policy_id
            WHERE k.state IN {LIVE} AND COALESCE(k.last_used_at, k.issued_at)
                < {NOW} - make_interval(days => p.dormant_days)
            """,
        ),
    ),
    Kind(
        code="key_many_addresses",
        number=11,
        severity="warning",
        title=_lt("Key used from many addresses"),
        message=_lt(
            "The key %(prefix)s… of %(login)s was used from more than five addresses in a week."
        ),
        remedy=_lt(
            "Check its addresses. If you do not recognize one, revoke the key. Otherwise, set"
            " allowed networks."
        ),
        sql=f"""
            SELECT k.id AS record_id, k.integration_id, k.id AS key_id, k.user_id, seen.since
            FROM (
                SELECT a.key_id, max(a.first_seen) AS since FROM auth_integration_key_address a
                WHERE a.last_seen > {NOW} - interval '7 days'
                GROUP BY a.key_id HAVING count(*) > 5
            ) seen
            JOIN present_key k ON k.id = seen.key_id AND k.state IN {LIVE}
        """,
    ),
    Kind(
        code="personal_account_used",
        number=14,
        severity="info",
        title=_lt("Personal account used by an external system"),
        message=_lt(
            "An external system uses the personal key %(prefix)s… of %(login)s. It stops working"
            " if this user is archived."
        ),
        remedy=_lt("Convert this key to an integration with its own integration user."),
        sql=key_sql(
            "k.last_used_at",
            f"""
            WHERE k.integration_id IS NULL AND k.scope IS NULL AND k.use_count >= 10
              AND k.last_used_at > {NOW} - interval '7 days' AND k.state IN {LIVE}
              AND NOT EXISTS (
                  SELECT FROM auth_integration_key n
                  WHERE n.replaces_id = k.id AND n.ended_at IS NULL)
            """,
        ),
    ),
    Kind(
        code="access_narrowed",
        number=53,
        severity="warning",
        title=_lt("List of operations changed by an update"),
        message=_lt(
            "The list of the key %(prefix)s… of %(integration)s allowed every method of a model"
            " whose records are code or access rights. Since the update of %(since)s, it has the"
            " methods that the key had called."
        ),
        remedy=_lt("Check the list. The issue closes when you change the access of the key."),
        sql=key_sql(
            "k.access_narrowed_at",
            f"WHERE k.access_narrowed_at IS NOT NULL AND k.state IN {LIVE}",
        ),
    ),
    Kind(
        code="access_unused",
        number=50,
        severity="info",
        title=_lt("Key has more access than it uses"),
        message=_lt(
            "The key %(prefix)s… of %(integration)s has all rights of its user but %(done)s"
            " since %(since)s."
        ),
        remedy=_lt(
            "Limit the access of the key. The suggestion shows which calls would be rejected."
        ),
        sql=key_sql(
            "k.operations_since",
            f"""
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            WHERE k.access = 'full' AND k.operations_since < {NOW} - interval '30 days'
              AND k.last_used_at > {NOW} - interval '30 days'
              AND (k.last_write_at IS NULL OR k.operation_count <= {FEW_OPERATIONS})
              AND k.state IN {LIVE} AND k.user_id NOT IN {ADMINISTRATORS}
            """,
        ),
    ),
    Kind(
        code="rotation_overdue",
        number=16,
        severity="warning",
        status="expiring",
        title=_lt("Rotation overdue"),
        message=_lt(
            "The rotation of the key %(prefix)s… of %(integration)s should have started more than"
            " a day ago."
        ),
        remedy=_lt("Rotate the key now. Check the scheduled action and the rotation window."),
        sql=key_sql(
            "k.replace_by",
            f"""
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            JOIN auth_integration_policy p ON p.id = i.policy_id AND p.auto_rotate
            WHERE k.state = 'active' AND k.replace_by
                < {NOW} + make_interval(days => p.rotation_lead_days) - interval '1 day'
              AND NOT EXISTS (
                  SELECT FROM auth_integration_rotation r
                  WHERE r.old_key_id = k.id AND r.cancelled_at IS NULL
              )
            """,
        ),
    ),
    Kind(
        code="rotation_stuck",
        number=17,
        severity="warning",
        status="expiring",
        title=_lt("Rotation stuck"),
        message=_lt(
            "The rotation of the key %(prefix)s… of %(integration)s is waiting: the new key has"
            " not been used. The old key expires on %(since)s."
        ),
        remedy=_lt(
            "Open the rotation to see what is pending. Install the new key before the old one"
            " expires."
        ),
        sql=key_sql(
            "k.ends_at",
            f"""
            JOIN auth_integration_rotation r ON r.old_key_id = k.id AND r.cancelled_at IS NULL
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            LEFT JOIN auth_integration_key n ON n.id = r.new_key_id
            WHERE n.first_used_at IS NULL AND k.state IN {LIVE}
              AND COALESCE(r.delivered_at, r.opened_at) < {NOW} - interval '3 days'
            """,
        ),
    ),
)
