from odoo import api, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import SQL

from ...tools.attempt import caller
from ...tools.monitoring import ocsf
from ...tools.monitoring.export_position import LONG_AGO, MARGIN, Moment, Position, Snapshot

MAX_LIMIT = 10_000
EXPORTED = (
    "id", "bucket", "outcome", "cause", "channel", "auth_type", "login", "user_id",
    "integration_id", "attribution", "key_id", "remote_addr", "user_agent", "database",
    "reference", "operation", "count", "first_seen", "last_seen",
)
# The full transaction id that wrote a row. The row has its lower half; none is newer than the
# snapshot's end but for what this very transaction wrote, which it does not take for new.
FULL_XMIN = """(GREATEST(
    %(xmax)s - ((%(xmax)s - {alias}.xmin::text::bigint) & 4294967295), 3))::text::xid8"""


class AuthAttempt(models.Model):
    """Export the log as security events: see the documentation, *Monitoring*.

    Rows are told new from known by the transaction that wrote them. The log is written in
    transactions without savepoints, whose ids a snapshot knows.
    """

    _inherit = "auth.attempt"

    @api.model
    def export(self, after=0, limit=1000):
        """Return attempts that are new since a position, as OCSF events.

        An attempt that was counted in an event of before comes again: with the same
        ``metadata.uid`` and a higher ``count``.  Owners get the attempts of their integrations.

        :param after: 0 for the beginning of the log, then ``next`` of the call before
        :param int limit: most events of one call, up to 10,000
        :return: ``{events, next}``; no events when there is nothing new
        :rtype: dict
        :raise AccessError: neither owner of an integration nor administrator of integrations
        :raise UserError: no such position or limit
        """
        self.browse().check_access("read")
        if type(limit) is not int or limit < 1:
            raise UserError(self.env._("The limit must be a number from 1 to %s.", MAX_LIMIT))
        try:
            position = Position.load(after)
        except ValueError as error:
            raise UserError(
                self.env._("Unknown position. Pass 0, or next of the previous call.")
            ) from error
        events, position = self._export(position, min(limit, MAX_LIMIT))
        if caller.current().channel == "xmlrpc":
            events = [ocsf.for_xmlrpc(event) for event in events]
        return {"events": events, "next": position.dump()}

    @api.model
    def _export(self, position, limit):
        """Return the next events and the position behind them."""
        moment = self._export_moment()
        position = position.resumed(moment)
        xmax = Snapshot.parse(moment.snapshot).xmax
        is_new = Domain.custom(
            to_sql=lambda _model, alias, _query: SQL(" AND ").join(
                self._export_conditions(alias, position, xmax)
            )
        )
        query = self._search(is_new, order="last_seen, id", limit=limit)
        found = self.env.execute_query(
            query.select(*[self._exported_sql(query.table, name) for name in EXPORTED])
        )
        rows = [dict(zip(EXPORTED, values, strict=True)) for values in found]
        codes = self._codes_of_integrations({row["integration_id"] for row in rows} - {None})
        events = [ocsf.event(row, codes.get(row["integration_id"])) for row in rows]
        return events, position.after([(row["last_seen"], row["id"]) for row in rows], limit)

    @staticmethod
    def _exported_sql(alias, name):
        column = SQL.identifier(alias, name)
        return SQL("encode(%s, 'hex')", column) if name == "bucket" else column

    @api.model
    def _export_conditions(self, alias, position, xmax):
        """Return the conditions of what is new in the pass under way, behind its last row."""
        xid = SQL(FULL_XMIN.format(alias=SQL.identifier(alias).code), xmax=xmax)
        row = SQL("(%s, %s)", SQL.identifier(alias, "last_seen"), SQL.identifier(alias, "id"))
        if position.id:
            yield SQL("%s > (%s, %s)", row, position.last_seen, position.id)
        if position.new_since > LONG_AGO:
            yield SQL("%s >= %s", SQL.identifier(alias, "last_seen"), self._oldest_new(position))
        if position.seen:
            yield SQL("NOT pg_visible_in_snapshot(%s, %s::pg_snapshot)", xid, position.seen)
        yield SQL("pg_visible_in_snapshot(%s, %s::pg_snapshot)", xid, position.current)

    @api.model
    def _oldest_new(self, position):
        """Return since when rows may be new: a time in the query, which an index can use."""
        oldest = position.new_since - MARGIN
        [[late]] = self.env.execute_query(
            SQL("SELECT min(since) FROM auth_attempt_late WHERE at >= %s", position.new_since)
        )
        return min(oldest, late or oldest)

    @api.model
    def _export_moment(self):
        """Return what :class:`Position` needs to know of PostgreSQL at this moment.

        Begin of the transactions that the snapshot does not see: known where each of them still
        runs, in this database by a role whose sessions ours may look at. Those of another
        database do not write here.
        """
        [row] = self.env.execute_query(
            SQL(
                """
                WITH moment AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot)
                SELECT snapshot::text, now() AT TIME ZONE 'UTC',
                    extract(epoch FROM pg_postmaster_start_time())::text,
                    COALESCE(running.since, now()) AT TIME ZONE 'UTC', running.all_known
                FROM moment, LATERAL (
                    SELECT COALESCE(bool_and(a.pid IS NOT NULL AND (
                               a.datname <> current_database() OR a.xact_start IS NOT NULL
                           )), TRUE) AS all_known,
                           min(a.xact_start) FILTER (WHERE a.datname = current_database()) AS since
                    FROM pg_snapshot_xip(snapshot) xid
                    LEFT JOIN pg_stat_activity a
                        ON a.backend_xid::text::bigint = xid::text::bigint & 4294967295
                ) running
                """
            )
        )
        return Moment(*row)

    @api.model
    def _codes_of_integrations(self, ids):
        """Return the codes of integrations by id; one that was deleted has none."""
        if not ids:
            return {}
        return dict(
            self.env.execute_query(
                SQL("SELECT id, code FROM auth_integration WHERE id IN %s", tuple(ids))
            )
        )
