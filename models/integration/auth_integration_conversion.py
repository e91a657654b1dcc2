from odoo import api, models
from odoo.exceptions import UserError
from odoo.fields import Command

from ...tools.integration import slug
from ..key.auth_integration_key_issuance import KeyRequest
from ..mixins.fresh_identity import require_fresh_identity


class AuthIntegration(models.Model):
    """Convert personal API keys that external systems use to integrations.

    Either the account becomes the integration user and its keys keep working; or a new integration
    user gets a new key, whose first use starts the overlap of the old one as in a rotation.
    """

    _inherit = "auth.integration"

    @api.model
    def _free_code(self, name, taken=()):
        """Return a code derived from a name that no integration has as code and no user as login.

        :param taken: more codes that are not free
        """
        proposal = slug.propose(name or "") or "integration"
        users = self.env["res.users"].sudo().with_context(active_test=False)
        integrations = self.sudo().with_context(active_test=False)
        code, number = proposal, 1
        while (
            code in taken
            or integrations.search_count([("code", "=", code)], limit=1)
            or users.search_count([("login", "=", code)], limit=1)
        ):
            number += 1
            code = f"{proposal}_{number}"
        return code

    @api.model
    def _check_may_convert(self, keys):
        """Check that the current user may convert these keys, and that they can be converted.

        :raise AccessError: the user may not
        :raise UserError: a key cannot be converted, or the keys do not all belong to one user
        """
        keys._check_may_convert()
        require_fresh_identity(self.env)
        keys._lock_for_conversion()
        if len(keys.sudo().user_id) != 1:
            raise UserError(self.env._("Choose keys of one user."))

    @api.model
    def _convert_account(self, keys, values):
        """Make the user of these keys an integration user. All keys of that user keep working.

        :param dict values: the values of the new integration
        :return: the integration
        """
        self._check_may_convert(keys)
        user = keys.sudo().user_id
        if reason := user.with_env(self.env)._conversion_blocking_reason():
            raise UserError(reason)
        integration = self.create({**values, "user_id": user.id})
        for key in integration.sudo().key_ids.filtered("is_live"):
            key._note_in_history(
                self.env._(
                    "%(user)s made %(login)s the integration user of %(integration)s. The API key"
                    " %(prefix)s… keeps working.",
                    user=self.env.user.name,
                    login=user.login,
                    integration=integration.name,
                    prefix=key.prefix,
                )
            )
        return integration

    @api.model
    def _convert_keys(self, keys, values, groups):
        """Create an integration with a new integration user, and a new key for each of these keys.

        The old keys work until one overlap after the first use of the new ones.

        :param dict values: the values of the new integration
        :param groups: groups of its user, in addition to those of every user of the same kind
        :return: the integration, and the secrets in the order of the keys
        """
        self._check_may_convert(keys)
        person = keys.sudo().user_id
        groups = groups.sudo()
        person._check_offered(groups)
        integration = self.create(values)
        integration.sudo().user_id._settle_like(person)
        if groups:
            user = integration.sudo().user_id.with_env(self.env)
            user.group_ids = [Command.link(group.id) for group in groups]
        integration._check_may_grant()
        made = self.env["auth.integration.key"].sudo()._issue_all(
            [
                KeyRequest(integration.sudo(), key.name or integration.name, replaces_id=key.id)
                for key in keys.sudo()
            ]
        )
        for old, (_secret, new) in zip(keys.sudo(), made, strict=True):
            integration._note_conversion(old, new)
        return integration, [secret for secret, _new in made]

    def _note_conversion(self, old, new):
        text = self.env._(
            "%(user)s created the API key %(new)s… of %(integration)s. It replaces the personal key"
            " %(old)s… of %(login)s. %(until)s",
            user=self.env.user.name,
            new=new.prefix,
            integration=self.name,
            old=old.prefix,
            login=old.login,
            until=old._replacement_text(
                self.sudo().policy_id, self.env.user.tz or "UTC"
            ),
        )
        new._note_in_history(text)
        old._add_to_history(text)
