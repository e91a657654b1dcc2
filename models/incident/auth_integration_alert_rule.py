from odoo import api, fields, models

from ...tools.incident import kinds


class AuthIntegrationAlertRule(models.Model):
    """Whether and to whom incidents of a kind are reported; one row per kind, edited as a list."""

    _name = "auth.integration.alert.rule"
    _description = "Alert Rule"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "sequence, id"
    _rec_name = "kind"

    sequence = fields.Integer(default=10)
    kind = fields.Selection(
        lambda self: self.env["auth.integration.incident"]._selection_kind(),
        "Incident",
        required=True,
        readonly=True,
    )
    active = fields.Boolean("Enabled", default=True)
    recipients = fields.Selection(
        [
            ("owners", "Owners"),
            ("managers", "Administrators"),
            ("both", "Owners and administrators"),
        ],
        required=True,
        default="owners",
        help="Administrators of integrations also receive alerts about incidents that stay open and"
        " about integrations without a reachable owner.",
    )
    muted_until = fields.Datetime(help="No alerts of this kind are sent until then.")

    _kind_uniq = models.Constraint("unique (kind)", "There is one rule for each kind of incident.")

    @api.model
    def _by_kind(self):
        """Return the recipients by kind of incident; kinds that are off or muted are left out."""
        now = fields.Datetime.now()
        rules = {
            rule.kind: rule for rule in self.sudo().with_context(active_test=False).search([])
        }
        found = {}
        for code, kind in kinds.KINDS.items():
            rule = rules.get(code)
            if rule is None:
                found[code] = kind.recipients
            elif rule.active and not (rule.muted_until and rule.muted_until > now):
                found[code] = rule.recipients
        return found
