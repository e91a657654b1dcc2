from odoo import api, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

from ...tools import hook_queries
from ...tools.access import access_rules, allowed_methods
from ...tools.access.access_rules import ANY_METHOD, READ_ONLY
from ...tools.attempt import caller, request_state

# Run once per call of a key with selected operations.
_IS_LISTED = """
    SELECT FROM auth_integration_key_operation
    WHERE key_id = %(key)s AND model = %(model)s AND method = ANY(%(methods)s) AND allowed
"""
MAX_NAMED_OPERATIONS = 10


class AuthIntegrationKey(models.Model):
    """Check whether a key may call a method, and record and explain a rejection.

    The checks are called from ``tools/access/enforcement.py``.
    """

    _inherit = "auth.integration.key"

    @api.model
    def _is_listed(self, key_id, model, method):
        """Return whether a method or a route is on the list of a key now.

        :param model: the name of a model; ``http`` for a route
        """
        methods = [method, ANY_METHOD] if self._is_in_star(model, method) else [method]
        params = {"key": key_id, "model": model, "methods": methods}
        return bool(hook_queries.query(self.env, _IS_LISTED, params))

    @api.model
    def _is_in_star(self, model, method):
        """Return whether the method ``*`` of a model on a list stands for this one."""
        registry = self.env.registry
        return model in registry and allowed_methods.is_in_star(registry[model], method)

    @api.model
    def _is_reading(self, model, method):
        """Return whether a read-only key may call a method without being allowed it by name."""
        registry = self.env.registry
        return model in registry and allowed_methods.is_reading(registry[model], method)

    @api.model
    def _record_refused_operation(self, key, operation):
        """Add a rejected operation to the log, in addition to the successful authentication.

        :param key: :class:`~odoo.addons.auth_integration.tools.key.authenticated_key
            .AuthenticatedKey`
        """
        self.env["auth.attempt"]._emit(self._refused_attempt(key, operation))

    @api.model
    def _refused_attempt(self, key, operation):
        call = request_state.current().service_call
        attempt = caller.new_attempt(
            key.dbname,
            uid=call[2][1] if call and call[0] == "object" else None,
            auth_type=key.auth_type,
            operation=access_rules.operation_name(operation),
        )
        attempt.user_id, attempt.known_login = key.uid, key.login
        attempt.key_id, attempt.key_user_id = key.key_id, key.uid
        attempt.integration_user = key.uid, key.integration_id
        attempt.attribute(key.integration_id, "key")
        attempt.outcome = "failure"
        attempt.note("operation_not_allowed")
        return attempt

    @api.model
    def _operation_error(self, key, operation, unstored=()):
        """Return the error for the client: what was rejected, and what the key may do.

        :param unstored: what in the arguments is the reason, if it is not the operation itself
        :rtype: AccessError
        """
        name = access_rules.operation_name(operation)
        if unstored:
            return AccessError(
                self.env._(
                    "This API key can only read stored records. %(operation)s was rejected because"
                    " of its arguments. Leave out: %(values)s.",
                    operation=name,
                    values=", ".join(repr(value)[:50] for value in unstored[:MAX_NAMED_OPERATIONS]),
                )
            )
        if key.access == READ_ONLY and request_state.current().is_operation_excessive:
            return AccessError(
                self.env._(
                    "This API key can only read data. %(operation)s was rejected because it is not"
                    " known to only read. If it is, its access can allow it by name.",
                    operation=name,
                )
            )
        if key.access == READ_ONLY:
            return AccessError(
                self.env._(
                    "This API key can only read data. %(operation)s was rejected because it"
                    " changes or locks data.",
                    operation=name,
                )
            )
        return AccessError(
            self.env._(
                "This API key cannot call %(operation)s. It can call: %(operations)s.",
                operation=name,
                operations=self._listed_names(key.key_id),
            )
        )

    @api.model
    def _listed_names(self, key_id):
        rows = self.env.execute_query(
            SQL(
                "SELECT model, method, count(*) OVER () FROM auth_integration_key_operation"
                " WHERE key_id = %s AND allowed ORDER BY model, method LIMIT %s",
                key_id,
                MAX_NAMED_OPERATIONS,
            )
        )
        if not rows:
            return self.env._("nothing")
        names = ", ".join(access_rules.operation_name(row[:2]) for row in rows)
        more = rows[0][2] - len(rows)
        if not more:
            return names
        return self.env._("%(names)s and %(count)s more", names=names, count=more)
