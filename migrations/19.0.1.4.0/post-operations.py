"""From 19.0.1.3.0: ``*`` no longer stands for methods of models that are code or access rights."""

from odoo import SUPERUSER_ID, api

from odoo.addons.auth_integration.tools.access import allowed_methods


def migrate(cr, version):
    """Allow such a list the methods that it was used for instead; an issue says so."""
    registry = api.Environment(cr, SUPERUSER_ID, {}).registry
    cr.execute(
        "SELECT DISTINCT model FROM auth_integration_key_operation"
        " WHERE method = '*' AND model <> '*' AND allowed"
    )
    models = [
        model
        for (model,) in cr.fetchall()
        if model not in registry or allowed_methods.has_code_or_rights(registry[model])
    ]
    cr.execute(
        """
        WITH narrowed AS (
            UPDATE auth_integration_key_operation SET allowed = FALSE
            WHERE method = '*' AND allowed AND model = ANY(%s)
            RETURNING key_id, model
        ), named AS (
            UPDATE auth_integration_key_operation o SET allowed = TRUE
            FROM narrowed n
            WHERE o.key_id = n.key_id AND o.model = n.model AND o.method <> '*' AND o.use_count > 0
        )
        UPDATE auth_integration_key SET access_narrowed_at = now() AT TIME ZONE 'UTC'
        WHERE id IN (SELECT key_id FROM narrowed) AND access = 'listed'
        """,
        [models],
    )
