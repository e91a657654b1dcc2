import base64
import io

import pyotp
import qrcode
from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity

PURPOSE = "totp-enrolment"


class AuthIntegrationSecondFactor(models.TransientModel):
    """Set up the second factor of an integration that fetches its own keys.

    A transient record is a row in the database: the seed is in it encrypted only.
    """

    _name = "auth.integration.second.factor"
    _description = "Set Up Second Factor"

    integration_id = fields.Many2one(
        "auth.integration", required=True, readonly=True, ondelete="cascade"
    )
    seed_encrypted = fields.Char(groups=fields.NO_ACCESS)
    seed = fields.Char(compute="_compute_seed")
    url = fields.Char("otpauth address", compute="_compute_seed")
    qr_code = fields.Binary("QR code", compute="_compute_seed", attachment=False)
    code = fields.Char(size=6)

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

    @check_identity
    def action_confirm(self):
        """Take the seed into use, if the code shows that the other side has it."""
        self._confirm()
        return {"type": "ir.actions.act_window_close"}

    def _confirm(self):
        self.ensure_one()
        integration = self.integration_id
        integration._check_may_operate()
        integration.sudo()._set_totp_seed(self.seed, (self.code or "").strip())
        integration.sudo().message_post(
            body=self.env._("%(user)s set the second factor up.", user=self.env.user.name)
        )
        self.sudo().write({"seed_encrypted": False, "code": False})
