from odoo import api, models
from odoo.tools import SQL

from ..attempt.auth_attempt_report_rollup import BATCH

COUNTED = SQL("outcome, cause, channel")


class AuthAttemptCounter(models.AbstractModel):
    """Number of all attempts ever seen, by outcome, cause and channel, which never decreases.

    The table holds the attempts before a moment, in hours that are closed; newer ones are counted
    in the log. Therefore rows that retention removes stay counted, and only two or three hours of
    the log are read. Every change of one of the two sides also updates the row with that moment, so
    that two such transactions cannot both succeed at the same time.
    """

    _name = "auth.attempt.counter"
    _description = "Counters of Attempts"

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_attempt_counter (
                outcome varchar NOT NULL,
                cause varchar NOT NULL,
                channel varchar NOT NULL,
                count bigint NOT NULL,
                PRIMARY KEY (outcome, cause, channel)
            );
            CREATE TABLE IF NOT EXISTS auth_attempt_counter_until (
                id integer PRIMARY KEY CHECK (id = 1),
                until timestamp NOT NULL
            );
            INSERT INTO auth_attempt_counter_until (id, until) VALUES (1, '-infinity')
            ON CONFLICT DO NOTHING;
            """
        )
        return super().init()

    # Reading ---------------------------------------------------------------------------------

    @api.model
    def _counts(self):
        """Count the attempts ever seen, as of the start of this transaction.

        :return: list of outcome, cause (empty on success), channel and count
        """
        # Read as text, because Python has no infinite datetime. Passed to the next query as a
        # value, because otherwise no index would be used.
        [[until]] = self.env.execute_query(
            SQL("SELECT until::text FROM auth_attempt_counter_until")
        )
        return self.env.execute_query(
            SQL(
                """
                SELECT %(counted)s, sum(count)::bigint FROM (
                    SELECT %(counted)s, count FROM auth_attempt_counter
                    UNION ALL
                    SELECT outcome, COALESCE(cause, ''), channel, count FROM auth_attempt
                    WHERE last_seen >= %(until)s::timestamp
                ) seen
                GROUP BY %(counted)s ORDER BY %(counted)s
                """,
                counted=COUNTED,
                until=until,
            )
        )

    # Counting --------------------------------------------------------------------------------

    @api.model
    def _count_closed_hours(self):
        """Count the next hours that the report has rolled up, at most a day of them.

        :return: whether there may be more
        """
        behind = self.env.execute_query(
            SQL(
                """
                SELECT counted.until::text, closed.until,
                    (SELECT min(last_seen) FROM auth_attempt WHERE last_seen >= counted.until)
                FROM auth_attempt_counter_until counted, auth_attempt_report_zone closed
                WHERE closed.zone = 'UTC' AND counted.until < closed.until
                """
            )
        )
        if not behind:
            return False
        [(begin, closed, oldest)] = behind
        # Whole hours only, because a row of the log never moves to another hour.
        end = min(closed, (oldest + BATCH).replace(minute=0, second=0)) if oldest else closed
        self.env.cr.execute(
            SQL(
                """
                WITH closed AS (
                    SELECT outcome, COALESCE(cause, '') AS cause, channel, sum(count) AS count
                    FROM auth_attempt
                    WHERE last_seen >= %(begin)s::timestamp AND last_seen < %(end)s
                    GROUP BY 1, 2, 3
                ), moved AS (
                    UPDATE auth_attempt_counter_until SET until = %(end)s
                )
                %(add)s
                """,
                begin=begin,
                end=end,
                add=self._add_sql(SQL("SELECT * FROM closed")),
            )
        )
        return True

    @api.model
    def _add_sql(self, query):
        """Return SQL that adds the rows of a query of outcome, cause, channel and count."""
        return SQL(
            """
            INSERT INTO auth_attempt_counter AS seen (%s, count) %s
            ON CONFLICT (outcome, cause, channel)
            DO UPDATE SET count = seen.count + EXCLUDED.count
            """,
            COUNTED,
            query,
        )

    @api.model
    def _add_late(self, values, batch, start):
        """Count late uses if their hour has been counted, in the transaction that logs them.

        :param values: columns of the row of the log
        :param batch: contains the number of uses
        :param start: start of the hour
        """
        self.env.cr.execute(
            SQL(
                """
                WITH moment AS (
                    UPDATE auth_attempt_counter_until SET until = until RETURNING until
                )
                %s
                """,
                self._add_sql(
                    SQL(
                        "SELECT %s, %s, %s, %s::bigint FROM moment WHERE until > %s",
                        values["outcome"],
                        values["cause"] or "",
                        values["channel"],
                        batch.count,
                        start,
                    )
                ),
            )
        )

    @api.model
    def _removed_sql(self):
        """Return CTEs that count the rows of a CTE ``removed`` in hours not yet counted."""
        return SQL(
            """
            moment AS (
                UPDATE auth_attempt_counter_until SET until = until RETURNING until
            ), kept_in_count AS (%s)
            """,
            self._add_sql(
                SQL(
                    """
                    SELECT outcome, COALESCE(cause, ''), channel, sum(count)
                    FROM removed, moment WHERE last_seen >= until GROUP BY 1, 2, 3
                    """
                )
            ),
        )

    # Corrections -----------------------------------------------------------------------------

    @api.model
    def _day_sums(self, day):
        """Return the counts of the report for a day (UTC), by outcome, cause and channel.

        Empty while late uses of that day wait to be rolled up, because they are counted already.
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT outcome, COALESCE(cause, ''), channel, sum(count)::bigint
                FROM auth_attempt_report report
                JOIN auth_attempt_report_zone closed USING (zone)
                CROSS JOIN auth_attempt_counter_until counted
                WHERE zone = 'UTC' AND day = %(day)s
                    AND counted.until >= LEAST(day + 1, closed.until)
                    AND NOT EXISTS (
                        SELECT FROM auth_attempt_report_invalid WHERE since < day + 1)
                GROUP BY 1, 2, 3
                """,
                day=day.date(),
            )
        )
        return {tuple(counted): count for *counted, count in rows}

    @api.model
    def _add_missed(self, before, after):
        """Count attempts that were found in the log of a day after that day had been counted.

        Attempts that are now missing from it were removed by plain SQL, and stay counted.
        """
        for counted, count in after.items():
            missed = count - before.get(counted, 0)
            if missed > 0:
                self.env.cr.execute(self._add_sql(SQL("VALUES (%s, %s, %s, %s::bigint)",
                                                      *counted, missed)))
