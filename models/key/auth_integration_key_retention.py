from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools import settings

GC_BATCH = 200


class AuthIntegrationKey(models.Model):
    """How long ended keys are kept, so that calls with them are still recognised."""

    _inherit = "auth.integration.key"

    @api.autovacuum
    def _gc_ended_keys(self):
        """Delete a batch of keys that ended long ago, and their rotations with them.

        A key that still has its native row is kept; otherwise it would be imported again.

        :return: number of keys deleted, and 1 if there may be more, for the autovacuum
        """
        days = settings.number(self.env, "key_keep_ended_days")
        rows = self.env.execute_query(
            SQL(
                """
                SELECT k.id FROM auth_integration_key k
                WHERE k.ended_at < %s AND NOT EXISTS (
                    SELECT FROM res_users_apikeys n
                    WHERE n.id = k.apikey_id AND CASE WHEN n.key = k.hash THEN TRUE END)
                ORDER BY k.ended_at, k.id LIMIT %s
                """,
                fields.Datetime.now() - timedelta(days=days),
                GC_BATCH,
            )
        )
        self.sudo().browse(id_ for (id_,) in rows).unlink()
        return len(rows), int(len(rows) == GC_BATCH)
