import itertools
from datetime import datetime, timedelta

import pytz
from odoo import api, fields, models
from odoo.fields import Domain
from odoo.models import READ_GROUP_TIME_GRANULARITY
from odoo.tools import SQL

# Minutes of a total: time zones differ by whole half hours, but for two or three.
SPAN = timedelta(minutes=30)
# After so long nothing is added to a half hour any more: a success may be written a minute late,
# and be of a bucket that began an hour before.
SETTLED_AFTER = timedelta(minutes=60)
# What a late batch of uses is: written when its bucket may have been summed up.
LATE_AFTER = timedelta(minutes=75)
# How much is summed up in one transaction.
BATCH = timedelta(days=1)

DIMENSIONS = ("outcome", "cause", "channel", "integration_id")
MEASURES = ("count:sum", "__count")
START_OF_SPAN = SQL(
    "date_trunc('hour', last_seen)"
    " + interval '30 minutes' * (extract(minute FROM last_seen)::integer / 30)"
)
_COLUMNS = SQL("outcome, cause, channel, integration_id")


class Totals:
    """Says to a model that it is to read totals up to a moment, and the log from there on.

    An object in the context, which no caller over RPC can send.
    """

    def __init__(self, until):
        self.until = until


class AuthAttempt(models.Model):
    """Totals of the log by half hour, so that a chart need not read a million rows.

    They are made once a day of what has settled; what came after is read from the log itself, so
    that together they are always exact.  Without them charts are slower, and the same.  Only what
    is done to the log behind our back is noticed a day late.
    """

    _inherit = "auth.attempt"

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_attempt_total (
                half_hour timestamp NOT NULL,
                outcome varchar NOT NULL,
                cause varchar,
                channel varchar NOT NULL,
                integration_id integer,
                count bigint NOT NULL,
                row_count bigint NOT NULL
            );
            CREATE UNIQUE INDEX IF NOT EXISTS auth_attempt_total_key ON auth_attempt_total
                (half_hour, outcome, COALESCE(cause, ''), channel, COALESCE(integration_id, 0));
            CREATE INDEX IF NOT EXISTS auth_attempt_total_empty_idx
                ON auth_attempt_total (half_hour) WHERE row_count = 0;
            CREATE TABLE IF NOT EXISTS auth_attempt_total_redo (since timestamp NOT NULL);
            """
        )
        return super().init()

    # Reading ---------------------------------------------------------------------------------

    @property
    def _table_query(self):
        totals = self.env.context.get("auth_attempt_totals")
        if not isinstance(totals, Totals):
            return None
        return SQL(
            """
            SELECT half_hour AS last_seen, %(columns)s, count, row_count FROM auth_attempt_total
            WHERE half_hour < %(until)s
            UNION ALL
            SELECT last_seen, %(columns)s, count, 1::bigint FROM auth_attempt
            WHERE last_seen >= %(until)s
            """,
            columns=_COLUMNS,
            until=totals.until,
        )

    @api.model
    def _read_group(
        self, domain, groupby=(), aggregates=(), having=(), offset=0, limit=None, order=None
    ):
        """Extend :meth:`_read_group`: read totals where they tell the same as the rows."""
        source = self._totals_if_equal(domain, groupby, [*aggregates, *_compared(having)], order)
        return super(AuthAttempt, source)._read_group(
            domain, groupby, aggregates, having, offset, limit, order
        )

    @api.model
    def _read_grouping_sets(self, domain, grouping_sets, aggregates=(), order=None):
        """Extend :meth:`_read_grouping_sets` likewise."""
        groupby = [*itertools.chain(*grouping_sets)]
        source = self._totals_if_equal(domain, groupby, aggregates, order)
        return super(AuthAttempt, source)._read_grouping_sets(
            domain, grouping_sets, aggregates, order
        )

    def _read_group_select(self, aggregate_spec, query):
        if aggregate_spec == "__count" and self._table_query:
            return SQL("COALESCE(SUM(%s.row_count), 0)::bigint", SQL.identifier(self._table))
        return super()._read_group_select(aggregate_spec, query)

    def _read_group_postprocess_groupby(self, groupby_spec, raw_values):
        # Whoever goes on from the integration of a group reads its attempts, not totals of them.
        rows = self.with_context(auth_attempt_totals=False)
        return super(AuthAttempt, rows)._read_group_postprocess_groupby(groupby_spec, raw_values)

    def _totals_if_equal(self, domain, groupby, aggregates, order):
        """This model, reading totals when they give the groups that the rows would give.

        :param aggregates: those that are asked for, and those that groups are chosen by
        """
        if not (
            self._are_dimensions(groupby)
            and {*aggregates, *_ordered_by(order)} <= {*MEASURES, *groupby}
            and all(self._is_of_spans(spec) for spec in groupby)
        ):
            return self
        rules = self.env["ir.rule"]._compute_domain(self._name, "read")
        for condition in (Domain(domain) & rules).optimize_full(self).iter_conditions():
            if condition.field_expr not in DIMENSIONS and not _is_between_spans(condition):
                return self
        return self.with_context(auth_attempt_totals=Totals(self._summed_until()))

    @staticmethod
    def _are_dimensions(groupby):
        """Whether totals are kept apart by all of these."""
        return _names(groupby) <= {*DIMENSIONS, "last_seen"}

    def _is_of_spans(self, spec):
        """Whether a group by it never divides a half hour, where the user is."""
        name, _colon, granularity = spec.partition(":")
        if name != "last_seen":
            return True
        zone = self.env.context.get("tz")
        zone = pytz.timezone(zone) if zone in pytz.all_timezones_set else pytz.utc
        return (
            granularity in READ_GROUP_TIME_GRANULARITY
            and not datetime.now(zone).utcoffset() % SPAN
        )

    # Writing ---------------------------------------------------------------------------------

    @api.autovacuum
    def _sum_up(self):
        """Sum up what has settled since it was done last, at most a day of it.

        :return: number of totals made, and 1 if there may be more, for the autovacuum
        """
        self._drop_totals_to_redo()
        settled = _start_of_span(fields.Datetime.now() - SETTLED_AFTER)
        [[begin]] = self._query(
            SQL(
                "SELECT min(last_seen) FROM auth_attempt WHERE last_seen >= %s",
                self._summed_until(),
            )
        )
        if begin is None or begin >= settled:
            return 0, 0
        end = min(settled, _start_of_span(begin) + BATCH)
        made = self._query(
            SQL(
                """
                INSERT INTO auth_attempt_total (half_hour, %(columns)s, count, row_count)
                SELECT %(span)s, %(columns)s, sum(count), count(*) FROM auth_attempt
                WHERE last_seen >= %(begin)s AND last_seen < %(end)s
                GROUP BY 1, %(columns)s
                RETURNING 1
                """,
                columns=_COLUMNS,
                span=START_OF_SPAN,
                begin=begin,
                end=end,
            )
        )
        return len(made), int(end < settled)

    @api.autovacuum
    def _redo_totals_that_differ(self):
        """Have the totals made again from where the log holds something else.

        It does where rows were removed by plain SQL, or added while the clock stood at a time that
        was summed up already: both past everything that would have corrected the totals.
        """
        self._query(
            SQL(
                """
                INSERT INTO auth_attempt_total_redo (since)
                SELECT min(half_hour)
                FROM (
                    SELECT %(span)s AS half_hour, count(*) AS rows, sum(count) AS count
                    FROM auth_attempt WHERE last_seen < %(until)s GROUP BY 1
                ) log
                FULL JOIN (
                    SELECT half_hour, sum(row_count) AS rows, sum(count) AS count
                    FROM auth_attempt_total WHERE half_hour < %(until)s GROUP BY 1
                ) total USING (half_hour)
                WHERE (log.rows, log.count) IS DISTINCT FROM (total.rows, total.count)
                HAVING min(half_hour) IS NOT NULL
                """,
                span=START_OF_SPAN,
                until=self._summed_until(),
            )
        )

    def _summed_until(self):
        """The moment from which on rows are not in the totals yet, or not all of them."""
        [[end, redone_from]] = self._query(
            SQL(
                """
                SELECT (SELECT max(half_hour) + %s FROM auth_attempt_total),
                       (SELECT min(since) FROM auth_attempt_total_redo)
                """,
                SPAN,
            )
        )
        if end is None:  # whatever there may be to be made again
            return "-infinity"
        return min(end, redone_from or end)

    def _redo_totals(self, since):
        """Have the totals from a moment on made again: something was added to the log there.

        Noted in the transaction that adds it: whoever sees one sees the other.
        """
        self._query(SQL("INSERT INTO auth_attempt_total_redo (since) VALUES (%s)", since))

    def _drop_totals_to_redo(self):
        self._query(
            SQL(
                """
                WITH redone AS (DELETE FROM auth_attempt_total_redo RETURNING since)
                DELETE FROM auth_attempt_total
                WHERE half_hour >= (SELECT min(since) FROM redone)
                """
            )
        )


def _names(groupby):
    return {spec.partition(":")[0] for spec in groupby}


def _compared(having):
    """The aggregates in a condition on groups."""
    return [item[0] for item in having if isinstance(item, list | tuple) and item]


def _ordered_by(order):
    """The groups and aggregates that groups are put in order by."""
    return [part.split()[0] for part in (order or "").split(",") if part.strip()]


def _start_of_span(moment):
    return moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0)


def _is_between_spans(condition):
    """Whether a condition on the time separates half hours, and cuts none in two.

    :param condition: an optimized one: on a time it is ``>=`` or ``<``, to the second
    """
    moment = condition.value
    return (
        condition.field_expr == "last_seen"
        and condition.operator in (">=", "<")
        and isinstance(moment, datetime)
        and moment == _start_of_span(moment)
    )
