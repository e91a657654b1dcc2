from odoo import api, models

# No foreign key holds these: what they name may be gone, and the log stays as it was written.
LINKS = ("user_id", "integration_id", "key_id")


class AuthAttempt(models.Model):
    """Show rows of the log whose user, integration or key was deleted since.

    The web client asks for the name of each linked record and would fail on the whole list.
    """

    _inherit = "auth.attempt"

    @api.depends("reference", "cause")
    def _compute_display_name(self):
        causes = dict(self._selection_cause())
        for row in self:
            row.display_name = row.reference or causes.get(row.cause) or self.env._("Accepted")

    def _fetch_query(self, query, fields):
        """Extend :meth:`BaseModel._fetch_query`: a link to a deleted record reads as empty.

        The column keeps the number, for searches and for the dump of the log.
        """
        fetched = super()._fetch_query(query, fields)
        for field in fields:
            if field.name in LINKS:
                linked = fetched.mapped(field.name)
                for gone in linked - linked.exists():
                    field._update_cache(fetched.filtered_domain([(field.name, "=", gone.id)]), None)
        return fetched

    def _web_read_group_groupby_formatter(self, groupby_spec, values):
        """Extend the method of ``web``: a group of a deleted record has its number as name."""
        formatter = super()._web_read_group_groupby_formatter(groupby_spec, values)
        if groupby_spec not in LINKS:
            return formatter
        linked = self.env[self._fields[groupby_spec].comodel_name].browse(
            value.id for value in values if value
        )
        existing = linked.exists()

        def formatter_of_deleted(value):
            if not value or value in existing:
                return formatter(value)
            name = self.env._("Deleted (number %(number)s)", number=value.id)
            return (value.id, name), [(groupby_spec, "=", value.id)]

        return formatter_of_deleted
