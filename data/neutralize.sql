-- a copy rotates nothing: it is not the database that the integrations' keys belong to
DELETE FROM ir_config_parameter
 WHERE key IN (
       'auth_integration.database_uuid',
       'auth_integration.database_identity',
       'auth_integration.confirm_move',
       'auth_integration.webhook_allowed_networks',
       'auth_integration.metrics_token'
);
INSERT INTO ir_config_parameter (key, value)
VALUES ('auth_integration.database_uuid', 'neutralized'),
       ('auth_integration.database_identity', 'neutralized');

-- keys of integrations are doors to the original: end them here, for good; new ones can be created
WITH copied AS (
    UPDATE auth_integration_key k
       SET ended_at = now() AT TIME ZONE 'UTC',
           end_kind = 'copied',
           end_reason = 'The database was neutralized: this key belongs to the original.'
      FROM auth_integration i
     WHERE i.user_id = k.user_id
       AND k.ended_at IS NULL
       AND COALESCE(LEAST(k.expires_at, k.retire_at), 'infinity') > now() AT TIME ZONE 'UTC'
)
DELETE FROM res_users_apikeys n
 USING auth_integration i
 WHERE i.user_id = n.user_id;

-- nowhere to send new keys to, and nothing to sign or to fetch them with
UPDATE auth_integration
   SET webhook_url = NULL,
       webhook_secret = NULL,
       webhook_secret_set_at = NULL,
       totp_seed = NULL,
       totp_enrolled_at = NULL;

-- nobody to alert, and nothing to sign alerts with; alerts that wait are not sent
UPDATE auth_integration SET alert_url = NULL, alert_secret = NULL, alert_secret_set_at = NULL;
UPDATE res_company SET alert_url = NULL, alert_secret = NULL, alert_secret_set_at = NULL;
UPDATE auth_integration_alert SET state = 'failed', next_try_at = NULL WHERE state = 'pending';

-- no run of the schedule, which would also tell owners of keys that are none of theirs
UPDATE ir_cron
   SET active = false
 WHERE id IN (
       SELECT res_id
         FROM ir_model_data
        WHERE model = 'ir.cron'
          AND module = 'auth_integration'
);
