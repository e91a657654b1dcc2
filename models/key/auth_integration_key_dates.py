from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ...tools.key import key_state
from ...tools.moment import moment_text, shared_moment_text
from ...tools.row_locks import wait_and_lock
from .auth_integration_key import UTC_NOW

MANAGER = "auth_integration.auth_integration_group_manager"


class AuthIntegrationKey(models.Model):
    """All changes of a key's dates; ``tools/key/key_state.py`` says what the dates mean.

    Jobs and policies only move an end earlier. Three user actions move one later: *Extend*, *Undo
    Revocation* (in ``auth_integration_key_undo_revocation.py``), and the revocation of a new key
    when the integration has no other working key, which cancels the overlap of the key it had
    replaced.
    """

    _inherit = "auth.integration.key"

    outlived_end = fields.Boolean(
        "Past Expiration Date",
        readonly=True, help="An earlier version of this app extended the key by mistake."
    )
    history = fields.Text(readonly=True, help="What happened to the key after it was created.")
    may_extend = fields.Boolean(compute="_compute_may_extend", compute_sudo=True)

    def _note_in_history(self, text):
        """Add a text to the history of one key and to the chatter of its integration."""
        self._add_to_history(text)
        if self.integration_id:
            self.integration_id.message_post(body=text)

    def _add_to_history(self, text):
        line = f"{self._shared_moment_text(fields.Datetime.now())}: {text}"
        self.history = "\n".join(filter(None, (self.history, line)))

    def _shared_moment_text(self, moment):
        """Format a moment for the history of this key and its integration, for all owners."""
        return shared_moment_text(self.env, moment, self.integration_id.owner_ids or self.user_id)

    # The native row --------------------------------------------------------------------------

    def _follow_native_end(self):
        """Copy an earlier end from Odoo's own table, to keep it when that row is deleted."""
        if self.ids:
            self.flush_recordset()
            self.env.cr.execute(self._follow_native_end_sql(SQL("k.id IN %s", tuple(self.ids))))
            self.invalidate_recordset()

    @api.model
    def _follow_native_end_sql(self, condition):
        """Return the statement of :meth:`_follow_native_end` for live keys ``k`` of a condition.

        Only a native end before our own is copied: during an overlap, the native row has the end
        of the overlap, which this add-on wrote there.
        """
        return SQL(
            """
            UPDATE auth_integration_key k
            SET expires_at = n.expiration_date,
                replace_by = CASE WHEN k.replace_by IS NOT NULL
                    THEN LEAST(k.replace_by, n.expiration_date) END,
                write_date = %(now)s
            FROM res_users_apikeys n
            WHERE k.ended_at IS NULL AND n.id = k.apikey_id AND n.key = k.hash
              AND n.expiration_date < COALESCE(%(own_end)s, 'infinity') AND %(condition)s
            """,
            now=UTC_NOW,
            own_end=self._key_sql(key_state.OWN_END_SQL),
            condition=condition,
        )

    def _write_native_end(self):
        """Write the ends of these keys to their native rows, in this transaction.

        An earlier native end is kept.
        """
        own_end = self._key_sql(key_state.OWN_END_SQL)
        self._write_native(SQL("LEAST(n.expiration_date, %s)", own_end))

    def _prolong_native_row(self):
        """Write even later ends to the native rows; only for the user actions of this class."""
        self._write_native(self._key_sql(key_state.OWN_END_SQL))

    def _write_native(self, end):
        self.flush_recordset()
        self.env.cr.execute(
            SQL(
                "UPDATE res_users_apikeys n SET expiration_date = %s FROM auth_integration_key k"
                " WHERE k.id IN %s AND n.id = k.apikey_id AND n.key = k.hash",
                end,
                tuple(self.ids),
            )
        )
        self.env["res.users.apikeys"].invalidate_model()
        self.invalidate_recordset()

    # Policy ----------------------------------------------------------------------------------

    @api.model
    def _shortened_by_policy_sql(self):
        """Return ``FROM`` and ``WHERE`` of live keys ``k`` that their policy would end earlier."""
        return SQL(
            """
            FROM auth_integration i JOIN auth_integration_policy p ON p.id = i.policy_id
            WHERE i.id = k.integration_id AND k.ended_at IS NULL AND k.replace_by IS NOT NULL
              AND (k.replace_by, k.expires_at) IS DISTINCT FROM (%s, %s)
            """,
            self._key_sql(key_state.SHORTER_REPLACE_BY_SQL),
            self._key_sql(key_state.SHORTER_EXPIRES_AT_SQL),
        )

    @api.model
    def _count_shortened_by_policy(self, policy):
        """Return how many keys :meth:`_shorten_to_policy` would change."""
        self.env.flush_all()
        [[count]] = self.env.execute_query(
            SQL(
                "SELECT count(*) FROM auth_integration_key k"
                " WHERE EXISTS (SELECT %s AND p.id = %s)",
                self._shortened_by_policy_sql(),
                policy.id,
            )
        )
        return count

    def _shorten_to_policy(self):
        """Move the dates of these keys earlier, to what their policies allow.

        No date is moved to less than one overlap from now.

        :return: the keys that were changed
        """
        if not self.ids:
            return self
        self.env.flush_all()
        rows = self.env.execute_query(
            SQL(
                """
                UPDATE auth_integration_key k
                SET replace_by = %s, expires_at = %s, write_date = %s
                %s AND k.id IN %s
                RETURNING k.id
                """,
                self._key_sql(key_state.SHORTER_REPLACE_BY_SQL),
                self._key_sql(key_state.SHORTER_EXPIRES_AT_SQL),
                UTC_NOW,
                self._shortened_by_policy_sql(),
                tuple(self.ids),
            )
        )
        changed = self.browse(sorted(row[0] for row in rows))
        if changed:
            changed._write_native_end()
            changed._note_shortened()
        return changed

    def _note_shortened(self):
        for key in self:
            key._note_in_history(
                self.env._(
                    "The policy %(policy)s was applied. Replace the API key %(prefix)s… by"
                    " %(replace_by)s. It expires on %(end)s.",
                    policy=key.integration_id.policy_id.name,
                    prefix=key.prefix,
                    replace_by=key._shared_moment_text(key.replace_by),
                    end=key._shared_moment_text(key.effective_end),
                )
            )

    # User actions that move an end later -------------------------------------------------------

    def _check_may_prolong(self):
        """Allow administrators of integrations and Settings administrators.

        If the integration user is privileged, only Settings administrators are allowed.

        :raise AccessError: the current user is not allowed
        """
        if not (self.env.user.has_group(MANAGER) or self.env.is_system()):
            raise AccessError(
                self.env._("Only an administrator of integrations can extend a key.")
            )
        self._check_may_end()
        self.sudo().integration_id.with_env(self.env)._check_may_operate()

    @api.model
    def _checked_reason(self, reason):
        """Return a reason as it is stored: stripped, at most 500 characters.

        :raise UserError: there is none
        """
        if not isinstance(reason, str) or not reason.strip():
            raise UserError(self.env._("Enter a reason. It stays on record."))
        return reason.strip()[:500]

    def _compute_may_extend(self):
        for key in self:
            key.may_extend = not key._extension_blocking_reason()

    def _extension_blocking_reason(self):
        """Return why the end of this key cannot be moved later, or False if it can."""
        if not self.integration_id:
            return self.env._("This is a personal key. Create a new one.")
        if self.state == "retiring":
            return self.env._("This key is being replaced. Its replacement is already in use.")
        if self.state not in ("pending", "active"):
            return self.env._("This key no longer works. Create a new key.")
        if not self.expires_at or not self.integration_id.policy_id.max_extension_days:
            return self.env._("The policy of this integration does not allow an extension.")
        return False

    def _latest_extension(self):
        """Return the latest end that one extension may give this key."""
        days = self.integration_id.policy_id.max_extension_days
        return self.effective_end and self.effective_end + timedelta(days=days)

    def action_extend(self):
        """Open the dialog that moves the end of this key later."""
        self.ensure_one()
        self._check_may_prolong()
        return self.env["auth.integration.extend"]._get_records_action(
            name=self.env._("Extend Key"),
            target="new",
            context={"default_key_id": self.id},
        )

    def _extend(self, expires_at, reason):
        """Let a working key work until ``expires_at``, at the request of a user.

        Its ``replace_by`` date does not change: reminders go on.

        :raise UserError: no reason, a key that cannot be extended, or a date out of bounds
        """
        self.ensure_one()
        self._check_may_prolong()
        reason = self._checked_reason(reason)
        key = self.sudo()
        wait_and_lock(key)
        key._follow_native_end()
        if blocked := key._extension_blocking_reason():
            raise UserError(blocked)
        end, latest = self._parse_end(expires_at), key._latest_extension()
        if not end or not key.expires_at < end <= latest:
            raise UserError(
                self.env._(
                    "Choose a date after %(end)s, up to %(latest)s.",
                    end=moment_text(self.env, key.expires_at),
                    latest=moment_text(self.env, latest),
                )
            )
        key.expires_at = end
        key._prolong_native_row()
        key._note_in_history(
            self.env._(
                "%(user)s extended the API key %(prefix)s… until %(end)s: %(reason)s",
                user=self.env.user.name,
                prefix=key.prefix,
                end=key._shared_moment_text(end),
                reason=reason,
            )
        )

    def _take_back_overlaps(self):
        """Cancel the overlap of the keys that these revoked keys replaced, if no other key works.

        A key whose overlap or own end has passed stays ended. An older key, whose replacement is
        not among the revoked ones, is not needed.
        """
        for integration, revoked in self.grouped("integration_id").items():
            if not integration or self.search_count(
                [("integration_id", "=", integration.id), ("state", "in", ("pending", "active"))],
                limit=1,
            ):
                continue
            for key in revoked.replaces_id:
                if key.replaced_by_id in revoked:
                    key._take_back_overlap()

    def _take_back_overlap(self):
        """Let this key work until its own end, because its replacement is being revoked."""
        rotation = self.env["auth.integration.rotation"]._open_of(self)
        wait_and_lock(rotation)  # same lock order as a first use
        wait_and_lock(self)
        self._follow_native_end()
        if self.state != "retiring":
            return
        self.write({"retire_at": False, "replaced_by_id": False})
        self._prolong_native_row()
        rotation._reopen()
        self._note_in_history(
            self.env._(
                "The replacement of the API key %(prefix)s… was revoked, and there is no other"
                " working key. %(prefix)s… works until %(end)s. Replace it.",
                prefix=self.prefix,
                end=self._shared_moment_text(self.effective_end),
            )
        )
