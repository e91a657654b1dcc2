from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

# The fields by which the form offers to filter.
FILTERS = ("remote_addr", "key_id", "user_id", "integration_id", "login", "cause")
MAX_RELATED = 20
MANAGER = "auth_integration.auth_integration_group_manager"


class AuthAttempt(models.Model):
    """Find other attempts that are related to an attempt."""

    _inherit = "auth.attempt"

    same_reference_ids = fields.One2many(
        "auth.attempt", string="Also Had This Reference", compute="_compute_same_reference_ids"
    )

    other_had_reference = fields.Boolean(
        compute="_compute_other_had_reference",
        help="A call that identified no integration, which only administrators see.",
    )

    @api.depends("reference")
    @api.depends_context("uid")
    def _compute_same_reference_ids(self):
        """Find the other attempts with the same reference.

        Attempts of one client in the same minute share a reference, whatever their causes.
        """
        for row in self:
            row.same_reference_ids = row.reference and self.search(
                [("reference", "=", row.reference), ("id", "!=", row.id)], limit=MAX_RELATED
            )

    @api.depends("reference")
    @api.depends_context("uid")
    def _compute_other_had_reference(self):
        """Determine whether the reader may have searched for a call that they cannot see.

        It is about calls without an integration only: of another integration's calls, an owner
        does not even learn that they exist.
        """
        sees_all = self.env.su or self.env.user.has_group(MANAGER)
        for row in self:
            row.other_had_reference = bool(row.reference) and not sees_all and bool(
                self.sudo().search_count(
                    [("reference", "=", row.reference), ("integration_id", "=", False)], limit=1
                )
            )

    def action_view_same(self):
        """Show the attempts with the same value of a field, named by ``same`` in the context."""
        self.ensure_one()
        self.check_access("read")
        name = self.env.context.get("same")
        if name not in FILTERS:
            name = FILTERS[0]
        # By SQL, because a field with a deleted record reads as empty, but the column has its id.
        [[value]] = self.env.execute_query(
            SQL("SELECT %s FROM auth_attempt WHERE id = %s", SQL.identifier(name), self.id)
        )
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "auth_integration.auth_attempt_action"
        )
        action.pop("path", None)  # it would lose the domain on reload
        action.pop("display_name", None)  # the client would show it instead of the name
        return action | {
            "name": self.env._("Attempts: %(value)s", value=self._shown_value(name) or value),
            "domain": list(Domain(name, "=", value)),
            "context": {"auth_attempt_row_limit": 20000},
        }

    def _shown_value(self, name):
        """Return the value of a field as the form shows it; empty for a deleted record."""
        field, shown = self._fields[name], self[name]
        if field.relational:
            shown = shown.sudo().exists()
        return field.convert_to_export(shown, self)
