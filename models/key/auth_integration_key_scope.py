from odoo import models
from odoo.tools import SQL

from ...tools.health import probe
from ...tools.key import native_scope


class AuthIntegrationKey(models.Model):
    """Set the scope of native rows so that keys with rules fail closed; see :mod:`native_scope`."""

    _inherit = "auth.integration.key"

    def _write_native_scope(self):
        """Write the scope of these keys to their native rows, in this transaction."""
        if self:
            self._write_native_scopes(SQL("k.id IN %s", tuple(self.ids)))

    def _write_native_scopes(self, condition=None):
        """Write to native rows the scope that the current rules require.

        :param condition: SQL about ``n`` (the native row), ``k`` (its record) and ``i`` (the
            integration of its user); all rows without it
        :return: the number of rows changed
        """
        self.env["auth.integration"].flush_model([*native_scope.RULE_FIELDS, "user_id"])
        self.flush_model(["scope", "apikey_id", "access", "access_mode", "allowed_networks"])
        self.env.cr.execute(
            SQL(
                """
                UPDATE res_users_apikeys n
                SET scope = wanted.scope
                FROM (
                    SELECT DISTINCT ON (n.id) n.id,
                        CASE WHEN (%(has_rules)s OR %(key_has_rules)s)
                                  AND k.scope IS DISTINCT FROM %(probe)s
                             THEN %(restricted)s ELSE k.scope END AS scope
                    FROM res_users_apikeys n
                    JOIN auth_integration_key k ON k.apikey_id = n.id AND k.hash = n.key
                    LEFT JOIN auth_integration i ON i.user_id = n.user_id
                    WHERE %(condition)s
                    ORDER BY n.id, k.id DESC
                ) wanted
                WHERE wanted.id = n.id AND n.scope IS DISTINCT FROM wanted.scope
                """,
                has_rules=SQL(native_scope.HAS_RULES_SQL.format(i="i")),
                key_has_rules=SQL(native_scope.KEY_HAS_RULES_SQL.format(k="k")),
                probe=probe.SCOPE,  # which stock Odoo rejects anyway
                restricted=native_scope.RESTRICTED,
                condition=condition or SQL("TRUE"),
            ),
            log_exceptions=False,  # a lock timeout is no error: it is tried again
        )
        changed = self.env.cr.rowcount
        if changed:
            self.env["res.users.apikeys"].invalidate_model(["scope"])
        return changed

    def _follow_native_scope_sql(self, condition):
        """Return the statement that copies native scopes set by SQL to the records.

        An empty native scope is ignored, because it would allow more than any scope.
        """
        return SQL(
            """
            UPDATE auth_integration_key k
            SET scope = n.scope
            FROM res_users_apikeys n
            WHERE k.ended_at IS NULL AND n.id = k.apikey_id AND n.key = k.hash
              AND n.scope <> %s AND k.scope IS DISTINCT FROM n.scope AND %s
            """,
            native_scope.RESTRICTED,
            condition,
        )

    def _collide_with_issuing(self, user_ids):
        """Make issuing a key conflict with concurrent rule changes or a revocation of all keys.

        Neither transaction sees what the other writes: the native row of the new key would lack the
        rules, or the key would survive the revocation. The integration is updated, not only locked,
        so that the later transaction is retried.
        """
        if user_ids:
            self.env.cr.execute(
                SQL(
                    "UPDATE auth_integration SET user_id = user_id WHERE user_id IN %s",
                    tuple(set(user_ids)),
                ),
                log_exceptions=False,  # a retry is no error
            )
