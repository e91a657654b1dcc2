from odoo import api, fields, models

from ...tools.access.access_rules import FULL, LISTED, READ_ONLY, REPORT


class AuthIntegrationKey(models.Model):
    """Summarize in a few words what a key may do, for every view that shows keys."""

    _inherit = "auth.integration.key"

    access_summary = fields.Char(
        compute="_compute_access_summary", compute_sudo=True
    )

    @api.depends("access", "access_mode", "operation_ids.allowed")
    @api.depends_context("lang")
    def _compute_access_summary(self):
        counts = dict(
            self.env["auth.integration.key.operation"]._read_group(
                [
                    ("key_id", "in", self.filtered(lambda key: key.access != FULL).ids),
                    ("allowed", "=", True),
                ],
                ["key_id"],
                ["__count"],
            )
        )
        for key in self:
            key.access_summary = key._summarize_access(counts.get(key._origin, 0))

    def _summarize_access(self, count):
        """Summarize what this key may do.

        :param count: number of allowed operations
        """
        if self.access == READ_ONLY:
            text = self.env._("Read only")
            if count:
                text = self.env._("Read only, and %(count)s operations", count=count)
        elif self.access == LISTED:
            text = (
                self.env._("1 operation")
                if count == 1
                else self.env._("%(count)s operations", count=count)
            )
        else:
            text = self.env._("All rights of the user")
        if self.access != FULL and self.access_mode == REPORT:
            text = self.env._("%(access)s (report only)", access=text)
        return text
