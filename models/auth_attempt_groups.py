import functools
import itertools

from odoo import api, fields, models
from odoo.fields import Domain

PERIOD = ("last_seen", "first_seen")


class AuthAttempt(models.Model):
    """Group a log of millions of rows while somebody waits for it.

    The screens say in their context, as ``auth_attempt_newest``, of how many rows groups and charts
    are at most: the newest of those that match. Without it, all that match are grouped; and so they
    are within a period, if the groups are those of which there are totals.
    """

    _inherit = "auth.attempt"

    @api.model
    @api.readonly
    def formatted_read_group(self, domain, groupby=(), *args, **kwargs):
        """Extend the method of ``web``: lists and graphs."""
        newest, everywhere = self._newest(domain, groupby)
        groups = super(AuthAttempt, everywhere).formatted_read_group(
            Domain(domain) & newest, groupby, *args, **kwargs
        )
        return self._within(newest, groups)

    @api.model
    @api.readonly
    def formatted_read_grouping_sets(self, domain, grouping_sets, *args, **kwargs):
        """Extend the method of ``web``: pivots."""
        newest, everywhere = self._newest(domain, [*itertools.chain(*grouping_sets)])
        sets = super(AuthAttempt, everywhere).formatted_read_grouping_sets(
            Domain(domain) & newest, grouping_sets, *args, **kwargs
        )
        return [self._within(newest, groups) for groups in sets]

    def _formatted_read_group_with_length(
        self, domain, groupby, aggregates, offset=0, limit=None, order=None
    ):
        """Replace the method of ``web``, which reads every group in order to count them."""
        newest, everywhere = self._newest(domain, groupby)
        domain = Domain(domain) & newest
        groups = everywhere.formatted_read_group(
            domain, groupby, aggregates, offset=offset, limit=limit, order=order
        )
        length = offset + len(groups)
        if limit and len(groups) == limit:
            length = everywhere._count_groups(domain, groupby)
        return self._within(newest, groups), length

    def _web_read_group_groupby_formatter(self, groupby_spec, values):
        """Extend the method of ``web``: an hour stands in the group of each cause, and is put into
        the user's words once."""
        return functools.cache(super()._web_read_group_groupby_formatter(groupby_spec, values))

    def _count_groups(self, domain, groupby):
        [spec] = groupby
        if spec not in self._fields or self._are_dimensions(groupby):
            return len(self._read_group(domain, groupby))
        wanted = [f"{spec}:count_distinct", f"{spec}:count", "__count"]
        [[values, filled, rows]] = self._read_group(domain, [], wanted)
        return values + (filled < rows)

    def _newest(self, domain, groupby):
        """What bounds an overview over ``domain``, and this model without any bound."""
        everywhere = self.with_context(auth_attempt_newest=False)
        most = self.env.context.get("auth_attempt_newest")
        if type(most) is not int or not 0 < most < 2**31:  # a caller may say anything there
            most = None
        conditions = Domain(domain).iter_conditions()
        is_of_period = any(condition.field_expr in PERIOD for condition in conditions)
        if not most or (is_of_period and self._are_dimensions(groupby)):
            return Domain.TRUE, everywhere
        oldest = self.search_fetch(domain, ["last_seen"], offset=most - 1, limit=1)
        if not oldest:
            return Domain.TRUE, everywhere
        return Domain("last_seen", ">=", fields.Datetime.to_string(oldest.last_seen)), everywhere

    @staticmethod
    def _within(newest, groups):
        """Have each group, when it is opened, show the rows that were counted."""
        if not newest.is_true():
            for group in groups:
                group["__extra_domain"] = [*group["__extra_domain"], *newest]
        return groups
