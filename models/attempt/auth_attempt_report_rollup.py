from datetime import date, datetime, timedelta

import pytz
from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.health import probe
from .auth_attempt_report import DIMENSIONS, local_day, start_of_day

# An hour is closed this long after its end: successful uses are written up to a minute late.
CLOSED_AFTER = timedelta(minutes=30)
# A use whose bucket began longer ago than this may belong to an hour that is closed already.
LATE_AFTER = timedelta(minutes=75)
# The period that is rolled up in one transaction.
BATCH = timedelta(days=1)
MAX_ZONES = 24
# Each day is compared with the log in one out of this many hours.
COMPARED_EVERY = 24
LONG_AGO = datetime(1970, 1, 1)
# Diagnostic requests are not calls of an external system: their rows count, not their attempts.
COUNTED = SQL(f"COALESCE(sum(count) FILTER (WHERE NOT {probe.IS_DIAGNOSTIC}), 0)")


class AuthAttemptReport(models.Model):
    """Roll up the closed hours of the log by day, for each time zone in use."""

    _inherit = "auth.attempt.report"

    @api.model
    def _cron_rollup(self):
        """Add the hours closed since the last run, and correct differing days.

        Each run compares only a part of the days; see :meth:`_differing_days`.
        """
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
        """Keep the time zones of the report's readers, and UTC; delete the rows of all others."""
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
        """Add the log rows from one moment (included) to another (excluded)."""
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
        """Make everything from a moment on be read from the log, until it is rolled up again.

        To be called in the transaction of a late addition to the log, so that both become visible
        together.
        """
        self.env.cr.execute(
            SQL("INSERT INTO auth_attempt_report_invalid (since) VALUES (%s)", since)
        )

    def _discard_invalid(self):
        """Delete all days from the first one marked by :meth:`_invalidate_rollup` on.

        :meth:`_rollup` then adds them again.
        """
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
        """Roll up the days from one moment to another again, in this transaction."""
        for zone, day, last_day, start, end in self._days(first, last):
            self._delete_days(zone, day, last_day)
            self._add_hours(zone, start, end)

    def _days(self, first, last):
        """Return the days from one moment to another in each time zone.

        :return: zone, first and last day, start of the first day, and end of the last day or of
            what has been rolled up, whichever is earlier
        """
        zone = SQL("zone")
        first, last = local_day(SQL("%s", first), zone), local_day(SQL("%s", last), zone)
        # An UPDATE, so that a rollup that runs at the same time fails instead of adding old rows.
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
        """Return the days that differ from the log, among those to compare in this hour.

        Days differ after rows were removed by plain SQL, or added while the clock was set to an
        hour that was already closed.  All days are compared in the course of 24 hours.

        :return: the moments in UTC at which these days begin
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
