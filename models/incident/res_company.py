from odoo import api, fields, models

from ..mixins.fresh_identity import require_fresh_identity


class ResCompany(models.Model):
    """A webhook for alerts about integrations that have no webhook of their own."""

    _name = "res.company"
    _inherit = [
        "res.company",
        "auth.integration.alert.target.mixin",
        "auth.integration.signing.secret.mixin",
    ]

    _webhook_urls = ("alert_url",)
    _secret_purposes = {"alert_secret": "alert:res.company"}

    alert_url = fields.Char(groups="base.group_system")
    alert_secret_set_at = fields.Datetime(groups="base.group_system")

    @api.model_create_multi
    def create(self, vals_list):
        companies = super().create(vals_list)
        companies._check_new_alert_targets(set())
        return companies

    def write(self, vals):
        before = set(self.sudo().mapped("alert_url")) if "alert_url" in vals else None
        result = super().write(vals)
        if before is not None:
            self._check_new_alert_targets(before)
        return result

    def _check_new_alert_targets(self, before):
        """Require an identity check when alerts are sent to a new URL."""
        if set(self.sudo().mapped("alert_url")) - before - {False}:
            require_fresh_identity(self.env)
