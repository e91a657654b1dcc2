"""Gives an older build of Odoo 19.0 the module function with which newer ones verify API keys.

It must be loaded server-wide, before anything else looks for the function.
"""

from odoo.addons.base.models import res_users
from odoo.tools import SQL


def _check_apikey_credentials(cr, *, scope, key, table="res_users_apikeys"):
    assert scope and key, "scope and key required"
    cr.execute(
        SQL(
            "SELECT k.user_id, k.key FROM %s k JOIN res_users u ON u.id = k.user_id"
            " WHERE u.active AND k.index = %s AND (k.scope IS NULL OR k.scope = %s)"
            " AND (k.expiration_date IS NULL OR k.expiration_date >= now() AT TIME ZONE 'utc')",
            SQL.identifier(table),
            key[: res_users.INDEX_SIZE],
            scope,
        )
    )
    for user_id, stored_hash in cr.fetchall():
        if res_users.KEY_CRYPT_CONTEXT.verify(key, stored_hash):
            return user_id
    return None


def _check_credentials(self, *, scope, key):
    return res_users._check_apikey_credentials(
        self.env.cr, scope=scope, key=key, table=self._table
    )


if not hasattr(res_users, "_check_apikey_credentials"):
    res_users._check_apikey_credentials = _check_apikey_credentials
    res_users.ResUsersApikeys._check_credentials = _check_credentials
