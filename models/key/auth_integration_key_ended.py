from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.key import key_end
from ...tools.row_locks import wait_and_lock
from .auth_integration_key import STATEMENT_NOW
from .auth_integration_key_end import MANAGER

UNDO_PERIOD = timedelta(hours=1)
# An external system that still has the old key is late for so long; after that it is suspicious.
EXPECTED_REUSE_DAYS = 14


class AuthIntegrationKey(models.Model):
    """What can still happen to a key after its end."""

    _inherit = "auth.integration.key"

    reuse_notified_at = fields.Datetime(
        readonly=True, help="Calls with the inactive key were reported up to this date."
    )

    may_undo_revocation = fields.Boolean(compute="_compute_may_undo_revocation", compute_sudo=True)

    # Reuse -----------------------------------------------------------------------------------

    @api.model
    def _reused_keys(self):
        """Keys retired by rotation that somebody has presented since it was last reported.

        Reported at most once a day: the log has every attempt.
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
        """Tell the owners who still presents this key: a late caller, or somebody else.

        The good key stays as it is: ending it because of what a stranger sends would be his way
        to stop the integration.
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
            "end": fields.Datetime.to_string(self.ended_at),
            "count": sum(row[1] for row in rows),
            "addresses": ", ".join(row[0] or "?" for row in rows[:5]),
        }
        if suspicious:
            return self.env._(
                "Suspicious use of the replaced API key %(prefix)s…. It stopped working on %(end)s"
                " UTC. It was used %(count)s times from %(addresses)s, an unknown address, or long"
                " after it stopped working. These calls were rejected. Find out who has it: they"
                " may have used it before. The current key is not affected.",
                **values,
            )
        return self.env._(
            "The replaced API key %(prefix)s… is still used. It stopped working on %(end)s UTC. It"
            " was used %(count)s times from %(addresses)s, a known address. Install the new key"
            " there.",
            **values,
        )

    # Withdrawal ------------------------------------------------------------------------------

    def _compute_may_undo_revocation(self):
        for key in self:
            key.may_undo_revocation = not key._undo_blocking_reason()

    def action_undo_revocation(self):
        """Open the dialog that undoes a mistaken revocation, within the hour."""
        self.ensure_one()
        self._check_may_prolong()
        return self.env["auth.integration.undo.revocation"]._get_records_action(
            name=self.env._("Undo Revocation"),
            target="new",
            context={"default_key_id": self.id},
        )

    def _undo_revocation(self, reason):
        """Let a key that was revoked by mistake work again, to the end that it had.

        :raise AccessError: the current user is no administrator of integrations
        :raise UserError: no reason, too late, marked as compromised, or nothing is left of the key
        """
        self.ensure_one()
        self._check_may_prolong()
        reason = self._checked_reason(reason)
        key = self.sudo()
        wait_and_lock(key)
        if blocked := key._undo_blocking_reason():
            raise UserError(blocked)
        key._restore_native_key()
        text = self.env._(
            "%(user)s undid the revocation of the API key %(prefix)s…: %(reason)s. The key works"
            " again until %(end)s UTC.",
            user=self.env.user.name,
            prefix=key.prefix,
            reason=reason,
            end=fields.Datetime.to_string(key.effective_end) or "-",
        )
        key._add_to_history(text)
        self.env["auth.integration.rotation"].sudo()._notify_about(
            key.integration_id, text, key.integration_id.owner_ids
        )
        if key.first_used_at:
            # What it had replaced is in its overlap again: for all of it, from now on.
            key._confirm_first_use(fields.Datetime.now())

    def _undo_blocking_reason(self):
        """Why this key cannot come back, or False."""
        now = fields.Datetime.now()
        if self.compromised:
            return self.env._("This key is marked as compromised. It stays revoked.")
        if self.end_kind != "revoked" or not self.ended_at:
            return self.env._("This key was not revoked.")
        if self.ended_at < now - UNDO_PERIOD:
            return self.env._("This key was revoked more than an hour ago. Create a new key.")
        if not self.user_id:
            return self.env._("The user of this key was deleted. Create a new key.")
        if self.retire_at and self.retire_at <= now:
            return self.env._("This key would have been replaced by now. Use the new key.")
        if self.expires_at and self.expires_at <= now:
            return self.env._("This key would have expired by now. Create a new key.")
        return False

    def _restore_native_key(self):
        """Make the native row again, from the hash on the tombstone."""
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO res_users_apikeys
                    (id, name, user_id, scope, index, key, expiration_date, create_date)
                SELECT apikey_id, name, user_id, scope, prefix, hash, %s, issued_at
                FROM auth_integration_key k WHERE id = %s AND hash IS NOT NULL
                ON CONFLICT DO NOTHING RETURNING id
                """,
                self._key_sql(key_end.OWN_END_SQL),
                self.id,
            )
        )
        if not self.env.cr.fetchone():
            raise UserError(self.env._("This key was deleted. Create a new key."))
        self.write(
            {"ended_at": False, "ended_by": False, "end_kind": False, "end_reason": False}
        )
        self.flush_recordset()
        self._write_native_scope()
        self.env["res.users.apikeys"].invalidate_model()
