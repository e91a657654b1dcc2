from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ...tools import settings
from ...tools.incident import conditions

FIRST_LOOK = timedelta(days=1)
# A row of the log is updated for a minute, and its writer may have waited for a lock.
OVERLAP = timedelta(minutes=2)
REOPEN_PERIOD = timedelta(hours=1)
NOW = "%(now)s::timestamp"


class AuthIntegrationIncident(models.Model):
    """Open, update and close incidents from the log, by set-based SQL that can be repeated."""

    _inherit = "auth.integration.incident"

    @api.model
    def _detect(self):
        """Bring every incident up to date with the log, in this transaction.

        :return: the time at which to look again because a success may still be in the memory of a
            server process, or False
        """
        now = fields.Datetime.now()
        since = self._seen_to(now)
        self.env.flush_all()
        self._count_failures(now)
        self._close_recovered(now)
        self._close_archived(now)
        look_again = self._open_failing(since, now)
        self._detect_silence(now)
        self._detect_security_events(since, now)
        self._set_seen_to(now - OVERLAP)
        self.invalidate_model()
        return look_again

    def _run_sql(self, code, **params):
        """Run a statement that is built from constants only; all values are parameters.

        :return: its rows
        """
        self.env.cr.execute(SQL(code, **params), log_exceptions=False)
        return self.env.cr.fetchall() if self.env.cr.description else []

    # How far the log has been read ------------------------------------------------------------

    @api.model
    def _seen_to(self, now):
        [[seen_to]] = self._run_sql(f"SELECT {conditions.SEEN_TO}")
        return min(seen_to, now - OVERLAP) if seen_to else now - FIRST_LOOK

    @api.model
    def _set_seen_to(self, moment):
        """Store it by SQL: it is never read from a cache, so other workers need no signal."""
        self._run_sql(
            """
            INSERT INTO ir_config_parameter AS old
                (key, value, create_uid, write_uid, create_date, write_date)
            VALUES (%(key)s, %(value)s, 1, 1, %(value)s::timestamp, %(value)s::timestamp)
            ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, write_date = EXCLUDED.write_date
            """,
            key=conditions.SEEN_PARAMETER,
            value=fields.Datetime.to_string(moment),
        )

    # Failing ---------------------------------------------------------------------------------

    @api.model
    def _open_failing(self, since, now):
        """Open an incident for each failing source, or reopen one closed within the last hour.

        If a success of the last seconds is in the log, later ones may not have been written yet.
        Such a source waits, unless every further call must fail.
        """
        sources = self._run_sql(
            f"""
            SELECT f.*, f.last_success_at > {NOW} - make_interval(secs => {conditions.SUCCESS_LAG})
                   AND NOT f.cause = ANY(%(must_fail)s) AS waits
            FROM ({conditions.failing_sources("%(since)s::timestamp", NOW, "%(threshold)s")}) f
            LEFT JOIN auth_integration i ON i.id = f.integration_id
            WHERE f.integration_id IS NULL OR i.active
            """,
            since=since - timedelta(minutes=1),
            now=now,
            threshold=settings.number(self.env, "incident_threshold"),
            must_fail=list(conditions.MUST_FAIL),
        )
        waiting = [row for row in sources if row[-1]]
        for row in sources:
            if not row[-1]:
                self._open_source(row, now)
        return bool(waiting) and now + timedelta(seconds=conditions.SUCCESS_LAG)

    def _open_source(self, row, now):
        (source, integration, key, count, opened_at, last_failure_at, _last_success, reference,
         cause, address, channel, user, _waits) = row
        values = {
            "source": source, "integration": integration, "key": key, "user": user,
            "count": count, "opened": opened_at, "last": last_failure_at, "reference": reference,
            "cause": cause, "address": address, "channel": channel, "now": now,
            "reopen": now - REOPEN_PERIOD,
        }
        reopened = self._run_sql(
            """
            UPDATE auth_integration_incident SET
                state = 'open', reopened_at = %(now)s, closed_at = NULL, cause = %(cause)s,
                last_failure_at = %(last)s, remote_addr = %(address)s, channel = %(channel)s,
                reference = COALESCE(%(reference)s, reference)
            WHERE id = (
                SELECT id FROM auth_integration_incident
                WHERE source = %(source)s AND state = 'recovered' AND closed_at > %(reopen)s
                  AND cause = %(cause)s
                ORDER BY closed_at DESC LIMIT 1
            ) RETURNING id
            """,
            **values,
        )
        if not reopened:
            self._run_sql(
                """
                INSERT INTO auth_integration_incident (
                    kind, state, source, integration_id, key_id, user_id, cause, remote_addr,
                    channel, reference, opened_at, last_failure_at, failure_count, settled_count,
                    settled_to, alert_round, create_uid, create_date, write_uid, write_date)
                VALUES ('failing', 'open', %(source)s, %(integration)s,
                    (SELECT id FROM auth_integration_key WHERE id = %(key)s),
                    (SELECT id FROM res_users WHERE id = %(user)s), %(cause)s, %(address)s,
                    %(channel)s, %(reference)s, %(opened)s, %(last)s, %(count)s, 0,
                    date_trunc('minute', %(opened)s::timestamp), 0, 1, %(now)s, 1, %(now)s)
                ON CONFLICT (source) WHERE state = 'open' DO NOTHING
                """,
                **values,
            )

    @api.model
    def _count_failures(self, now):
        """Count the refusals of open incidents; those in minutes that are over only once."""
        self._run_sql(
            f"""
            UPDATE auth_integration_incident n SET
                failure_count = n.settled_count + seen.total,
                settled_count = n.settled_count + seen.settled,
                settled_to = seen.settled_to,
                last_failure_at = GREATEST(n.last_failure_at, seen.last_seen),
                cause = COALESCE(seen.cause, n.cause),
                reference = CASE WHEN seen.cause <> n.cause THEN seen.reference
                                 ELSE n.reference END,
                remote_addr = COALESCE(seen.remote_addr, n.remote_addr)
            FROM (
                SELECT o.id, counted.*,
                       GREATEST(o.settled_to, date_trunc('minute', {NOW} - interval '2 minutes'))
                           AS settled_to
                FROM ({conditions.OPEN_FAILING}) o
                CROSS JOIN LATERAL (
                    SELECT COALESCE(sum(a.count), 0) AS total,
                           COALESCE(sum(a.count) FILTER (WHERE a.first_seen < date_trunc('minute',
                               {NOW} - interval '2 minutes')), 0) AS settled,
                           max(a.last_seen) AS last_seen,
                           (array_agg(a.cause ORDER BY a.last_seen DESC, a.id DESC))[1] AS cause,
                           (array_agg(a.reference ORDER BY a.last_seen DESC, a.id DESC))[1]
                               AS reference,
                           (array_agg(a.remote_addr ORDER BY a.last_seen DESC, a.id DESC))[1]
                               AS remote_addr
                    FROM ({conditions.refusals("o", "o.settled_to - interval '1 second'")}) a
                    WHERE a.first_seen >= o.settled_to
                ) counted
            ) seen
            WHERE seen.id = n.id AND seen.total > 0
            """,
            now=now,
        )

    @api.model
    def _close_recovered(self, now):
        """Close the incidents that a success has ended."""
        self._run_sql(
            f"""
            UPDATE auth_integration_incident n
            SET state = 'recovered', closed_at = {conditions.ended_at("ended", NOW)}
            FROM (
                SELECT o.*, COALESCE(o.remote_addr, '') AS address
                FROM auth_integration_incident o WHERE o.id IN ({conditions.ended_incidents(NOW)})
            ) ended WHERE ended.id = n.id
            """,
            now=now,
        )

    @api.model
    def _close_archived(self, now):
        """Close the incidents of archived integrations: nobody waits for them to work again."""
        self._run_sql(
            f"""
            UPDATE auth_integration_incident n SET state = 'dismissed', closed_at = {NOW}
            FROM auth_integration i
            WHERE i.id = n.integration_id AND NOT i.active AND n.state = 'open'
              AND n.kind IN ('failing', 'silent')
            """,
            now=now,
        )

    @api.depends("state")
    def _compute_is_open(self):
        open_ones = self.filtered(lambda incident: incident.state == "open")
        ended = open_ones._ended_by_success()
        for incident in self:
            incident.is_open = incident in open_ones and incident._origin.id not in ended

    def _ended_by_success(self):
        """Return in one query the ids of these incidents that the job will close for a success."""
        if not self.ids:
            return set()
        self.env.flush_all()
        rows = self._run_sql(
            f"SELECT ended.id FROM ({conditions.ended_incidents(NOW)}) ended"
            " WHERE ended.id = ANY(%(ids)s)",
            now=fields.Datetime.now(),
            ids=list(self.ids),
        )
        return {id_ for [id_] in rows}

    def _search_is_open(self, operator, value):
        if operator != "in":
            return NotImplemented
        ended = SQL(conditions.ended_incidents(NOW), now=fields.Datetime.now())
        return Domain("state", "=", "open") & Domain("id", "not in", SQL("(%s)", ended))

    # Silence ---------------------------------------------------------------------------------

    @api.model
    def _detect_silence(self, now):
        """Open and close incidents of integrations whose expected calls did not come."""
        self._close_no_longer_expected(now)
        self._open_silent(now)

    def _close_no_longer_expected(self, now):
        self._run_sql(
            f"""
            UPDATE auth_integration_incident n SET state = 'dismissed', closed_at = {NOW}
            FROM auth_integration i
            WHERE i.id = n.integration_id AND n.state = 'open' AND n.kind = 'silent'
              AND (i.expected_every_hours > 0) IS NOT TRUE
            """,
            now=now,
        )

    def _open_silent(self, now):
        """Open an incident for each integration whose call is overdue.

        An integration with an open failure is not also reported as silent.
        """
        last_success = """
            GREATEST(i.expected_since, (
                SELECT s.last_seen FROM auth_attempt s
                WHERE s.integration_id = i.id AND s.outcome = 'success'
                ORDER BY s.last_seen DESC LIMIT 1))
        """
        self._run_sql(
            f"""
            INSERT INTO auth_integration_incident (
                kind, state, source, integration_id, user_id, cause, opened_at, failure_count,
                settled_count, alert_round, create_uid, create_date, write_uid, write_date)
            SELECT 'silent', 'open', 'silent:' || late.id, late.id, late.user_id, 'silent',
                   late.at, 0, 0, 0, 1, {NOW}, 1, {NOW}
            FROM (
                SELECT i.id, i.user_id,
                       {last_success} + make_interval(hours => i.expected_every_hours) AS at
                FROM auth_integration i
                WHERE i.active AND i.expected_every_hours > 0 AND i.expected_since IS NOT NULL
            ) late
            WHERE late.at < {NOW}
              AND NOT EXISTS (
                  SELECT FROM auth_integration_incident n
                  WHERE n.integration_id = late.id AND n.kind = 'failing' AND n.state = 'open')
              AND NOT EXISTS (
                  SELECT FROM auth_integration_incident n
                  WHERE n.source = 'silent:' || late.id AND n.state = 'dismissed'
                    AND n.opened_at >= late.at)
            ON CONFLICT (source) WHERE state = 'open' DO NOTHING
            """,
            now=now,
        )
