import logging

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ...tools.key import key_state
from ..mixins.fresh_identity import fresh_identity
from .auth_integration_key import ENDED_STATES

_logger = logging.getLogger(__name__)


class AuthIntegrationKey(models.Model):
    """End a key, by a user or with its native row: who may do it, and what is recorded."""

    _inherit = "auth.integration.key"

    def _check_may_end(self):
        """Allow owners and managers for integration keys, and users for their own personal keys.

        Settings administrators may end every key.

        :raise AccessError: the current user is none of these
        """
        self.check_access("read")
        if self.env.su or self.env.is_system():
            return
        for key in self.sudo():
            if key.integration_id:
                key.integration_id.with_env(self.env)._check_is_responsible()
            elif key.user_id != self.env.user:
                raise AccessError(
                    self.env._("Only its user or a Settings administrator can revoke this key.")
                )

    @fresh_identity
    def revoke(self, reason=False, compromised=False):
        """End keys at once, in every worker, and the keys that were obtained with them.

        Whoever had a stolen key may have fetched another one with it. Such keys end too, unless
        they are used from an address from which the integration had called before.

        If no other key of the integration works, the overlap of the key that a revoked key had
        replaced is cancelled, so that this older key keeps working.

        :param str reason: stored on the key and in the integration's history
        :param bool compromised: somebody else may have the key, so the revocation cannot be undone
        :return: True
        :raise AccessError: neither their own key nor allowed by ``_check_may_operate`` of its
            integration
        :raise UserError: no reason was given, or one that is too long
        """
        return self._revoke(reason, compromised)

    def action_revoke(self):
        """Open the dialog that asks why these keys are revoked."""
        self._check_may_end()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "auth_integration.auth_integration_revoke_action"
        )
        return action | {"context": {"default_key_ids": self.ids}}

    def _revoke(self, reason, compromised=False, decided=None):
        """Do the work of :meth:`revoke`.

        :param dict decided: see :meth:`_keys_to_revoke`
        """
        self._check_may_end()
        if not isinstance(reason, str) or not reason.strip():
            raise UserError(self.env._("Enter a reason. It stays on record."))
        reason = self._clean_text("end_reason", reason.strip())
        ending = self.sudo()._lock_keys_to_revoke(decided)
        revoked = ending.filtered("is_live")
        for key in revoked:
            key._end("revoked", reason, self.env.user)
            key._note_in_history(
                self.env._(
                    "%(user)s revoked the API key %(prefix)s…: %(reason)s",
                    user=self.env.user.name,
                    prefix=key.prefix,
                    reason=reason,
                )
            )
        revoked._take_back_overlaps()
        self.sudo()._notify_of_obtained(revoked - self.sudo())
        if compromised:
            ending._mark_compromised(reason)
        return True

    def _mark_compromised(self, reason):
        """Mark keys as compromised, even ended ones: a leak may become known later."""
        for key in self.filtered(lambda key: not key.compromised):
            key.compromised = True
            key._note_in_history(
                self.env._(
                    "%(user)s marked the API key %(prefix)s… as compromised: %(reason)s",
                    user=self.env.user.name,
                    prefix=key.prefix,
                    reason=reason,
                )
            )

    def _end_live(self, reason):
        for key in self.filtered("is_live"):
            key._end("revoked", reason, self.env.user)

    def _end(self, kind, reason, user=None, at=None):
        """End one key now, here and in Odoo's own table, in the current transaction."""
        self.ensure_one()
        self._follow_native_end()
        self.write(
            {
                "ended_at": at or fields.Datetime.now(),
                "ended_by": user.id if user else False,
                "end_kind": kind,
                "end_reason": reason,
            }
        )
        self.flush_recordset()
        self.env.cr.execute(
            SQL(
                "DELETE FROM res_users_apikeys n USING auth_integration_key k"
                " WHERE k.id = %s AND n.id = k.apikey_id AND n.key = k.hash",
                self.id,
            )
        )
        self.env["res.users.apikeys"].invalidate_model()
        self.env["res.users"].invalidate_model(["api_key_ids"])
        _logger.info("API key %s… of %r ended: %s", self.prefix, self.login, kind)

    @api.model
    def _record_removal(self, natives, kind, reason):
        """Record that the current user is about to delete native rows.

        :return: the keys that this deletion ends
        """
        keys = self.sudo().search([("apikey_id", "in", natives.ids), ("ended_at", "=", False)])
        keys._follow_native_end()
        for key in keys:
            ended = key.state if key.state in ENDED_STATES else kind
            key.write(
                {
                    "ended_at": key_state.earliest(key.effective_end, fields.Datetime.now()),
                    "ended_by": self.env.uid,
                    "end_kind": ended,
                    "end_reason": reason if ended == kind else key.end_reason,
                }
            )
        self.flush_model()
        return keys.filtered(lambda key: key.end_kind == kind)
