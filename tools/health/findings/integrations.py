"""Findings about an integration: its user, its owners, its keys as a whole, its protocols."""

from .kind import (
    ADMINISTRATORS,
    CALLED,
    IS_NEVER_CALLED,
    LIVE,
    NOW,
    OLD_PROTOCOLS,
    USER_ARCHIVED_WITH_KEY,
    Kind,
    _lt,
    integration_sql,
    key_sql,
)

KINDS = (
    Kind(
        code="archived_user_live_key",
        number=1,
        severity="critical",
        status="failing",
        title=_lt("Archived user has a blocked key"),
        message=_lt("%(login)s is archived, so the key %(prefix)s… is blocked."),
        remedy=_lt(
            "An administrator can restore the user. If the key is no longer needed, revoke it."
        ),
        sql=key_sql(
            "u.write_date",
            "JOIN res_users u ON u.id = k.user_id"
            f" WHERE NOT u.active AND k.state IN {LIVE}",
        ),
    ),
    Kind(
        code="archived_user_still_called",
        number=2,
        severity="critical",
        status="failing",
        title=_lt("Archived user still in use"),
        message=_lt(
            "An external system still calls as %(login)s, an archived user. Last call: %(since)s."
        ),
        remedy=_lt(
            "An administrator can restore the user. If the external system is no longer needed,"
            " turn it off."
        ),
        sql=f"""
            SELECT u.id AS record_id, i.id AS integration_id, NULL::integer AS key_id,
                   u.id AS user_id, called.since
            FROM (
                SELECT a.user_id, max(a.last_seen) AS since FROM auth_attempt a
                WHERE a.cause = 'user_archived' AND a.user_id IS NOT NULL AND {CALLED}
                  AND a.last_seen > {NOW} - interval '7 days'
                GROUP BY a.user_id
            ) called
            JOIN res_users u ON u.id = called.user_id AND NOT u.active
            LEFT JOIN auth_integration i ON i.user_id = u.id
        """,
        folded=USER_ARCHIVED_WITH_KEY,
    ),
    Kind(
        code="no_valid_key",
        number=6,
        severity="critical",
        status="failing",
        title=_lt("No valid key"),
        message=_lt("%(integration)s has no valid key."),
        key_message=_lt(
            "%(integration)s has no valid key: the key %(prefix)s… expired on %(since)s."
        ),
        remedy=_lt("Create a new key and install it in the external system."),
        sql="""
            SELECT i.id AS record_id, i.id AS integration_id, last.id AS key_id, i.user_id,
                   COALESCE(last.ends_at, i.create_date) AS since
            FROM auth_integration i
            LEFT JOIN LATERAL (
                SELECT k.id, k.ends_at FROM present_key k
                WHERE k.integration_id = i.id AND k.state = 'expired'
                UNION ALL
                SELECT r.id, r.ended_at FROM auth_integration_key r
                WHERE r.integration_id = i.id AND r.end_kind = 'revoked' AND r.ended_at IS NOT NULL
                ORDER BY ends_at DESC LIMIT 1
            ) last ON TRUE
            WHERE i.active AND NOT {NEVER_CALLED} AND NOT EXISTS (
                SELECT FROM present_key k
                WHERE k.integration_id = i.id AND k.state IN {LIVE})
        """.replace("{LIVE}", LIVE).replace("{NEVER_CALLED}", IS_NEVER_CALLED),
    ),
    Kind(
        code="admin_rights",
        number=12,
        severity="warning",
        title=_lt("Administration rights"),
        message=_lt("The integration user of %(integration)s, %(login)s, has administration"
                    " rights."),
        remedy=_lt(
            "Its keys give full access to this database, and only a Settings administrator can"
            " create them. Remove the groups that the external system does not need."
        ),
        sql=f"""
            SELECT i.id AS record_id, i.id AS integration_id, NULL::integer AS key_id, i.user_id,
                   NULL::timestamp AS since
            FROM auth_integration i
            WHERE i.active AND i.user_id IN {ADMINISTRATORS}
        """,
    ),
    Kind(
        code="password_set",
        number=13,
        severity="info",
        title=_lt("Password set"),
        message=_lt("%(login)s, the integration user of %(integration)s, has a password."),
        remedy=_lt(
            "This password cannot be used to sign in, but it would work again without this app. An"
            " administrator of integrations can remove it."
        ),
        sql="""
            SELECT i.id AS record_id, i.id AS integration_id, NULL::integer AS key_id, i.user_id,
                   NULL::timestamp AS since
            FROM auth_integration i JOIN res_users u ON u.id = i.user_id
            WHERE i.active AND COALESCE(u.password, '') <> ''
        """,
    ),
    Kind(
        code="owner_archived",
        number=7,
        severity="warning",
        title=_lt("Owner archived"),
        message=_lt("All owners of %(integration)s are archived."),
        remedy=_lt("Add an owner. Owners are notified before a key expires."),
        sql=integration_sql(
            "i.write_date",
            """
            WHERE i.active
              AND i.id IN (SELECT r.integration_id FROM auth_integration_owner_rel r)
              AND i.id NOT IN (
                  SELECT r.integration_id FROM auth_integration_owner_rel r
                  JOIN res_users u ON u.id = r.user_id AND u.active
              )
            """,
        ),
    ),
    Kind(
        code="owner_missing",
        number=8,
        severity="warning",
        title=_lt("Owner missing"),
        message=_lt("%(integration)s has no owner."),
        remedy=_lt("Add an owner. Owners are notified before a key expires."),
        sql=integration_sql(
            "i.write_date",
            """
            WHERE i.active
              AND i.id NOT IN (SELECT r.integration_id FROM auth_integration_owner_rel r)
            """,
        ),
    ),
    Kind(
        code="owner_unreachable",
        number=42,
        severity="warning",
        title=_lt("No owner has an email address"),
        message=_lt("No owner of %(integration)s can be reached by email."),
        remedy=_lt("Set an email address on an owner's user, or add another owner."),
        sql=integration_sql(
            "i.write_date",
            """
            WHERE i.active
              AND i.id IN (
                  SELECT r.integration_id FROM auth_integration_owner_rel r
                  JOIN res_users u ON u.id = r.user_id AND u.active)
              AND i.id NOT IN (
                  SELECT r.integration_id FROM auth_integration_owner_rel r
                  JOIN res_users u ON u.id = r.user_id AND u.active
                  JOIN res_partner p ON p.id = u.partner_id AND p.email LIKE '%_@_%')
            """,
        ),
    ),
    Kind(
        code="owner_is_integration_user",
        number=22,
        severity="critical",
        title=_lt("Integration user is an owner"),
        message=_lt(
            "%(login)s, an integration user, is an owner of %(integration)s. A key of one"
            " integration can therefore create keys of the other."
        ),
        remedy=_lt("Replace this owner with a person."),
        sql="""
            SELECT o.integration_id AS record_id, o.integration_id, NULL::integer AS key_id,
                   min(o.user_id) AS user_id, NULL::timestamp AS since
            FROM auth_integration_owner_rel o
            JOIN auth_integration own ON own.user_id = o.user_id
            GROUP BY o.integration_id
        """,
    ),
    Kind(
        code="rpc_sunset",
        number=51,
        severity="info",
        title=_lt("XML-RPC or JSON-RPC is still used"),
        message=_lt(
            "%(who)s still uses XML-RPC or JSON-RPC, which Odoo 22 removes: %(programs)s."
        ),
        remedy=_lt(
            "Change the external system to JSON-2 before you upgrade to Odoo 22. The connection"
            " sheet of the integration has examples."
        ),
        sql=f"""
            SELECT used.user_id AS record_id, i.id AS integration_id, NULL::integer AS key_id,
                   used.user_id, used.since
            FROM (
                SELECT r.user_id, max(r.last_seen) AS since FROM auth_integration_rpc_use r
                WHERE r.last_seen > {NOW} - interval '30 days'
                GROUP BY r.user_id
            ) used
            JOIN res_users u ON u.id = used.user_id AND u.active
            LEFT JOIN auth_integration i ON i.user_id = used.user_id
            WHERE i.id IS NULL OR i.active
        """,
    ),
    Kind(
        code="rpc_sunset_ready",
        number=52,
        severity="info",
        title=_lt("XML-RPC and JSON-RPC can be closed"),
        message=_lt(
            "%(integration)s last used XML-RPC or JSON-RPC on %(since)s. All later calls used other"
            " protocols."
        ),
        remedy=_lt("Close the old protocols. Its keys are then rejected there."),
        sql=integration_sql(
            "used.since",
            f"""
            JOIN (
                SELECT r.user_id, max(r.last_seen) AS since FROM auth_integration_rpc_use r
                GROUP BY r.user_id
            ) used ON used.user_id = i.user_id AND used.since <= {NOW} - interval '30 days'
            WHERE i.active
              AND (COALESCE(i.allowed_channels, '') = ''
                   OR i.allowed_channels ~ '{"|".join(sorted(OLD_PROTOCOLS))}')
              AND EXISTS (
                  SELECT FROM auth_integration_key k
                  WHERE k.integration_id = i.id AND k.last_used_at > {NOW} - interval '30 days')
            """,
        ),
    ),
)
