"""What installation and removal of the add-on do besides loading its files."""


def post_init_hook(env):
    """Give every API key that is there already its record (see ``auth.integration.key``), and show
    the administrator who has installed the add-on those that can be converted."""
    keys = env["auth.integration.key"]
    keys._reconcile()
    if keys.search_count([("is_live", "=", True), ("integration_id", "=", False)], limit=1):
        env.ref("auth_integration.auth_integration_key_found_todo").action_open()


def uninstall_hook(env):
    """Remove what the ORM does not know of: hand-made tables, parameters and views.

    Integration users and native API keys stay: integrations go on working without the add-on, but
    for those whose keys have rules, which nobody could hold them to.  Their native scope says so.
    """
    # It reads one of these tables.
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
    # What our models have from mail's mixins goes without the external ids that mail, sms and
    # others gave it.
    env.cr.execute(
        "DELETE FROM ir_model_data WHERE module <> 'auth_integration'"
        " AND model IN ('ir.model.fields.selection', 'ir.model.inherit')"
        " AND name ~ '^(selection|model_inherit)__auth_(integration|attempt|throttle)_'"
    )
    env["ir.config_parameter"].sudo().search([("key", "=like", "auth\\_integration.%")]).unlink()
