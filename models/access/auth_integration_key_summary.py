from odoo import api, fields, models

from ...tools.access.access_rules import FULL, LISTED, READ_ONLY, REPORT


class AuthIntegrationKey(models.Model):
    """What a key may do, in a few words: shown wherever a key is."""

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
                    ("key_id", "in", self.filtered(lambda key: key.access == LISTED).ids),
                    ("allowed", "=", True),
                ],
                ["key_id"],
                ["__count"],
            )
        )
        for key in self:
            key.access_summary = key._summarize_access(counts.get(key._origin, 0))

    def _summarize_access(self, count):
        """What one key may do, in words.

        :param count: number of operations that are allowed
        """
        if self.access == READ_ONLY:
            text = self.env._("Read only")
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
