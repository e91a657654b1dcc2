"""From 19.0.1.3.0: a key knows the key with which it was obtained."""


def migrate(cr, version):
    """Fill it in for the keys that an external system fetched itself, by ``rotate``."""
    cr.execute(
        """
        UPDATE auth_integration_key
        SET obtained_with_id = replaces_id
        WHERE replaces_id IS NOT NULL AND integration_id IS NOT NULL AND issued_by = user_id
        """
    )
