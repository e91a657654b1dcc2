from datetime import timedelta

from odoo import fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ...tools.key import key_state
from ...tools.row_locks import wait_and_lock

UNDO_PERIOD = timedelta(hours=1)


class AuthIntegrationKey(models.Model):
    """Undo Revocation: a key that was revoked by mistake works again."""

    _inherit = "auth.integration.key"

    may_undo_revocation = fields.Boolean(compute="_compute_may_undo_revocation", compute_sudo=True)

    def _compute_may_undo_revocation(self):
        for key in self:
            key.may_undo_revocation = not key._undo_blocking_reason()

    def _offers_undo_revocation(self):
        """Return whether the revocation can be undone, and the current user may undo it."""
        if not self.may_undo_revocation:
            return False
        try:
            self._check_may_prolong()
        except AccessError:
            return False
        return True

    def _undo_revocation_remedy(self):
        """Return what the current user can do if the revocation was a mistake, or False."""
        if not self.may_undo_revocation:
            return False
        if self._offers_undo_revocation():
            return self.env._(
                "If the key was revoked by mistake, undo the revocation: the external system needs"
                " no change. Otherwise, create a key and install it."
            )
        return self.env._(
            "If the key was revoked by mistake, an administrator can undo the revocation within one"
            " hour. Otherwise, create a key and install it."
        )

    def action_undo_revocation(self):
        """Open the dialog that undoes a mistaken revocation, within one hour of it."""
        self.ensure_one()
        self._check_may_prolong()
        return self.env["auth.integration.undo.revocation"]._get_records_action(
            name=self.env._("Undo Revocation"),
            target="new",
            context={"default_key_id": self.id},
        )

    def _undo_revocation(self, reason):
        """Let a key that was revoked by mistake work again, until the end that it had.

        :raise AccessError: the current user is no administrator of integrations
        :raise UserError: no reason, too late, marked as compromised, or the user or hash of the key
            is gone
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
            " again until %(end)s.",
            user=self.env.user.name,
            prefix=key.prefix,
            reason=reason,
            end=key._shared_moment_text(key.effective_end) or "-",
        )
        key._add_to_history(text)
        self.env["auth.integration.rotation"].sudo()._notify_about(
            key.integration_id,
            text,
            key.integration_id.owner_ids,
            author=self.env.user.partner_id,
        )
        if key.first_used_at:
            # If its predecessor has no overlap any more, start a full one from now on.
            key._confirm_first_use(fields.Datetime.now())
        key.integration_id._close_activities_of_fixed()

    def _undo_blocking_reason(self):
        """Return why the revocation of this key cannot be undone, or False if it can."""
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
        """Insert the native row again, with the hash stored in this record."""
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO res_users_apikeys
                    (id, name, user_id, scope, index, key, expiration_date, create_date)
                SELECT apikey_id, name, user_id, scope, prefix, hash, %s, issued_at
                FROM auth_integration_key k WHERE id = %s AND hash IS NOT NULL
                ON CONFLICT DO NOTHING RETURNING id
                """,
                self._key_sql(key_state.OWN_END_SQL),
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
