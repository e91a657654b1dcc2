"""What the name of an integration or of a user can do to those who are sent it: nothing."""

from odoo.tests import tagged

from ...tools.delivery import https_client
from .common import IncidentCommon

EVALUATED = "691355"  # in a message it would be the name, rendered; by chance alone it is in none
HOSTILE = "<img src=x onerror=alert(1)>{{ 98765*7 }}${98765*7}\r\nBcc: thief@evil.example\u2028\x00"


@tagged("post_install", "-at_install")
class TestHostileNames(IncidentCommon):
    def setUp(self):
        super().setUp()
        name = HOSTILE.replace("\x00", "")  # PostgreSQL takes none
        self.integration.name = name
        self.owner.name = name
        self.posted = []
        self.patch(
            https_client, "post",
            lambda url, body, headers, allowed=(): self.posted.append(body) or 200,
        )

    def _check(self, mail):
        self.assertEqual(len(mail.subject.splitlines()), 1, mail.subject)
        self.assertNotIn(EVALUATED, mail.subject + mail.body_html)
        self.assertNotIn("<img", mail.body_html)
        server = self.env["ir.mail_server"]
        message = server._build_email__(
            "odoo@example.com", ["o@example.com"], mail.subject, mail.body_html, subtype="html"
        )
        self.assertFalse(message["Bcc"])

    def test_alert(self):
        self.integration.alert_url = "https://example.com/alerts"
        self._fail("key_expired")
        self._run()
        self._check(self._alerts_to(self.owner).mail_id)
        [body] = self.posted
        self.assertNotIn(EVALUATED, body)
        self._pass(minutes=5)
        self._succeed()
        self._run()
        self._check(self._alerts_to(self.owner)[-1].mail_id)

    def test_message_about_a_rotation(self):
        """Its subject has the name too."""
        self.key.action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", self.key.id)])
        rotation._notify("Something happened.", self.owner)
        message = self.integration.message_ids[0]
        self.assertEqual(len(message.subject.splitlines()), 1, message.subject)
        self.assertNotIn("<img", message.body)

    def test_daily_notice(self):
        """Names are in its subject as they are in its lines."""
        digest = self.env["auth.integration.digest"].create(
            {"user_id": self.owner.id, "day": self.now.date()}
        )
        digest._add_lines([(self.owner.id, self.key.id, self.now, self.now, 1, False)])
        self.env["auth.integration.key"].flush_model()
        self.env.cr.execute(
            "UPDATE auth_integration_key SET name = %s WHERE id = %s",
            [self.integration.name, self.key.id],
        )
        self.env.invalidate_all()
        mail_id = self.env.ref("auth_integration.mail_template_digest").send_mail(digest.id)
        self._check(self.env["mail.mail"].browse(mail_id))
