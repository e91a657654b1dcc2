"""From 19.0.1.3.0: the default number of new log rows per minute is 240, so 60 for an address."""


def migrate(cr, version):
    """Drop the old default, which Odoo stores whenever anybody saves the settings."""
    cr.execute(
        "DELETE FROM ir_config_parameter"
        " WHERE key = 'auth_integration.attempt_new_rows_per_minute' AND value = '120'"
    )
