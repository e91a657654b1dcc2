"""The detection of incidents reads little more of a long log than its new rows."""

from odoo.tests import tagged

from .common import IncidentCommon

HOSTS, ROWS = 100, 20_000
# Successes of many other hosts in the last weeks, and refusals of unknown users, all older than two
# days.
LONG_LOG = """
    INSERT INTO auth_attempt (bucket, outcome, cause, channel, integration_id, user_id, key_id,
        attribution, remote_addr, database, count, first_seen, last_seen)
    SELECT decode(md5('long' || n), 'hex'),
           CASE WHEN n %% 2 = 0 THEN 'success' ELSE 'failure' END,
           CASE WHEN n %% 2 = 0 THEN NULL ELSE 'user_unknown' END, 'json2',
           CASE WHEN n %% 2 = 0 THEN %(integration)s END, CASE WHEN n %% 2 = 0 THEN %(user)s END,
           CASE WHEN n %% 2 = 0 THEN %(key)s END, CASE WHEN n %% 2 = 0 THEN 'key' END,
           '10.1.' || n %% 200 || '.' || n / 200 %% 250, current_database(), 1, seen, seen
    FROM generate_series(1, %(rows)s) n
    CROSS JOIN LATERAL (
        SELECT %(now)s::timestamp - interval '2 days' - n * interval '1 minute' AS seen) at
"""
ROWS_READ = """
    SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
    WHERE relname = 'auth_attempt'
"""


@tagged("post_install", "-at_install")
class TestIncidentCost(IncidentCommon):
    def setUp(self):
        super().setUp()
        self.env.cr.execute(
            LONG_LOG,
            {
                "integration": self.integration.id,
                "user": self.integration.user_id.id,
                "key": self.key.id,
                "rows": ROWS,
                "now": self.now,
            },
        )
        self.env.cr.execute("ANALYZE auth_attempt")
        for number in range(HOSTS):
            self._fail("address_not_allowed", remote_addr=f"198.51.100.{number}", count=3)

    def _rows_read(self, work):
        self.env.cr.execute(ROWS_READ)
        [before] = self.env.cr.fetchone()
        work()
        self.env.flush_all()
        self.env.cr.execute(ROWS_READ)
        return self.env.cr.fetchone()[0] - before

    def test_many_rejected_hosts(self):
        """Only the last success of each host is read, never all successes for each host."""
        first = self._rows_read(self._detect)
        self.assertEqual(self._open().kind, "failing")
        again = self._rows_read(self._detect)
        findings = self._rows_read(
            lambda: self.env["auth.integration.finding"].search_count([])
        )
        self.assertLess(max(first, again, findings), ROWS, (first, again, findings))
