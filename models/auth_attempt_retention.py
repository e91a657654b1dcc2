from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools import settings
from .auth_attempt_totals import START_OF_SPAN

GC_BATCH = 20_000


class AuthAttempt(models.Model):
    """How long attempts are kept."""

    _inherit = "auth.attempt"

    @api.autovacuum
    def _gc_attempts(self):
        """Remove a batch of attempts that are too old, or too many, and record that.

        :return: number of rows removed, and 1 if there may be more, for the autovacuum
        """
        removed, remaining = 0, 0
        for outcome, plural in (("failure", "failures"), ("success", "successes")):
            days = settings.number(self.env, f"attempt_keep_{plural}_days")
            before = fields.Datetime.now() - timedelta(days=days)
            number = self._remove("age", SQL("outcome = %s AND last_seen < %s", outcome, before))
            removed, remaining = removed + number, remaining or int(number == GC_BATCH)
        if not remaining:
            excess = self._query(
                SQL(
                    "SELECT last_seen, id FROM auth_attempt ORDER BY last_seen DESC, id DESC"
                    " OFFSET %s LIMIT 1",
                    settings.number(self.env, "attempt_max_rows"),
                )
            )
            if excess:
                number = self._remove("number", SQL("(last_seen, id) <= %s", tuple(excess[0])))
                removed, remaining = removed + number, int(number == GC_BATCH)
        return removed, remaining

    @api.autovacuum
    def _gc_budgets(self):
        """Forget how many rows were made in minutes and hours that are long over."""
        over = fields.Datetime.now() - timedelta(days=1)
        self._query(SQL("DELETE FROM auth_attempt_budget WHERE start < %s", over))

    def _remove(self, reason, condition):
        """Remove a batch, the oldest first, and record it in the same transaction.

        What was summed up of it is taken from its totals.
        """
        rows = self._query(
            SQL(
                """
                WITH removed AS (
                    DELETE FROM auth_attempt WHERE id IN (
                        SELECT id FROM auth_attempt WHERE %(condition)s
                        ORDER BY last_seen, id LIMIT %(batch)s
                    )
                    RETURNING outcome, cause, channel, integration_id, count, first_seen, last_seen
                ),
                removed_of_totals AS (
                    UPDATE auth_attempt_total total
                    SET count = total.count - gone.count, row_count = total.row_count - gone.rows
                    FROM (
                        SELECT %(span)s AS half_hour, outcome, cause, channel, integration_id,
                            sum(count) AS count, count(*) AS rows
                        FROM removed GROUP BY 1, 2, 3, 4, 5
                    ) gone
                    WHERE total.half_hour = gone.half_hour AND total.outcome = gone.outcome
                        AND COALESCE(total.cause, '') = COALESCE(gone.cause, '')
                        AND total.channel = gone.channel
                        AND COALESCE(total.integration_id, 0) = COALESCE(gone.integration_id, 0)
                )
                INSERT INTO auth_attempt_removal
                    (date, reason, outcome, row_count, attempt_count, first_seen, last_seen)
                SELECT %(now)s, %(reason)s, outcome, count(*), sum(count), min(first_seen),
                    max(last_seen)
                FROM removed GROUP BY outcome
                RETURNING row_count
                """,
                condition=condition,
                span=START_OF_SPAN,
                batch=GC_BATCH,
                now=fields.Datetime.now(),
                reason=reason,
            )
        )
        self._query(SQL("DELETE FROM auth_attempt_total WHERE row_count = 0"))
        return sum(row[0] for row in rows)
