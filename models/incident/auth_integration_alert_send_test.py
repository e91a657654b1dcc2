from odoo import api, fields, models
from odoo.exceptions import AccessError

from ...tools.incident import chat_text
from .auth_integration_alert import TEMPLATE


class AuthIntegrationAlert(models.Model):
    """Test whether alerts reach the current user and the webhook of their company."""

    _inherit = "auth.integration.alert"

    @api.model
    def _send_test(self):
        """Send a test now to the current user's address and to the webhook of their company.

        :return: the problem by ``mail`` and ``webhook``; empty if it was sent, and False for a
            webhook that is not set up
        :rtype: dict
        """
        if not self.env.is_system():
            raise AccessError(self.env._("Only a Settings administrator can send a test alert."))
        return {"mail": self._send_test_mail(), "webhook": self._send_test_webhook()}

    def _send_test_mail(self):
        user = self.env.user
        if not user.email:
            return self.env._("You have no email address.")
        alert = self.sudo().create({"recipient": f"test:{user.id}", "user_id": user.id})
        mail_id = self.env.ref(TEMPLATE).sudo().send_mail(
            alert.id, email_values={"subject": self.env._("Test alert"), "auto_delete": False}
        )
        mail = self.env["mail.mail"].sudo().browse(mail_id)
        problem = mail._send_now()
        if problem:
            mail.unlink()  # a test is not tried again
        alert.write(
            {
                "state": "failed" if problem else "sent",
                "error": problem,
                "sent_at": False if problem else fields.Datetime.now(),
            }
        )
        return problem

    def _send_test_webhook(self):
        company = self.env.company.sudo()
        if not company.alert_url:
            return False
        text = self.env._("Test alert of API integrations, sent by %s.", self.env.user.name)
        return self._post(
            company,
            f"test-{fields.Datetime.now().timestamp():.0f}",
            {
                "type": "auth_integration.test",
                "text": chat_text.escape(text),
                "data": {"count": 0, "incidents": []},
            },
        )
