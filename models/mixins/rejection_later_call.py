from odoo import fields, models
from odoo.tools import SQL

from ...tools.health import probe
from ...tools.integration import networks
from ...tools.key.key_state import LIVE_SQL


class RejectionMixin(models.AbstractModel):
    """Conclude from later calls of the rejected host that the reason is gone."""

    _inherit = "auth.integration.rejection.mixin"

    has_sent_valid_key = fields.Boolean(
        compute="_compute_has_sent_valid_key",
        help="The rejected host has sent a key since that works once the rules allow it.",
    )

    def _compute_has_sent_valid_key(self):
        """Look up for all rows at once whether a later call identified itself.

        That call was rejected too, but not for the same reason; successes are looked up elsewhere.
        """
        wanted = {
            row.id: (integration.id, row.remote_addr, row._last_rejected_at())
            for row in self
            if networks.normalize(row.remote_addr)
            and (integration := row._rejected_integration())
        }
        found = set()
        if wanted:
            integrations, addresses, moments = zip(*wanted.values(), strict=True)
            rows = self.env.execute_query(
                SQL(
                    f"""
                    SELECT wanted.id
                    FROM unnest(%s::int[], %s::int[], %s::text[], %s::timestamp[])
                        AS wanted(id, integration_id, address, rejected_at)
                    WHERE EXISTS (
                        SELECT FROM auth_integration_key k
                        JOIN auth_attempt a ON a.key_id = k.id
                        WHERE k.integration_id = wanted.integration_id
                          AND {LIVE_SQL.format(k="k")}
                          AND a.outcome = 'failure' AND a.remote_addr = wanted.address
                          AND a.last_seen > wanted.rejected_at
                          AND NOT {probe.IS_DIAGNOSTIC})
                    """,
                    list(wanted), list(integrations), list(addresses), list(moments),
                )
            )
            found = {id_ for [id_] in rows}
        for row in self:
            row.has_sent_valid_key = row.id in found

    def _resolution_by_later_call(self):
        """Return a text if a later call succeeded, or at least identified itself."""
        if self._has_succeeded():
            return self.env._("The external system has called successfully since.")
        if self.has_sent_valid_key and (self._is_about_key() or not self._known_key()):
            return self.env._("The external system has sent a valid key since.")
        return False
