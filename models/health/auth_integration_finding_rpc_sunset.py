from odoo import models
from odoo.exceptions import UserError
from odoo.tools import SQL, i18n

from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.health.findings import OLD_PROTOCOLS
from ...tools.key.key_policy import KEY_CHANNELS

MAX_PROGRAMS = 3


class AuthIntegrationFinding(models.Model):
    """Findings about the protocols that Odoo will remove, whether still in use or not any more."""

    _inherit = "auth.integration.finding"

    def _rpc_sunset_values(self):
        """Return, for the message, who calls and with which programs."""
        self.ensure_one()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT user_agent, max(last_seen) FROM auth_integration_rpc_use
                WHERE user_id = %s AND last_seen > (now() AT TIME ZONE 'UTC') - interval '30 days'
                GROUP BY user_agent ORDER BY max(last_seen) DESC
                """,
                self.sudo().user_id.id,
            )
        )
        programs = [
            self.env._(
                "%(program)s (last call on %(day)s)",
                program=self._program_name(agent),
                day=self._format_day(last_seen),
            )
            for agent, last_seen in rows[:MAX_PROGRAMS]
        ]
        if len(rows) > MAX_PROGRAMS:
            programs.append(
                self.env._("%(count)s more systems", count=len(rows) - MAX_PROGRAMS)
            )
        return {
            "who": self.sudo().integration_id.name or self.sudo().user_id.login or "",
            "programs": i18n.format_list(self.env, programs) if programs else "",
        }

    def _program_name(self, agent):
        if agent == COLLAPSED:
            return self.env._("other systems")
        return agent or self.env._("an unnamed system")

    def action_close_old_protocols(self):
        """Stop accepting XML-RPC and JSON-RPC for the integration of this finding.

        :raise AccessError: the current user may not change the integration
        :raise UserError: it still uses one of them, or no other protocol is allowed
        """
        self.ensure_one()
        if self.code != "rpc_sunset_ready":
            raise UserError(self.env._("This integration still uses XML-RPC or JSON-RPC."))
        integration = self.integration_id
        allowed = (integration._allowed_channel_set() or set(KEY_CHANNELS)) - OLD_PROTOCOLS
        if not allowed:  # an empty set would allow all protocols
            raise UserError(self.env._("Allow JSON-2 on the integration first."))
        integration.allowed_channels = ",".join(
            channel for channel in KEY_CHANNELS if channel in allowed
        )
        return True
