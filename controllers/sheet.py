from odoo import http
from odoo.http import request


class ConnectionSheetController(http.Controller):
    """The printable connection sheet of an integration."""

    @http.route(
        "/auth_integration/sheet/<int:integration_id>", type="http", auth="user", readonly=True
    )
    def sheet(self, integration_id, **_ignored):
        """Show the sheet to users who may see the integration.

        :raise NotFound: the current user can see no integration with this id
        """
        integration = (
            request.env["auth.integration"]
            .with_context(active_test=False)
            .search([("id", "=", integration_id)])
        )
        if not integration:
            raise request.not_found()
        return request.render(
            "auth_integration.connection_sheet", integration._connection_sheet_values()
        )
