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
