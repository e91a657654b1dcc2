from odoo import api, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

from ...tools import hook_queries
from ...tools.access import access_rules
from ...tools.access.access_rules import ANY_METHOD, READ_ONLY
from ...tools.access.other_code import RUNS_OTHER_CODE
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
        methods = [method] if self._runs_other_code(model, method) else [method, ANY_METHOD]
        params = {"key": key_id, "model": model, "methods": methods}
        return bool(hook_queries.query(self.env, _IS_LISTED, params))

    @api.model
    def _runs_other_code(self, model, method):
        definers = RUNS_OTHER_CODE.get(method)
        if not definers or model not in self.env.registry:
            return False
        return any(
            getattr(cls, "_name", None) in definers for cls in self.env.registry[model].mro()
        )

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
    def _operation_error(self, key, operation):
        """Return the error for the client: what was rejected, and what the key may do.

        :rtype: AccessError
        """
        name = access_rules.operation_name(operation)
        if key.access == READ_ONLY and self._runs_other_code(*operation):
            return AccessError(
                self.env._(
                    "This API key can only read data. %(operation)s was rejected because it can"
                    " run other code.",
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
