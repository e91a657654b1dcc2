from odoo import fields, models

from .auth_integration_key_access import ACCESS


class AuthIntegrationPolicy(models.Model):
    """What the keys issued under a policy may do, unless whoever issues one chooses."""

    _inherit = "auth.integration.policy"

    default_access = fields.Selection(
        ACCESS,
        "Access of New Keys",
        default="full",
        required=True,
        help="Access of a new key unless you choose another access. Existing keys do not change.",
    )

    def init(self):
        """Give the column a default in the database: a policy may be made by SQL."""
        self.env.cr.execute(
            "ALTER TABLE auth_integration_policy ALTER COLUMN default_access SET DEFAULT 'full'"
        )
        return super().init()
