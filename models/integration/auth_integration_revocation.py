from odoo import models

from ..mixins.fresh_identity import fresh_identity


class AuthIntegration(models.Model):
    """Revoke every key of an integration at once, in an emergency."""

    _inherit = "auth.integration"

    @fresh_identity
    def revoke_all_keys(self, reason=False, compromised=False):
        """Revoke every key of these integrations; the next call with any of them is rejected.

        :param str reason: stored on the keys and in the integrations' history
        :param bool compromised: somebody else may have the keys, so the revocation cannot be undone
        :return: True
        :raise AccessError: see ``_check_may_operate``
        :raise UserError: no reason was given
        """
        return self._revoke_all_keys(reason, compromised)

    def _revoke_all_keys(self, reason, compromised):
        self.check_access("read")
        self._check_is_responsible()
        every_key = self.env["auth.integration.key"].sudo()
        every_key._collide_with_issuing(self.sudo().user_id.ids)
        every_key._find_unrecorded()
        keys = self.sudo().with_context(active_test=False).key_ids.filtered("is_live")
        return keys.with_env(self.env)._revoke(reason, compromised)

    def action_revoke_all_keys(self):
        """Open the dialog that asks for the reason and lists who will be rejected."""
        self.ensure_one()
        self._check_may_operate()
        return self.env["auth.integration.revoke.all"]._get_records_action(
            name=self.env._("Revoke All Keys"),
            target="new",
            context={"default_integration_id": self.id},
        )
