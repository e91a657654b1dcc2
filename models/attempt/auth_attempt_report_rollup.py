from datetime import date, datetime, timedelta

import pytz
from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.health import probe
from .auth_attempt_report import DIMENSIONS, local_day, start_of_day

# Nothing is added to an hour any more, so long after its end: a use is written a minute late.
CLOSED_AFTER = timedelta(minutes=30)
# A use whose bucket began so long ago may be of an hour that was closed already.
LATE_AFTER = timedelta(minutes=75)
# How much is rolled up in one transaction.
BATCH = timedelta(days=1)
MAX_ZONES = 24
# A day is compared with the log in one hour out of so many.
COMPARED_EVERY = 24
LONG_AGO = datetime(1970, 1, 1)
# A diagnostic request is no call of an external system: its rows count, its attempts do not.
COUNTED = SQL(f"COALESCE(sum(count) FILTER (WHERE NOT {probe.IS_DIAGNOSTIC}), 0)")


class AuthAttemptReport(models.Model):
    """Roll the closed hours of the log up, by day of each time zone in use."""

    _inherit = "auth.attempt.report"

    @api.model
    def _cron_rollup(self):
        """Add the hours closed since the last run, and correct a part of what differs."""
        progress = self.env["ir.cron"]._commit_progress
        counter = self.env["auth.attempt.counter"]
        self._sync_zones()
        self._discard_invalid()
        progress(remaining=1)
        while self._rollup():
            if not progress(1, remaining=1):
                return
        while counter._count_closed_hours():
            if not progress(1, remaining=1):
                return
        for day in self._differing_days():
            before = counter._day_sums(day)
            self._rollup_again(day, day + timedelta(days=1, seconds=-1))
            counter._add_missed(before, counter._day_sums(day))
            if not progress(1, remaining=1):
                return
        progress(1, remaining=0)

    def _sync_zones(self):
        """Have rows of the time zones that readers of the report are in, and of no other."""
        readers = self.env.ref("auth_integration.auth_integration_group_owner")
        groups = self.env["res.users"]._read_group(
            [("all_group_ids", "in", readers.ids)],
            ["tz"],
            order="__count DESC, tz",
            limit=MAX_ZONES,
        )
        wanted = {"UTC"} | ({zone for [zone] in groups} & pytz.all_timezones_set)
        self.env.execute_query(
            SQL(
                """
                WITH unused AS (
                    DELETE FROM auth_attempt_report_zone WHERE zone NOT IN %(wanted)s RETURNING zone
                ), added AS (
                    INSERT INTO auth_attempt_report_zone (zone, until, row_count)
                    SELECT zone, %(long_ago)s, 0 FROM unnest(%(zones)s) zone
                    ON CONFLICT DO NOTHING
                )
                DELETE FROM auth_attempt_report WHERE zone IN (SELECT zone FROM unused) RETURNING id
                """,
                wanted=tuple(wanted),
                zones=sorted(wanted),
                long_ago=LONG_AGO,
            )
        )

    def _rollup(self):
        """Roll up the next day of the time zone that is furthest behind.

        :return: whether there may be more
        """
        closed = (fields.Datetime.now() - CLOSED_AFTER).replace(minute=0, second=0)
        behind = self.env.execute_query(
            SQL(
                """
                SELECT zone, until,
                    (SELECT min(last_seen) FROM auth_attempt WHERE last_seen >= until)
                FROM auth_attempt_report_zone WHERE until < %s ORDER BY until, zone LIMIT 1
                """,
                closed,
            )
        )
        if not behind:
            return False
        [(zone, until, oldest)] = behind
        end = closed if oldest is None else min(closed, oldest + BATCH)
        self._add_hours(zone, until, end)
        self._set_until(zone, end)
        return True

    def _add_hours(self, zone, begin, end):
        """Add what the log holds from one moment to another."""
        self.env.cr.execute(
            SQL(
                """
                WITH added AS (
                    SELECT %(day)s AS day, %(dimensions)s, %(counted)s AS count,
                        count(*) AS row_count
                    FROM auth_attempt WHERE last_seen >= %(begin)s AND last_seen < %(end)s
                    GROUP BY 1, %(dimensions)s
                ), counted AS (
                    UPDATE auth_attempt_report_zone
                    SET row_count = row_count + (SELECT COALESCE(sum(row_count), 0) FROM added)
                    WHERE zone = %(zone)s
                )
                INSERT INTO auth_attempt_report AS total
                    (zone, day, %(dimensions)s, count, row_count)
                SELECT %(zone)s, day, %(dimensions)s, count, row_count FROM added
                ON CONFLICT
                    (zone, day, outcome, COALESCE(cause, ''), channel, COALESCE(integration_id, 0))
                DO UPDATE SET count = total.count + EXCLUDED.count,
                    row_count = total.row_count + EXCLUDED.row_count
                """,
                dimensions=DIMENSIONS,
                counted=COUNTED,
                zone=zone,
                day=local_day(SQL("last_seen"), zone),
                begin=begin,
                end=end,
            )
        )

    # Corrections -----------------------------------------------------------------------------

    @api.model
    def _invalidate_rollup(self, since):
        """Have everything from a moment on read from the log, until it is rolled up again.

        For a late addition to the log, in the same transaction: whoever sees one sees the other.
        """
        self.env.cr.execute(
            SQL("INSERT INTO auth_attempt_report_invalid (since) VALUES (%s)", since)
        )

    def _discard_invalid(self):
        """Discard the days that :meth:`_invalidate_rollup` named, for :meth:`_rollup` to add."""
        [[since]] = self.env.execute_query(
            SQL(
                """
                WITH discarded AS (DELETE FROM auth_attempt_report_invalid RETURNING since)
                SELECT min(since) FROM discarded
                """
            )
        )
        if since:
            for zone, day, _last, start, _end in self._days(since, since):
                self._delete_days(zone, day, date.max)
                self._set_until(zone, SQL("LEAST(until, %s)", start))

    @api.model
    def _rollup_again(self, first, last):
        """Roll up again, in this transaction, the days from one moment to another."""
        for zone, day, last_day, start, end in self._days(first, last):
            self._delete_days(zone, day, last_day)
            self._add_hours(zone, start, end)

    def _days(self, first, last):
        """Return the days from one moment to another as each time zone has them.

        :return: zone, first and last day, begin of the first and end of the last, no later than
            what has been rolled up
        """
        zone = SQL("zone")
        first, last = local_day(SQL("%s", first), zone), local_day(SQL("%s", last), zone)
        # Written to, so that a rollup that runs at the same time fails instead of adding old rows.
        return self.env.execute_query(
            SQL(
                """
                UPDATE auth_attempt_report_zone SET until = until
                RETURNING zone, %(first)s, %(last)s, %(begin)s, LEAST(until, %(end)s)
                """,
                first=first,
                last=last,
                begin=start_of_day(first, zone),
                end=start_of_day(SQL("(%s + 1)", last), zone),
            )
        )

    def _delete_days(self, zone, first, last):
        self.env.cr.execute(
            SQL(
                """
                WITH deleted AS (
                    DELETE FROM auth_attempt_report
                    WHERE zone = %(zone)s AND day BETWEEN %(first)s AND %(last)s
                    RETURNING row_count
                )
                UPDATE auth_attempt_report_zone
                SET row_count = row_count - (SELECT COALESCE(sum(row_count), 0) FROM deleted)
                WHERE zone = %(zone)s
                """,
                zone=zone,
                first=first,
                last=last,
            )
        )

    def _set_until(self, zone, until):
        self.env.cr.execute(
            SQL("UPDATE auth_attempt_report_zone SET until = %s WHERE zone = %s", until, zone)
        )

    def _differing_days(self):
        """Return the days of which the log holds something else, of those to compare this hour.

        They differ where rows were removed by plain SQL, or added while the clock stood at a time
        that was closed already.  Over a day all of them are compared.

        :return: moments at which such days begin, in UTC
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT begin
                FROM auth_attempt_report_zone z,
                    generate_series(
                        LEAST(
                            (SELECT min(last_seen) FROM auth_attempt),
                            (SELECT min(day) FROM auth_attempt_report WHERE zone = 'UTC')
                        )::date::timestamp,
                        z.until - interval '1 second',
                        interval '1 day'
                    ) AS begin,
                    LATERAL (
                        SELECT count(*) AS rows, %(counted)s AS count FROM auth_attempt
                        WHERE last_seen >= begin
                            AND last_seen < LEAST(begin + interval '1 day', z.until)
                    ) log,
                    LATERAL (
                        SELECT COALESCE(sum(row_count), 0) AS rows,
                            COALESCE(sum(count), 0) AS count
                        FROM auth_attempt_report WHERE zone = 'UTC' AND day = begin::date
                    ) report
                WHERE z.zone = 'UTC' AND (begin::date - '2000-01-01') %% %(parts)s = %(part)s
                    AND (log.rows, log.count) IS DISTINCT FROM (report.rows, report.count)
                """,
                counted=COUNTED,
                parts=COMPARED_EVERY,
                part=fields.Datetime.now().hour,
            )
        )
        return [day for [day] in rows]
