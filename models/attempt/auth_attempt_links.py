import functools

from odoo import models
from odoo.fields import Domain


class AuthAttemptLinksMixin(models.AbstractModel):
    """Show rows whose user, integration or key has since been deleted.

    These columns have no foreign keys: the log stays as it was written when a record is deleted.
    The web client reads the name of each linked record and would fail to show the whole list.
    """

    _name = "auth.attempt.links.mixin"
    _description = "Links to Deleted Records"

    def _fetch_query(self, query, fields):
        """Extend :meth:`BaseModel._fetch_query`: a link to a deleted record reads as empty.

        The column keeps the id, for searches and for the dump of the log.
        """
        fetched = super()._fetch_query(query, fields)
        for field in fields:
            if field.type == "many2one":
                linked = fetched.mapped(field.name)
                for gone in linked - linked.exists():
                    field._update_cache(fetched.filtered_domain([(field.name, "=", gone.id)]), None)
        return fetched

    def _web_read_group_groupby_formatter(self, groupby_spec, values):
        """Extend the method of ``web``: name the group of a deleted record by its id.

        Name and domain are made once per value, because values repeat: the same date occurs, for
        example, in the groups of every cause.
        """
        formatter = super()._web_read_group_groupby_formatter(groupby_spec, values)
        field = self._fields.get(groupby_spec)
        deleted = ()
        if field is not None and field.type == "many2one":
            linked = self.env[field.comodel_name].browse(value.id for value in values if value)
            deleted = linked - linked.exists()

        @functools.cache
        def format_once(value):
            if value and value in deleted:
                name = self.env._("Deleted (number %(number)s)", number=value.id)
                return (value.id, name), Domain(groupby_spec, "=", value.id)
            name, domain = formatter(value)
            return name, Domain(domain)

        return format_once
