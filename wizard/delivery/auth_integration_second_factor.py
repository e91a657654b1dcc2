import base64
import io

import pyotp
import qrcode
from odoo import api, fields, models

from ...models.mixins.fresh_identity import fresh_identity, has_fresh_identity

PURPOSE = "totp-enrolment"


class AuthIntegrationSecondFactor(models.TransientModel):
    """Set up the second factor of an integration that fetches its own keys.

    A transient record is a row in the database. It contains the seed only encrypted, and not the
    code, which is passed in the context of the button.
    """

    _name = "auth.integration.second.factor"
    _description = "Set Up Second Factor"
    _inherit = ["auth.integration.dialog.mixin"]

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    seed_encrypted = fields.Char(groups=fields.NO_ACCESS)
    seed = fields.Char(compute="_compute_seed")
    url = fields.Char("otpauth URL", compute="_compute_seed")
    qr_code = fields.Binary("QR code", compute="_compute_seed", attachment=False)
    code = fields.Char(size=6, store=False)

    @api.model_create_multi
    def create(self, vals_list):
        wizards = super().create(vals_list)
        for wizard in wizards:
            wizard.integration_id._check_may_operate()
            wizard.sudo().seed_encrypted = wizard.integration_id._encrypt(
                pyotp.random_base32(), PURPOSE
            )
        return wizards

    @api.depends("seed_encrypted")
    def _compute_seed(self):
        for wizard in self:
            token = wizard.sudo().seed_encrypted
            seed = token and wizard.integration_id._decrypt(token, PURPOSE)
            url = seed and pyotp.TOTP(seed).provisioning_uri(
                wizard.integration_id.code, issuer_name=self.env.company.name
            )
            wizard.seed, wizard.url = seed, url
            wizard.qr_code = url and self._picture(url)

    @api.model
    def _picture(self, text):
        data = io.BytesIO()
        qrcode.make(text, box_size=4).save(data, format="PNG")
        return base64.b64encode(data.getvalue())

    def action_confirm(self):
        """Activate the seed if the code proves that the external system has it."""
        if not has_fresh_identity(self.env):
            # The identity check would store the code in the context, and it expires meanwhile.
            return self.with_context(code=False)._action_open()
        self._confirm(self.env.context.get("code"))
        return {"type": "ir.actions.act_window_close"}

    @fresh_identity
    def _action_open(self):
        """Show this dialog after an identity check, because a code is valid for only 30 seconds."""
        return self._get_records_action(name=self.env._("Set Up Second Factor"), target="new")

    def _confirm(self, code):
        self.ensure_one()
        integration = self.integration_id
        integration._check_may_operate()
        integration.sudo()._set_totp_seed(self.seed, code.strip() if isinstance(code, str) else "")
        integration.sudo().message_post(
            body=self.env._("%(user)s set up the second factor.", user=self.env.user.name)
        )
        self.sudo().seed_encrypted = False
