"""What can be wrong with an integration, a key or the server: the one registry of findings.

Each kind has the text for people and the SQL that finds it now; together the SELECTs make the view
``auth_integration_finding``.  A SELECT gives ``record_id`` (the finding's id is made of it and
of the kind's number), ``integration_id``, ``key_id``, ``user_id`` and ``since``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..incident import opening
from .probe import VERIFY

# The id of a finding: record id * ID_STEP + number of its kind.
ID_STEP = 100
LIVE = "('pending', 'active', 'retiring')"
# The time of the statement: an index can serve a limit that stands still while it runs.
NOW = "(statement_timestamp() AT TIME ZONE 'UTC')"
# Whoever asks at verify what has become of a key knows that something is wrong with it, and calls
# nothing. doctor.py is no exception: any program can borrow its name. The indexes of
# refused calls in auth_attempt.py are of these rows only.
CALLED = f"a.auth_type IS DISTINCT FROM '{VERIFY}'"
# When the passwords of more logins are guessed, that is one finding.
MAX_GUESSED_LOGINS = 10
# Channels that are gone with Odoo 22: their services ``common`` and ``object`` are.
OLD_PROTOCOLS = frozenset({"xmlrpc", "jsonrpc"})
# Of so few operations a list is soon made.
FEW_OPERATIONS = 5


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    :ivar code: stable name
    :ivar number: stable number below :data:`ID_STEP`, part of the ids that acceptances refer to
    :ivar severity: ``critical`` (something fails or is about to be abused), ``warning`` (it will)
        or ``info``
    :ivar message: what is wrong, with the placeholders ``integration``, ``prefix``, ``login``,
        ``since`` and ``expires`` (of the key)
    :ivar remedy: what to do
    :ivar sql: a SELECT; it finds keys and their ``state`` in ``present_key``
    :ivar key_message: the message where it has a key, if that differs
    :ivar status: the status of an integration with it: ``failing`` or ``expiring``
    :ivar cause: SQL of the cause of refusals that it is about, of a row ``found``
    :ivar folded: SQL of whether it is only a symptom: of a row ``found``, another finding names
        the root cause. That one is shown, with this one as evidence
    """

    code: str
    number: int
    severity: str
    title: str
    message: str
    remedy: str
    sql: str
    key_message: str = ""
    status: str = ""
    cause: str = "NULL"
    folded: str = "FALSE"


_KEY = "SELECT k.id AS record_id, k.integration_id, k.id AS key_id, k.user_id, {since} AS since"
_INTEGRATION = (
    "SELECT i.id AS record_id, i.id AS integration_id, NULL::integer AS key_id, i.user_id,"
    " {since} AS since FROM auth_integration i"
)
_SERVER = (
    "SELECT 0 AS record_id, NULL::integer AS integration_id, NULL::integer AS key_id,"
    " NULL::integer AS user_id, NULL::timestamp AS since"
)


# Root causes, for the integration of a row ``found``.
_HAS_NO_KEY = f"""(found.integration_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM present_key k
    WHERE k.integration_id = found.integration_id AND k.state IN {LIVE}))"""
_USER_ARCHIVED_WITH_KEY = f"""EXISTS (
    SELECT FROM present_key k JOIN res_users u ON u.id = k.user_id
    WHERE k.user_id = found.user_id AND NOT u.active AND k.state IN {LIVE})"""
_USER_ARCHIVED = "EXISTS (SELECT FROM res_users u WHERE u.id = found.user_id AND NOT u.active)"
# Whether an integration never worked: nobody misses what has yet to be set up. A key from before
# the integration was somebody's, who may have used it.
NEVER_CALLED = """NOT EXISTS (
    SELECT FROM auth_integration_key used
    WHERE used.integration_id = {integration} AND (
        used.first_used_at IS NOT NULL OR used.last_used_at IS NOT NULL
        OR used.issued_at < {created} - interval '1 minute'))"""
_NEVER_CALLED = NEVER_CALLED.format(integration="i.id", created="i.create_date")
# That is a finding, unless it is still to be set up.
_LOST_ITS_KEY = f"""({_HAS_NO_KEY} AND EXISTS (
    SELECT FROM auth_integration i
    WHERE i.id = found.integration_id AND NOT {_NEVER_CALLED}))"""
