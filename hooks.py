"""What installing and uninstalling the add-on do besides loading its files."""


def post_init_hook(env):
    """Record every existing API key (see ``auth.integration.key``).

    If some can be converted, show them to the administrator who has installed the add-on.
    """
    keys = env["auth.integration.key"]
    keys._reconcile()
    if keys.search_count([("is_live", "=", True), ("integration_id", "=", False)], limit=1):
        env.ref("auth_integration.auth_integration_key_found_todo").action_open()


def uninstall_hook(env):
    """Remove what the ORM does not know: hand-made tables, parameters and views.

    Integration users and native API keys stay. Integrations continue to work without the add-on,
    except those whose keys have rules, because nothing could enforce the rules any more. The native
    scope of these keys makes stock Odoo reject them.
    """
    # The view reads one of these tables.
    env.cr.execute("DROP VIEW IF EXISTS auth_integration_finding")
    env.cr.execute(
        "DROP TABLE IF EXISTS auth_attempt_budget, auth_attempt_daily_key, auth_attempt_late,"
        " auth_attempt_counter, auth_attempt_counter_until, auth_attempt_event_log,"
        " auth_integration_finding_count, auth_integration_rpc_use,"
        " auth_attempt_report_zone,"
        " auth_attempt_report_invalid, auth_integration_password_change,"
        " auth_integration_session_end, auth_throttle"
    )
    # The standard policy is deleted with the add-on's data while integrations still refer to it.
    env.cr.execute(
        "ALTER TABLE auth_integration DROP CONSTRAINT IF EXISTS auth_integration_policy_id_fkey"
    )
    # Selections and inheritance records that our models have from mail's mixins also have external
    # IDs of mail, sms and other modules, which are not removed with the models.
    env.cr.execute(
        "DELETE FROM ir_model_data WHERE module <> 'auth_integration'"
        " AND model IN ('ir.model.fields.selection', 'ir.model.inherit')"
        " AND name ~ '^(selection|model_inherit)__auth_(integration|attempt|throttle)_'"
    )
    env["ir.config_parameter"].sudo().search([("key", "=like", "auth\\_integration.%")]).unlink()
