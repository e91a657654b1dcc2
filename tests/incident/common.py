"""Shared by the tests of incidents: attempts at a frozen time, and the messages about them."""

from datetime import datetime, timedelta

from odoo import fields

from ...tools.incident import conditions
from ..common import IntegrationCommon

NOW = datetime(2030, 5, 14, 12, 0, 0)  # a Tuesday, at noon in UTC
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.9"


class IncidentCommon(IntegrationCommon):
    """An integration with a key in use since yesterday, and a frozen clock."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for user in cls.owner | cls.stranger | cls.manager | cls.system:
            user.write({"email": f"{user.login}@example.com", "tz": "UTC"})
        # The demo data may have incidents, whose alerts would be mixed with those of the tests.
        cls.env["auth.integration.incident"].search([]).unlink()
        cls.env.cr.execute("DELETE FROM auth_attempt")
        cls.env["ir.config_parameter"].search(
            [("key", "=", "auth_integration.incidents_seen_to")]
        ).unlink()

    def setUp(self):
        super().setUp()
        self.now = NOW
        self.patch(fields.Datetime, "now", lambda *args: self.now)
        self.incidents = self.env["auth.integration.incident"]
        self.alerts = self.env["auth.integration.alert"]
        self.secret, self.key = self._issue(self.integration)
        self._know(self.key, HOME)
        self._succeed(at=-60)

    def _know(self, key, address, days=2):
        """Record that a key was used from an address."""
        self.env.cr.execute(
            "INSERT INTO auth_integration_key_address (key_id, address, first_seen, last_seen,"
            " use_count) VALUES (%s, %s, %s, %s, 1)",
            [key.id, address, NOW - timedelta(days=days), NOW - timedelta(days=1)],
        )

    def _attempt(self, cause=None, count=1, at=0, integration=None, key=None, **values):
        """Add attempts to the log, ``at`` seconds from now."""
        integration = self.integration if integration is None else integration
        moment = self.now + timedelta(seconds=at)
        columns = dict.fromkeys(
            ("auth_type", "login", "user_id", "integration_id", "attribution", "key_id",
             "remote_addr", "user_agent", "reference")
        )
        columns |= {
            "outcome": "failure" if cause else "success",
            "cause": cause,
            "channel": "json2",
            "database": self.env.cr.dbname,
            "integration_id": integration.id or None,
            "user_id": integration.user_id.id or None,
            "attribution": "key" if key else "address",
            "remote_addr": HOME,
            "key_id": key.id if key else None,
            "reference": "ABCDE-12345" if cause else None,
        }
        self.env["auth.attempt"]._upsert(columns | values, count, moment, moment)

    def _fail(self, cause="internal_error", count=1, at=0, **values):
        self._attempt(cause, count, at, **{"key": self.key, **values})

    def _succeed(self, at=0, **values):
        self._attempt(None, 1, at, **{"key": self.key, **values})

    def _pass(self, **time):
        self.now += timedelta(**time)

    def _detect(self):
        self._check_lasting()
        self.env["auth.integration.incident"]._detect()
        self._check_lasting()

    def _check_lasting(self):
        """Check that both ways to say whether an incident lasts agree, with the tests' clock."""
        self.env.flush_all()
        now = "%(now)s::timestamp"
        rows = self.incidents._run_sql(
            f"""
            SELECT n.id, {conditions.is_lasting("n", now)}, {conditions.recovered_at("n", now)}
            FROM ({conditions.OPEN_FAILING}) n
            """,
            now=self.now,
        )
        for id_, lasts, recovered_at in rows:
            self.assertEqual(lasts, recovered_at is None, self.incidents.browse(id_).display_name)

    def _run(self):
        """Run the job, without the commits that are impossible in a test."""
        self.patch(type(self.incidents), "_commit", lambda self: None)
        self.patch(type(self.alerts), "_commit_one", lambda self: self.env.flush_all() or 1)
        self.incidents._cron_incidents()
        self.env.invalidate_all()

    def _open(self):
        return self.incidents.search([("state", "=", "open")])

    def _alerts_to(self, user=None):
        """Return the messages to users, in order."""
        domain = [("user_id", "=", user.id)] if user else [("user_id", "!=", False)]
        return self.alerts.search([*domain, ("week", "=", False)], order="id")
