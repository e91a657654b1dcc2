from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from .auth_integration_key import STATEMENT_NOW
from .auth_integration_key_dates import MANAGER

# For this long after the end, calls with the old key from known addresses are merely late; after
# that they are suspicious.
EXPECTED_REUSE_DAYS = 14


class AuthIntegrationKey(models.Model):
    """Report calls with keys that a rotation has replaced; dismiss calls with ended keys."""

    _inherit = "auth.integration.key"

    reuse_notified_at = fields.Datetime(
        readonly=True, help="Calls with the inactive key were reported up to this date."
    )
    calls_dismissed_at = fields.Datetime(
        readonly=True, help="Earlier calls with this inactive key are no longer an issue."
    )

    def _dismiss_calls(self):
        """Stop reporting the calls that were rejected until now; a later call is an issue again.

        The calling code checks access rights.
        """
        self.sudo().write({"calls_dismissed_at": fields.Datetime.now()})

    @api.model
    def _reused_keys(self):
        """Return the ids of superseded keys that were used since their last report.

        Each is reported at most once a day; the log has every attempt.
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT k.id FROM auth_integration_key k
                WHERE k.end_kind = 'superseded' AND k.integration_id IS NOT NULL
                  AND (k.reuse_notified_at IS NULL
                       OR k.reuse_notified_at < %(now)s - interval '1 day')
                  AND EXISTS (
                      SELECT FROM auth_attempt a
                      WHERE a.key_id = k.id AND a.cause = 'key_superseded'
                        AND a.last_seen > COALESCE(k.reuse_notified_at, k.ended_at))
                  -- Not what an alert has reported already.
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_incident n
                      WHERE n.key_id = k.id AND n.last_failure_at >= k.ended_at
                        AND n.opened_at > COALESCE(k.reuse_notified_at, '-infinity'))
                ORDER BY k.id
                """,
                now=STATEMENT_NOW,
            )
        )
        return [row[0] for row in rows]

    def _report_reuse(self):
        """Notify the owners of calls with this replaced key, and managers of suspicious ones.

        The current key stays valid: otherwise a stranger could stop the integration by sending an
        old key.
        """
        self.ensure_one()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT a.remote_addr, sum(a.count)::bigint, max(a.last_seen), EXISTS (
                    SELECT FROM auth_integration_key_address known
                    JOIN auth_integration_key k ON k.id = known.key_id
                    WHERE k.integration_id = %(integration)s AND known.address = a.remote_addr
                      AND known.first_seen < %(end)s)
                FROM auth_attempt a
                WHERE a.key_id = %(key)s AND a.cause = 'key_superseded' AND a.last_seen > %(since)s
                GROUP BY a.remote_addr ORDER BY max(a.last_seen) DESC
                """,
                integration=self.integration_id.id,
                end=self.ended_at,
                key=self.id,
                since=self.reuse_notified_at or self.ended_at,
            )
        )
        if not rows:
            return
        late_until = self.ended_at + timedelta(days=EXPECTED_REUSE_DAYS)
        unexpected_callers = [row for row in rows if not row[3] or row[2] > late_until]
        self.reuse_notified_at = max(row[2] for row in rows)
        recipients = self.integration_id.owner_ids
        if unexpected_callers:
            recipients |= self.env.ref(MANAGER).sudo().all_user_ids
        self.env["auth.integration.rotation"]._notify_about(
            self.integration_id,
            self._reuse_text(unexpected_callers or rows, bool(unexpected_callers)),
            recipients,
        )

    def _reuse_text(self, rows, suspicious):
        values = {
            "prefix": self.prefix,
            "end": self._shared_moment_text(self.ended_at),
            "count": sum(row[1] for row in rows),
            "addresses": ", ".join(row[0] or "?" for row in rows[:5]),
        }
        if suspicious:
            return self.env._(
                "Suspicious use of the replaced API key %(prefix)s…, which stopped working on"
                " %(end)s. It was used %(count)s times from %(addresses)s, an unknown address,"
                " or long after it stopped working. These calls were rejected. Find out who has"
                " it: they may have used it before. The current key is not affected.",
                **values,
            )
        return self.env._(
            "The replaced API key %(prefix)s… is still used. It stopped working on %(end)s. It"
            " was used %(count)s times from %(addresses)s, a known address. Install the new key"
            " there.",
            **values,
        )
