from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

# What the form offers to filter by.
FILTERS = ("remote_addr", "key_id", "user_id", "integration_id", "login", "cause")
MAX_RELATED = 20


class AuthAttempt(models.Model):
    """What leads from one attempt to others."""

    _inherit = "auth.attempt"

    same_reference_ids = fields.One2many(
        "auth.attempt", string="Also Had This Reference", compute="_compute_same_reference_ids"
    )

    @api.depends("reference")
    def _compute_same_reference_ids(self):
        """The calls of one caller in one minute share a reference, whatever their causes."""
        for row in self:
            row.same_reference_ids = row.reference and self.search(
                [("reference", "=", row.reference), ("id", "!=", row.id)], limit=MAX_RELATED
            )

    def action_view_same(self):
        """Show the attempts that share one value with this one: ``same`` in the context."""
        self.ensure_one()
        self.check_access("read")
        name = self.env.context.get("same")
        if name not in FILTERS:
            name = FILTERS[0]
        # Of a record that was deleted since, the log has the number.
        [[value]] = self.env.execute_query(
            SQL("SELECT %s FROM auth_attempt WHERE id = %s", SQL.identifier(name), self.id)
        )
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "auth_integration.auth_attempt_action"
        )
        action.pop("path", None)  # which would lose the domain on reload
        action.pop("display_name", None)  # which the client would show instead of the name
        return action | {
            "name": self.env._("Attempts: %(value)s", value=self._shown_value(name) or value),
            "domain": list(Domain(name, "=", value)),
            "context": {"auth_attempt_row_limit": 20000},
        }

    def _shown_value(self, name):
        """The value of a column as the form shows it; empty for a record that was deleted since."""
        field, shown = self._fields[name], self[name]
        if field.relational:
            shown = shown.sudo().exists()
        return field.convert_to_export(shown, self)