# Calls since the incidents were last derived from the log; without that, of the last day.
_UNSEEN = f"""COALESCE({opening.SEEN_TO} - interval '1 minute', {NOW} - interval '1 day')"""


def _key_sql(since: str, rest: str) -> str:
    return f"{_KEY.format(since=since)} FROM present_key k {rest}"


def _integration_sql(since: str, rest: str) -> str:
    return f"{_INTEGRATION.format(since=since)} {rest}"


KINDS = (
    Kind(
        code="archived_user_live_key",
        number=1,
        severity="critical",
        status="failing",
        title=_lt("Archived user has an active key"),
        message=_lt("%(login)s is archived but still has an active key (%(prefix)s…)."),
        remedy=_lt("Restore the user, or revoke the key if it is no longer needed."),
        sql=_key_sql(
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
        remedy=_lt("Restore the user, or turn off the external system."),
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
        folded=_USER_ARCHIVED_WITH_KEY,
    ),
    Kind(
        code="key_expired",
        number=3,
        severity="warning",
        status="expiring",
        title=_lt("Key expired"),
        message=_lt("The key %(prefix)s… of %(login)s expired on %(since)s."),
        remedy=_lt("Create a new key and install it in the external system."),
        sql=_key_sql(
            "k.ends_at",
            """
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            WHERE k.state = 'expired' AND NOT EXISTS (
                SELECT FROM auth_integration_key newer
                WHERE newer.integration_id = k.integration_id AND newer.issued_at > k.issued_at
            )
            """,
        ),
        folded=_LOST_ITS_KEY,
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
        remedy=_lt("Install the current key of the integration in the external system."),
        sql=f"""
            SELECT k.id AS record_id, k.integration_id, k.id AS key_id, k.user_id, used.since
            FROM (
                SELECT a.key_id, max(a.last_seen) AS since FROM auth_attempt a
                WHERE a.cause IN ('key_expired', 'key_superseded', 'key_revoked')
                  AND a.key_id IS NOT NULL AND {CALLED}
                  AND a.last_seen > {NOW} - interval '7 days'
                GROUP BY a.key_id
            ) used
            JOIN auth_integration_key k ON k.id = used.key_id
        """,
        folded=f"""({_LOST_ITS_KEY} OR EXISTS (
            SELECT FROM auth_integration_key expired JOIN auth_integration i
                ON i.id = expired.integration_id AND i.active
            WHERE expired.id = found.key_id AND expired.expires_at <= {NOW}
              AND expired.ended_at IS NULL))""",
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
            "Rotate the key, or continue its rotation. The current key keeps working until the new"
            " one is in use."
        ),
        sql=_key_sql(
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
                ORDER BY k.ends_at DESC LIMIT 1
            ) last ON TRUE
            WHERE i.active AND NOT {NEVER_CALLED} AND NOT EXISTS (
                SELECT FROM present_key k
                WHERE k.integration_id = i.id AND k.state IN {LIVE})
        """.replace("{LIVE}", LIVE).replace("{NEVER_CALLED}", _NEVER_CALLED),
    ),
    Kind(
        code="owner_archived",
        number=7,
        severity="warning",
        title=_lt("Owner archived"),
        message=_lt("All owners of %(integration)s are archived."),
        remedy=_lt("Add an owner. Owners are notified before a key expires."),
        sql=_integration_sql(
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
        sql=_integration_sql(
            "i.write_date",
            """
            WHERE i.active
              AND i.id NOT IN (SELECT r.integration_id FROM auth_integration_owner_rel r)
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
        sql=_key_sql(
            "k.issued_at",
            f"WHERE k.ends_at IS NULL AND k.state IN {LIVE}",
        ),
    ),
    Kind(
        code="key_dormant",
        number=10,
        severity="info",
        title=_lt("Unused key"),
        message=_lt("The key %(prefix)s… of %(login)s has not been used since %(since)s."),
        remedy=_lt("Revoke the key if it is no longer needed."),
        sql=_key_sql(
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
        sql="""
            SELECT i.id AS record_id, i.id AS integration_id, NULL::integer AS key_id, i.user_id,
                   NULL::timestamp AS since
            FROM auth_integration i
            WHERE i.active AND i.user_id IN (
                WITH RECURSIVE privileged(id) AS (
                    SELECT d.res_id FROM ir_model_data d
                    WHERE d.module = 'base' AND d.name IN ('group_system', 'group_erp_manager')
                    UNION
                    SELECT r.gid FROM res_groups_implied_rel r JOIN privileged p ON p.id = r.hid
                )
                SELECT g.uid FROM res_groups_users_rel g JOIN privileged p ON p.id = g.gid
            )
        """,
    ),
    Kind(
        code="password_set",
        number=13,
        severity="info",
        title=_lt("Password set"),
        message=_lt("%(login)s, the integration user of %(integration)s, has a password."),
        remedy=_lt("This password cannot be used to sign in. Remove it to avoid confusion."),
        sql="""
            SELECT i.id AS record_id, i.id AS integration_id, NULL::integer AS key_id, i.user_id,
                   NULL::timestamp AS since
            FROM auth_integration i JOIN res_users u ON u.id = i.user_id
            WHERE i.active AND COALESCE(u.password, '') <> ''
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
        sql=_key_sql(
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
        code="failing_now",
        number=15,
        severity="critical",
        status="failing",
        title=_lt("Failing now"),
        message=_lt(
            "Every call from %(integration)s has been rejected since %(since)s: %(cause)s."
        ),
        remedy=_lt("Open the attempts. The latest one shows the cause and what to do."),
        # What the job for incidents has not looked at yet is looked at here.
        sql=f"""
            SELECT DISTINCT ON (i.id)
                   i.id AS record_id, i.id AS integration_id, failing.key_id, i.user_id,
                   failing.since, failing.cause
            FROM (
                SELECT n.integration_id, n.key_id, n.opened_at AS since, n.cause
                FROM (
                    SELECT o.*, COALESCE(o.remote_addr, '') AS address
                    FROM auth_integration_incident o
                    WHERE o.state = 'open' AND o.kind = 'failing'
                ) n
                WHERE {opening.healed_at("n", NOW)} IS NULL
                UNION ALL
                SELECT f.integration_id, f.key_id, f.opened_at, f.cause
                FROM ({opening.failing_sources(_UNSEEN, NOW, "3")}) f
            ) failing
            JOIN auth_integration i ON i.id = failing.integration_id AND i.active
            ORDER BY i.id, failing.since
        """,
        cause="found.cause",
        folded=f"""(
            found.cause = 'user_archived' AND {_USER_ARCHIVED}
            OR found.cause IN ('key_expired', 'key_superseded', 'key_revoked')
               AND ({_LOST_ITS_KEY} OR found.key_id IS NOT NULL))""",
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
        sql=_key_sql(
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
            " not been used."
        ),
        remedy=_lt(
            "Open the rotation to see what is pending. Install the new key before the old one"
            " expires on %(since)s."
        ),
        sql=_key_sql(
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
    Kind(
        code="cron_disabled",
        number=18,
        severity="critical",
        title=_lt("Scheduled action turned off"),
        message=_lt("A scheduled action that rotates or monitors keys is turned off."),
        remedy=_lt("Turn it on in Settings ▸ Technical ▸ Scheduled Actions."),
        sql=f"""
            {_SERVER} FROM ir_cron c
            JOIN ir_model_data d ON d.model = 'ir.cron' AND d.res_id = c.id
            WHERE d.module = 'auth_integration' AND NOT c.active LIMIT 1
        """,
    ),
    Kind(
        code="secrets_not_encrypted",
        number=19,
        severity="warning",
        title=_lt("No encryption key"),
        message=_lt(
            "Webhook signing and second factors need an encryption key, but none is configured."
        ),
        remedy=_lt(
            "Set secret_key in the section [auth_integration] of the server's configuration file"
            " and restart the server. The administrator guide explains how to create one."
        ),
        sql=f"""
            {_SERVER} FROM ir_config_parameter c
            WHERE c.key = 'auth_integration.server.secret_key' AND c.value = 'missing'
              AND EXISTS (SELECT FROM auth_integration i
                          JOIN auth_integration_policy p ON p.id = i.policy_id
                          WHERE i.active AND (p.delivery = 'webhook' OR i.totp_seed IS NOT NULL))
        """,
    ),
    Kind(
        code="proxy_mode_off",
        number=20,
        severity="warning",
        title=_lt("Proxy mode is off"),
        message=_lt(
            "Calls arrive through a proxy, but proxy_mode is off. Every call has the proxy's"
            " address, and allowed networks cannot distinguish them."
        ),
        remedy=_lt(
            "Set proxy_mode = True in the server's configuration file. Configure the proxy to send"
            " X-Forwarded-For and X-Forwarded-Host."
        ),
        sql=f"""
            {_SERVER} FROM ir_config_parameter c
            WHERE c.key = 'auth_integration.server.proxy_mode' AND c.value = 'off_behind_proxy'
              AND c.write_date > {NOW} - interval '7 days'
        """,
    ),
    Kind(
        code="database_copied",
        number=21,
        severity="warning",
        title=_lt("This database is a copy"),
        message=_lt(
            "It was copied from the database that external systems use. Keys are not rotated here,"
            " and no notifications are sent."
        ),
        remedy=_lt(
            "If external systems now use this database, a Settings administrator must confirm the"
            " move. Go to Settings ▸ Integrations, or set the system parameter"
            " auth_integration.confirm_move to %(database)s. Otherwise, snooze this issue."
        ),
        # What has to be asked of the server is in a parameter: the role may not be allowed to.
        sql=f"""
            {_SERVER} FROM (
                SELECT max(value) FILTER (WHERE key = 'database.uuid') AS uuid,
                       max(value) FILTER (WHERE key = 'auth_integration.database_uuid')
                           AS stored_uuid,
                       max(value) FILTER (WHERE key = 'auth_integration.database_identity')
                           AS stored,
                       max(value) FILTER (WHERE key = 'auth_integration.server.database_identity')
                           AS present
                FROM ir_config_parameter
                WHERE key IN ('database.uuid', 'auth_integration.database_uuid',
                              'auth_integration.database_identity',
                              'auth_integration.server.database_identity')
            ) c
            WHERE c.stored_uuid IS DISTINCT FROM c.uuid
               OR split_part(c.stored, ':', 2) IS DISTINCT FROM (
                   SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database())
               OR NULLIF(split_part(c.stored, ':', 1), '')
                  <> NULLIF(split_part(c.present, ':', 1), '')
        """,
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
        code="key_outlived_end",
        number=23,
        severity="warning",
        title=_lt("Key works past its expiration date"),
        message=_lt(
            "An earlier version of this app extended the key %(prefix)s… of %(login)s by mistake."
            " It was due to expire on %(since)s and now expires on %(expires)s."
        ),
        remedy=_lt("Revoke the key. If an external system still needs it, rotate it instead."),
        sql=_key_sql("k.replace_by", f"WHERE k.outlived_end AND k.state IN {LIVE}"),
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
        # Of an attack on many logins, one finding for all: none of them is meant.
        sql=f"""
            SELECT CASE WHEN hit.logins > {MAX_GUESSED_LOGINS} THEN 0 ELSE hit.user_id END
                   AS record_id,
                   CASE WHEN hit.logins > {MAX_GUESSED_LOGINS} THEN NULL ELSE i.id END
                   AS integration_id, NULL::integer AS key_id,
                   CASE WHEN hit.logins > {MAX_GUESSED_LOGINS} THEN NULL ELSE hit.user_id END
                   AS user_id, min(hit.since) AS since
            FROM (
                SELECT a.user_id, min(a.first_seen) AS since, count(*) OVER () AS logins
                FROM auth_attempt a
                WHERE a.cause = 'throttled' AND a.user_id IS NOT NULL
                  AND a.last_seen > {NOW} - interval '1 hour'
                GROUP BY a.user_id
            ) hit
            LEFT JOIN auth_integration i ON i.user_id = hit.user_id
            GROUP BY 1, 2, 4
        """,
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
        folded=f"""({_HAS_NO_KEY} OR {_USER_ARCHIVED} OR EXISTS (
            SELECT FROM auth_integration_incident n
            WHERE n.integration_id = found.integration_id AND n.state = 'open'
              AND n.kind = 'failing'))""",
    ),
    Kind(
        code="alert_undelivered",
        number=41,
        severity="warning",
        title=_lt("Alerts cannot be sent"),
        message=_lt("An alert about incidents could not be sent."),
        remedy=_lt(
            "Open Sent Alerts in Settings ▸ Integrations and read the error. Correct the email"
            " server, the sender address (alias domain) or the webhook, then use Send Test Alert."
        ),
        sql=f"""
            {_SERVER} FROM auth_integration_alert a
            WHERE a.error IS NOT NULL AND a.error <> ''
              AND a.create_date > {NOW} - interval '7 days'
              AND NOT EXISTS (
                  SELECT FROM auth_integration_alert later
                  WHERE later.recipient IN (a.recipient, 'test:' || a.user_id)
                    AND later.state = 'sent' AND later.sent_at > a.create_date
                    AND later.week IS NULL)
              AND NOT EXISTS (
                  SELECT FROM res_users u JOIN res_partner p ON p.id = u.partner_id
                  WHERE u.id = a.user_id AND COALESCE(p.email, '') = '')
            LIMIT 1
        """,
    ),
    Kind(
        code="event_log_unwritable",
        number=60,
        severity="warning",
        title=_lt("Event log file cannot be written"),
        message=_lt("The file event_log of this server cannot be written."),
        remedy=_lt(
            "Correct the path, its permissions or the disk. The server log has the details. Events"
            " are kept and written later."
        ),
        sql=f"""
            {_SERVER} FROM auth_attempt_event_log e WHERE e.error IS NOT NULL
        """,
    ),
    Kind(
        code="owner_unreachable",
        number=42,
        severity="warning",
        title=_lt("No owner has an email address"),
        message=_lt("No owner of %(integration)s can be reached by email."),
        remedy=_lt("Set an email address on an owner's user, or add another owner."),
        sql=_integration_sql(
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
        sql=_key_sql(
            "k.operations_since",
            f"""
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            WHERE k.access = 'full' AND k.operations_since < {NOW} - interval '30 days'
              AND k.last_used_at > {NOW} - interval '30 days'
              AND (k.last_write_at IS NULL OR k.operation_count <= {FEW_OPERATIONS})
              AND k.state IN {LIVE}
            """,
        ),
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
        sql=_integration_sql(
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
BY_CODE = {kind.code: kind for kind in KINDS}
SEVERITIES = ("critical", "warning", "info")


def codes_of(status):
    """Codes of the kinds that give an integration a status."""
    return tuple(kind.code for kind in KINDS if kind.status == status)


def view_sql(state_sql: str, end_sql: str, native_sql: str) -> str:
    """The view's SELECT: all kinds, with what was accepted.

    The keys are looked through for each kind anew, not once for all: so a look for one kind, or at
    one integration, need not see them all.

    :param state_sql: SQL of the state of the key with the alias ``k``
    :param end_sql: SQL of its end
    :param native_sql: the join that both need, of the native row as ``native``
    """
    kinds = " UNION ALL ".join(
        f"""
        SELECT found.record_id * {ID_STEP} + {kind.number} AS id, '{kind.code}'::varchar AS code,
               '{kind.severity}'::varchar AS severity, {SEVERITIES.index(kind.severity)} AS
               severity_rank, found.integration_id, found.key_id, found.user_id,
               found.since::timestamp AS since, ({kind.cause})::varchar AS cause,
               ({kind.folded})::boolean AS folded,
               EXISTS (
                   SELECT FROM auth_integration_finding_acceptance accepted
                   WHERE accepted.finding_id = found.record_id * {ID_STEP} + {kind.number}
                     AND (accepted.until IS NULL OR accepted.until > {NOW})
               ) AS accepted
        FROM ({kind.sql}) found
        """
        for kind in KINDS
    )
    return f"""
        WITH present_key AS NOT MATERIALIZED (
            SELECT k.id, k.integration_id, k.user_id, k.scope, k.use_count, k.issued_at,
                   k.replace_by, k.outlived_end, k.last_used_at, k.access, k.operations_since,
                   k.last_write_at, k.operation_count, {end_sql} AS ends_at,
                   {state_sql} AS state
            FROM auth_integration_key k {native_sql}
            WHERE k.ended_at IS NULL OR k.end_kind = 'expired'
        )
        {kinds}
    """
