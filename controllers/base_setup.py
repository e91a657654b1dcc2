from odoo import http
from odoo.addons.base_setup.controllers.main import BaseSetup
from odoo.http import request
from odoo.tools import SQL

SHOWN = 10  # as in core


class BaseSetupController(BaseSetup):
    """Correct the list of pending invitations on the settings page."""

    @http.route()
    def base_setup_data(self, **kw):
        """Extend the data of the settings page: integration users are not pending invitations.

        Core counts every user who has never logged in as a pending invitation.
        """
        data = super().base_setup_data(**kw)
        rows = request.env.execute_query(
            SQL(
                """
                SELECT u.id, u.login, count(*) OVER () FROM res_users u
                WHERE u.active AND NOT u.share
                  AND NOT EXISTS (SELECT FROM res_users_log l WHERE l.create_uid = u.id)
                  AND NOT EXISTS (SELECT FROM auth_integration i WHERE i.user_id = u.id)
                ORDER BY u.id DESC LIMIT %s
                """,
                SHOWN,
            )
        )
        users = request.env["res.users"].browse(row[0] for row in rows)
        return data | {
            "pending_count": rows[0][2] if rows else 0,
            "pending_users": [row[:2] for row in rows],
            "action_pending_users": users._action_show(),
        }
