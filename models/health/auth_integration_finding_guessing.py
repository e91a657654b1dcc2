from datetime import timedelta

from odoo import fields, models, tools

from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.moment import moment_text

# The same period as in the SQL of the finding.
LOOK_BACK = timedelta(hours=1)
MAX_ADDRESSES = 3


class AuthIntegrationFinding(models.Model):
    """Findings about logins whose password is being guessed."""

    _inherit = "auth.integration.finding"

    def _guessing_values(self):
        """Return, for the message, how often, from where and since when a password was guessed."""
        self.ensure_one()
        user = self.sudo().user_id
        since = fields.Datetime.now() - LOOK_BACK
        domain = [
            ("cause", "=", "throttled"),
            ("user_id", "=", user.id) if user else ("user_id", "!=", False),
            ("last_seen", ">", max(since, user.sign_in_unlocked_at or since)),
        ]
        groups = self.env["auth.attempt"].sudo()._read_group(
            domain, ["remote_addr"], ["count:sum"], order="count:sum desc"
        )
        names = [address for address, _count in groups if address not in (False, COLLAPSED)]
        shown = names[:MAX_ADDRESSES]
        if len(shown) < len(groups):
            shown.append(self.env._("more addresses"))
        return {
            "login": self.sudo().user_id.login or self.env._("many users"),
            "count": int(sum(count for _address, count in groups)),
            "addresses": tools.format_list(self.env, shown),
            "time": self.since and moment_text(self.env, self.since),
        }

    def action_unlock_sign_in(self):
        """Let the user of this finding sign in again."""
        self.ensure_one()
        return self.user_id.action_unlock_sign_in()
