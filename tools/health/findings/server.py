"""Findings about the server or its configuration, without an integration."""

from .kind import (
    NOW,
    SERVER,
    Kind,
    _lt,
)

KINDS = (
    Kind(
        code="cron_disabled",
        number=18,
        severity="critical",
        title=_lt("Scheduled action turned off"),
        message=_lt("A scheduled action that rotates or monitors keys is turned off."),
        remedy=_lt("Turn it on in Settings ▸ Technical ▸ Scheduled Actions."),
        sql=f"""
            {SERVER} FROM ir_cron c
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
            {SERVER} FROM ir_config_parameter c
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
            {SERVER} FROM ir_config_parameter c
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
            " move. Go to Settings ▸ General Settings, tab Integrations, or set the system"
            " parameter auth_integration.confirm_move to %(database)s. Otherwise, snooze this"
            " issue."
        ),
        # The system identifier is read from a parameter, as the role may not be able to query it.
        sql=f"""
            {SERVER} FROM (
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
        code="alert_undelivered",
        number=41,
        severity="warning",
        title=_lt("Alerts cannot be sent"),
        message=_lt("An alert about incidents could not be sent."),
        remedy=_lt(
            "Open Alerts in Settings ▸ General Settings, tab Integrations, and read the error."
            " Correct the email server, the sender address (alias domain) or the webhook, then use"
            " Send Test Alert."
        ),
        sql=f"""
            {SERVER} FROM auth_integration_alert a
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
        code="mail_undelivered",
        number=54,
        severity="critical",
        title=_lt("Mail cannot be delivered"),
        message=_lt(
            "Mail of API integrations cannot be delivered since %(moment)s. Reason: %(reason)s"
        ),
        remedy=_lt(
            "Correct the outgoing mail server. The mail is kept and sent again at least every 15"
            " minutes. The issue closes when the first one is sent."
        ),
        sql=f"""
            SELECT 0 AS record_id, NULL::integer AS integration_id, NULL::integer AS key_id,
                   NULL::integer AS user_id, m.create_date AS since
            FROM mail_mail m
            WHERE m.state IN ('outgoing', 'exception') AND m.failure_reason IS NOT NULL
              AND m.create_date > {NOW} - interval '7 days'
              AND (m.auth_integration_next_try_at IS NOT NULL
                   OR EXISTS (SELECT FROM auth_integration_alert a
                              WHERE a.mail_id = m.id AND a.state = 'pending'))
            ORDER BY m.create_date LIMIT 1
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
            {SERVER} FROM auth_attempt_event_log e WHERE e.error IS NOT NULL
        """,
    ),
)
