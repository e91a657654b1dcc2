from datetime import timedelta

from odoo import api, models
from odoo.tools import SQL

from .auth_integration_key import ENDED_STATES


class AuthIntegrationKey(models.Model):
    """Record when, from where and how often a key is used, and act on its first use."""

    _inherit = "auth.integration.key"

    @api.model
    def _record_use(self, use, count, first_seen, last_seen, is_new_address_kept=True):
        """Add successful uses to a key and to the address they came from.

        Only a use over HTTP counts as the first use: a shell on the server proves nothing about the
        external system.

        :param use: :class:`~odoo.addons.auth_integration.tools.key.usage_writer.SuccessfulUse`
        :param is_new_address_kept: whether there is room for one more address of this key
        """
        if not (before := self._lock_for_use(use.key_id)):
            return
        self._add_uses(use, count, first_seen, last_seen)
        # Do not learn an untrusted address: as that of a proxy, it may be shared by many callers.
        if use.remote_addr and use.address_trusted:
            self._record_address(
                is_new_address_kept,
                key=use.key_id,
                address=use.remote_addr,
                count=count,
                first=first_seen,
                last=last_seen,
            )
        self.invalidate_model()
        first_used_at, replaces_id = before
        if first_used_at is None and use.remote_addr:
            if replaces_id:
                # A crash of PostgreSQL must not undo this first use, because it ends other keys.
                self.env.cr.execute("SET LOCAL synchronous_commit TO DEFAULT")
            self.browse(use.key_id)._confirm_first_use(first_seen)

    def _lock_for_use(self, key_id):
        """Lock a key and return its first use and the key it replaces, or None if it is gone."""
        self.env.cr.execute(
            SQL(
                "SELECT first_used_at, replaces_id FROM auth_integration_key WHERE id = %s"
                " FOR NO KEY UPDATE",
                key_id,
            ),
            log_exceptions=False,  # a lock timeout is no error
        )
        return self.env.cr.fetchone()

    def _add_uses(self, use, count, first_seen, last_seen):
        self.env.cr.execute(
            SQL(
                """
                UPDATE auth_integration_key
                SET use_count = COALESCE(use_count, 0) + %(count)s,
                    first_used_at = CASE WHEN %(address)s IS NULL THEN first_used_at
                                         ELSE COALESCE(first_used_at, %(first)s) END,
                    last_used_at = GREATEST(last_used_at, %(last)s),
                    last_used_address = %(address)s,
                    last_used_channel = %(channel)s,
                    last_used_agent = %(agent)s,
                    digest = COALESCE(digest, %(digest)s)
                WHERE id = %(key)s
                """,
                count=count,
                first=first_seen,
                last=last_seen,
                address=use.remote_addr,
                channel=use.channel,
                agent=use.user_agent,
                digest=use.learned_digest,
                key=use.key_id,
            )
        )

    def _record_address(self, is_new_kept, **values):
        counted = self.env.execute_query(
            SQL(
                "UPDATE auth_integration_key_address"
                " SET last_seen = GREATEST(last_seen, %(last)s), use_count = use_count + %(count)s"
                " WHERE key_id = %(key)s AND address = %(address)s RETURNING TRUE",
                **values,
            )
        )
        if counted or not is_new_kept:
            return
        # No other transaction can have inserted it meanwhile, because the key is locked.
        self.env.cr.execute(
            SQL(
                "INSERT INTO auth_integration_key_address"
                " (key_id, address, first_seen, last_seen, use_count)"
                " VALUES (%(key)s, %(address)s, %(first)s, %(last)s, %(count)s)",
                **values,
            )
        )

    def _confirm_first_use(self, first_used_at):
        """Start the overlap: the first use of a replacement over HTTP shows that it has arrived.

        The replaced key ends ``overlap_days`` later, or at its own end if that is earlier. Siblings
        that were never used end now, except those locked by another transaction.
        """
        self.ensure_one()
        old = self.replaces_id
        if not old:
            return
        self.env["auth.integration.rotation"]._confirm(self)
        old.invalidate_recordset()
        if old.state in ENDED_STATES:
            old.replaced_by_id = old.replaced_by_id or self
        elif not old.retire_at:
            overlap = timedelta(days=self.integration_id.policy_id.overlap_days)
            old._retire(min(filter(None, (first_used_at + overlap, old.expires_at))), self)
        siblings = self.search(
            [("replaces_id", "=", old.id), ("id", "!=", self.id), ("state", "=", "pending")]
        )
        for sibling in siblings.try_lock_for_update(allow_referencing=True):
            sibling._end("superseded", self.env._("The alternative key %s… was used", self.prefix))

    def _retire(self, retire_at, replacement):
        """Let a replaced key end at ``retire_at``, here and in Odoo's own table."""
        self.ensure_one()
        self.write({"retire_at": retire_at, "replaced_by_id": replacement.id})
        self._write_native_end()
