from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools import settings

GC_BATCH = 20_000


class AuthAttempt(models.Model):
    """Remove old attempts; the retention settings are in ``tools/settings.py``."""

    _inherit = "auth.attempt"

    @api.autovacuum
    def _gc_attempts(self):
        """Remove a batch of attempts that are too old or too many, and record the removal.

        :return: for the autovacuum: the number of rows removed, and 1 if there may be more, else 0
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
        """Delete the counts of new rows in minutes and hours that began over a day ago."""
        over = fields.Datetime.now() - timedelta(days=1)
        self._query(SQL("DELETE FROM auth_attempt_budget WHERE start < %s", over))

    @api.autovacuum
    def _gc_late(self):
        """Delete records of late additions to rows that no longer exist."""
        oldest = SQL("(SELECT min(last_seen) FROM auth_attempt)")
        self._query(SQL("DELETE FROM auth_attempt_late WHERE since < %s", oldest))

    def _remove(self, reason, condition):
        """Remove a batch of rows, oldest first, and record the removal in the same transaction."""
        rows = self._query(
            SQL(
                """
                WITH removed AS (
                    DELETE FROM auth_attempt WHERE id IN (
                        SELECT id FROM auth_attempt WHERE %(condition)s
                        ORDER BY last_seen, id LIMIT %(batch)s
                    )
                    RETURNING outcome, cause, channel, count, first_seen, last_seen
                ), %(counted)s
                INSERT INTO auth_attempt_removal
                    (date, reason, outcome, row_count, attempt_count, first_seen, last_seen)
                SELECT %(now)s, %(reason)s, outcome, count(*), sum(count), min(first_seen),
                    max(last_seen)
                FROM removed GROUP BY outcome
                RETURNING row_count, (SELECT min(last_seen) FROM removed), last_seen
                """,
                condition=condition,
                batch=GC_BATCH,
                counted=self.env["auth.attempt.counter"]._removed_sql(),
                now=fields.Datetime.now(),
                reason=reason,
            )
        )
        if rows:
            self.env["auth.attempt.report"]._rollup_again(rows[0][1], max(row[2] for row in rows))
        return sum(row[0] for row in rows)
