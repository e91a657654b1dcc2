def migrate(cr, version):
    """Rename the column by which a key is known to have been made elsewhere."""
    cr.execute(
        "SELECT FROM information_schema.columns"
        " WHERE table_name = 'auth_integration_key' AND column_name = 'adopted'"
    )
    if cr.rowcount:
        cr.execute("ALTER TABLE auth_integration_key RENAME COLUMN adopted TO imported")
