from odoo import fields, models
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import AccessError

from ...tools.monitoring import openmetrics
from ..show_secret import show_secret_action


class ResConfigSettings(models.TransientModel):
    """Show and renew the token with which Prometheus reads metrics."""

    _inherit = "res.config.settings"

    auth_integration_has_metrics_library = fields.Boolean(
        compute="_compute_auth_integration_metrics"
    )
    auth_integration_has_metrics_token = fields.Boolean(compute="_compute_auth_integration_metrics")

    def _compute_auth_integration_metrics(self):
        self.auth_integration_has_metrics_library = openmetrics.has_library()
        self.auth_integration_has_metrics_token = bool(
            self.env["auth.integration.metrics"].sudo()._token()
        )

    @check_identity
    def action_show_metrics_token(self):
        """Show the token with which Prometheus reads metrics."""
        self._check_may_see_metrics_token()
        return self._metrics_token_action(self.env["auth.integration.metrics"].sudo()._token())

    @check_identity
    def action_new_metrics_token(self):
        """Replace the token with which Prometheus reads metrics, and show the new one."""
        self._check_may_see_metrics_token()
        token = self.env["auth.integration.metrics"].sudo()._renew_token()
        return self._metrics_token_action(token)

    def _check_may_see_metrics_token(self):
        if not self.env.is_system():
            raise AccessError(self.env._("Only a Settings administrator can do this."))

    def _metrics_token_action(self, token):
        return show_secret_action(
            self.env, "show_metrics_token", self.env._("Metrics Token"), token
        )
