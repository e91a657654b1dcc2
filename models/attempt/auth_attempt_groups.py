from odoo import api, fields, models
from odoo.fields import Domain


class AuthAttempt(models.Model):
    """Group a log of millions of rows fast enough for interactive use.

    The actions set ``auth_attempt_row_limit`` in their context: groups and charts then cover only
    that many of the newest matching rows, and any others of the same moment as the last of these.
    Without it, all matching rows are grouped. ``auth_attempt_report.py`` counts without a limit.
    """

    _inherit = "auth.attempt"

    @api.model
    @api.readonly
    def formatted_read_group(self, domain, groupby=(), *args, **kwargs):
        """Extend the method of ``web``, which serves lists and graphs, with the row limit."""
        newest, unlimited = self._row_limit(domain)
        groups = super(AuthAttempt, unlimited).formatted_read_group(
            Domain(domain) & newest, groupby, *args, **kwargs
        )
        return self._within(newest, groups)

    @api.model
    @api.readonly
    def formatted_read_grouping_sets(self, domain, grouping_sets, *args, **kwargs):
        """Extend the method of ``web``, which serves pivots, with the row limit."""
        newest, unlimited = self._row_limit(domain)
        sets = super(AuthAttempt, unlimited).formatted_read_grouping_sets(
            Domain(domain) & newest, grouping_sets, *args, **kwargs
        )
        return [self._within(newest, groups) for groups in sets]

    def _formatted_read_group_with_length(
        self, domain, groupby, aggregates, offset=0, limit=None, order=None
    ):
        """Replace the method of ``web``, which reads every group just to count them."""
        newest, unlimited = self._row_limit(domain)
        domain = Domain(domain) & newest
        groups = unlimited.formatted_read_group(
            domain, groupby, aggregates, offset=offset, limit=limit, order=order
        )
        length = offset + len(groups)
        if limit and len(groups) == limit:
            length = unlimited._count_groups(domain, groupby)
        return self._within(newest, groups), length

    def _count_groups(self, domain, groupby):
        [spec] = groupby
        if spec not in self._fields:
            return len(self._read_group(domain, groupby))
        wanted = [f"{spec}:count_distinct", f"{spec}:count", "__count"]
        [[values, filled, rows]] = self._read_group(domain, [], wanted)
        return values + (filled < rows)

    def _row_limit(self, domain):
        """Return the condition that limits the rows of ``domain``, and this model without limit."""
        unlimited = self.with_context(auth_attempt_row_limit=False)
        limit = self.env.context.get("auth_attempt_row_limit")
        if type(limit) is not int or not 0 < limit < 2**31:  # a caller may send anything there
            return Domain.TRUE, unlimited
        oldest = self.search_fetch(domain, ["last_seen"], offset=limit - 1, limit=1)
        if not oldest:
            return Domain.TRUE, unlimited
        return Domain("last_seen", ">=", fields.Datetime.to_string(oldest.last_seen)), unlimited

    @staticmethod
    def _within(newest, groups):
        """Make each group, when it is opened, show only the rows that were counted."""
        if not newest.is_true():
            for group in groups:
                group["__extra_domain"] = [*group["__extra_domain"], *newest]
        return groups
