"""What installation and removal of the add-on do besides loading its files."""


def post_init_hook(env):
    """Give every API key that is there already its record (see ``auth.integration.key``)."""
    env["auth.integration.key"]._reconcile()


def uninstall_hook(env):
    """Remove what the ORM does not know of: hand-made tables, parameters and views.

    Technical users and native API keys stay: integrations go on working without the add-on.
    """
    env.cr.execute(
        "DROP TABLE IF EXISTS auth_attempt_daily_key, auth_integration_password_change"
    )
    env["ir.config_parameter"].sudo().search([("key", "=like", "auth\\_integration.%")]).unlink()
