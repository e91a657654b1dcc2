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
# The full id of the transaction that wrote a row; the row has only its lower half. No id is beyond
# the snapshot's xmax, except in rows of this transaction itself, which are not taken for new.
FULL_XMIN = """(GREATEST(
    %(xmax)s - ((%(xmax)s - {alias}.xmin::text::bigint) & 4294967295), 3))::text::xid8"""


class AuthAttempt(models.Model):
    """Export the log as security events: see the documentation, *Monitoring*.

    The transaction that wrote a row tells whether it is new. The log is written in transactions
    without savepoints, so that a snapshot has their ids.
    """

    _inherit = "auth.attempt"

    @api.model
    def export(self, after=0, limit=1000):
        """Return attempts that are new since a position, as OCSF events.

        If an exported row of the log has since counted more attempts, its event is returned again,
        with the same ``metadata.uid`` and a higher ``count``.  Owners get the attempts of their
        integrations.

        :param after: 0 for the start of the log, then ``next`` of the previous call
        :param int limit: maximum number of events of one call, up to 10,000
        :return: ``{events, next}``; no events when there is nothing new
        :rtype: dict
        :raise AccessError: the user is neither an owner nor an administrator of integrations
        :raise UserError: the position or the limit is invalid
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
        """Return the next events, and the position after them."""
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
        """Return the conditions for new rows of the current pass, after its last row."""
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
        """Return the time from which rows may be new, so that the query can use an index."""
        oldest = position.new_since - MARGIN
        [[late]] = self.env.execute_query(
            SQL("SELECT min(since) FROM auth_attempt_late WHERE at >= %s", position.new_since)
        )
        return min(oldest, late or oldest)

    @api.model
    def _export_moment(self):
        """Return what :class:`Position` needs to know about the present state of PostgreSQL.

        This includes the start of the oldest transaction that the snapshot does not see. It is
        known if each of them still runs, in this database under a role whose activity Odoo's role
        may read. Transactions of other databases do not write to the log.
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
        """Return the codes of integrations by id; deleted integrations are left out."""
        if not ids:
            return {}
        return dict(
            self.env.execute_query(
                SQL("SELECT id, code FROM auth_integration WHERE id IN %s", tuple(ids))
            )
        )
