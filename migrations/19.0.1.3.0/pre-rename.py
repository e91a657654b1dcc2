from odoo.tools.sql import column_exists, rename_column

RENAMED = (
    ("auth_integration_key", "adopted", "imported"),
    ("auth_integration_key", "reuse_told_at", "reuse_notified_at"),
    ("auth_integration_rotation", "stragglers_told_at", "late_callers_notified_at"),
)


def migrate(cr, version):
    """Rename columns to the current names of their fields."""
    for table, old, new in RENAMED:
        if column_exists(cr, table, old) and not column_exists(cr, table, new):
            rename_column(cr, table, old, new)
