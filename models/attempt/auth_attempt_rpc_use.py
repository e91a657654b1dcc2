from odoo import api, models
from odoo.tools import SQL

from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.health import probe
from ...tools.health.findings import OLD_PROTOCOLS

MAX_PROGRAMS = 20
KEEP_DAYS = 400
GC_BATCH = 1000


class AuthAttempt(models.Model):
    """Record who still calls over the protocols that Odoo 22 removes, and with which program.

    This has a table of its own: searching the log would mean reading weeks of it.
    """

    _inherit = "auth.attempt"

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_integration_rpc_use (
                user_id integer NOT NULL,
                channel varchar NOT NULL,
                user_agent varchar NOT NULL,
                last_seen timestamp NOT NULL,
                PRIMARY KEY (user_id, channel, user_agent)
            )
            """
        )
        return super().init()

    def _needed_columns(self):
        """Extend :meth:`auth.attempt._needed_columns` by the table of this file."""
        table = {"auth_integration_rpc_use": {"user_id", "channel", "user_agent", "last_seen"}}
        return super()._needed_columns() | table

    @api.model
    def _write_use(self, batch):
        """Extend :meth:`auth.attempt._write_use`: record calls over an old protocol."""
        result = super()._write_use(batch)
        use = batch.identity
        is_probe = (use.user_agent or "").startswith(probe.AGENT)  # doctor.py tries all protocols
        if use.channel in OLD_PROTOCOLS and use.user_id and not is_probe:
            self._note_rpc_use(use, batch.last_seen)
        return result

    def _note_rpc_use(self, use, last_seen):
        """Record one program; once a user has too many programs, further ones share a row."""
        self._query(
            SQL(
                """
                INSERT INTO auth_integration_rpc_use AS known
                SELECT %(user)s, %(channel)s,
                       CASE WHEN count(*) < %(most)s OR bool_or(
                                channel = %(channel)s AND user_agent = %(agent)s)
                            THEN %(agent)s ELSE %(many)s END,
                       to_timestamp(%(last)s) AT TIME ZONE 'UTC'
                FROM auth_integration_rpc_use WHERE user_id = %(user)s
                ON CONFLICT (user_id, channel, user_agent) DO UPDATE
                SET last_seen = GREATEST(known.last_seen, EXCLUDED.last_seen)
                """,
                user=use.user_id,
                channel=use.channel,
                agent=use.user_agent or "",
                many=COLLAPSED,
                most=MAX_PROGRAMS,
                last=int(last_seen),
            )
        )

    @api.autovacuum
    def _gc_rpc_uses(self):
        """Delete programs not seen for 400 days, and those of deleted users.

        :return: for the autovacuum: number of rows deleted, and 1 if there may be more, else 0
        """
        self.env.cr.execute(
            """
            DELETE FROM auth_integration_rpc_use WHERE ctid IN (
                SELECT r.ctid FROM auth_integration_rpc_use r
                WHERE r.last_seen < (now() AT TIME ZONE 'UTC') - make_interval(days => %s)
                   OR NOT EXISTS (SELECT FROM res_users u WHERE u.id = r.user_id)
                LIMIT %s)
            """,
            [KEEP_DAYS, GC_BATCH],
        )
        return self.env.cr.rowcount, int(self.env.cr.rowcount == GC_BATCH)
