from odoo import fields, models

from ..tools.delivery.secret_box import GENERATE, HOW_TO, SecretBoxError, secret_box


class ResConfigSettings(models.TransientModel):
    """Read-only facts about the current state on the settings page."""

    _inherit = "res.config.settings"

    auth_integration_encryption_problem = fields.Char(
        compute="_compute_auth_integration_encryption",
        help="Why secrets cannot be encrypted on this server.",
    )
    auth_integration_encryption_command = fields.Char(
        "Command", compute="_compute_auth_integration_encryption"
    )
    auth_integration_guessed_login_count = fields.Integer(
        compute="_compute_auth_integration_issues"
    )
    auth_integration_alerts_fail = fields.Boolean(compute="_compute_auth_integration_issues")
    auth_integration_log_rows = fields.Integer(compute="_compute_auth_integration_log")
    auth_integration_log_oldest = fields.Datetime(compute="_compute_auth_integration_log")

    def _compute_auth_integration_encryption(self):
        try:
            secret_box()
            problem = False
        except SecretBoxError as error:
            problem = str(error).removesuffix(HOW_TO).strip()  # the page has its own instructions
        self.auth_integration_encryption_problem = problem
        self.auth_integration_encryption_command = problem and GENERATE

    def _compute_auth_integration_issues(self):
        issues = self.env["auth.integration.finding"].sudo()
        self.auth_integration_guessed_login_count = issues.search_count([("code", "=", "guessing")])
        self.auth_integration_alerts_fail = bool(
            issues.search_count([("code", "=", "alert_undelivered")], limit=1)
        )

    def _compute_auth_integration_log(self):
        rows, oldest = self.env["auth.integration.metrics"].sudo()._log_size()
        self.auth_integration_log_rows = rows
        self.auth_integration_log_oldest = oldest
