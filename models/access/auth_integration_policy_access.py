from odoo import fields, models

from .auth_integration_key_access import ACCESS


class AuthIntegrationPolicy(models.Model):
    """The default access of keys issued under a policy."""

    _inherit = "auth.integration.policy"

    default_access = fields.Selection(
        ACCESS,
        "Access of New Keys",
        default="full",
        required=True,
        help="Access of a new key unless you choose another access. Existing keys do not change.",
    )

    def init(self):
        """Set a database default for the column, because policies may be inserted by SQL."""
        self.env.cr.execute(
            "ALTER TABLE auth_integration_policy ALTER COLUMN default_access SET DEFAULT 'full'"
        )
        return super().init()
