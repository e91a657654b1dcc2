"""Names, logins and agents cannot do any harm in messages about them."""

import json

from lxml import html
from odoo.tests import tagged

from ...tools.delivery import https_client
from .common import IncidentCommon

EVALUATED = "691355"  # the value if a name is rendered as a template; it does not occur by chance
HOSTILE = (
    "<img src=x onerror=alert(1)><a href=//evil.example>Sign in</a>{{ 98765*7 }}${98765*7}"
    "<!channel> <https://evil.example|Sign in> @all [Sign in](https://evil.example)"
    "\r\nBcc: thief@evil.example\u2028\x00"
)


@tagged("post_install", "-at_install")
class TestHostileNames(IncidentCommon):
    def setUp(self):
        super().setUp()
        self.name = name = HOSTILE.replace("\x00", "")  # PostgreSQL does not accept it
        self.integration.name = name
        self.owner.name = self.manager.name = name
        self.integration.user_id.login = name
        self._rename(self.key)
        self.posted = []
        self.patch(
            https_client, "post",
            lambda url, body, headers, allowed=(): self.posted.append(body) or 200,
        )

    def _rename(self, key):
        """Names of keys are only cleaned of secrets, so set this one by SQL."""
        self.env["auth.integration.key"].flush_model()
        self.env.cr.execute(
            "UPDATE auth_integration_key SET name = %s WHERE id = %s", [self.name, key.id]
        )
        self.env.invalidate_all()

    def _check_text(self, text):
        """As HTML, the names must be text: no picture and no link to another site."""
        self.assertNotIn(EVALUATED, text)
        page = html.fromstring(f"<div>{text}</div>")
        self.assertFalse(page.xpath("//img"), text)
        self.assertFalse([link for link in page.xpath("//a/@href") if "evil" in link], text)

    def _check(self, mail):
        self.assertEqual(len(mail.subject.splitlines()), 1, mail.subject)
        self.assertNotIn(EVALUATED, mail.subject + mail.body_html)
        self._check_text(mail.body_html)
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
        self.assertNotIn(EVALUATED, str(body))
        self._check_chat(body)
        self._pass(minutes=5)
        self._succeed()
        self._run()
        self._check(self._alerts_to(self.owner)[-1].mail_id)
        self._check_chat(self.posted[-1])
        self.assertEqual(len(self.posted), 2)

    def test_chat(self):
        """Chat tools show the text of a webhook and interpret mark-up in it."""
        self.env.company.alert_url = "https://example.com/alerts"
        newer = self._issue(self.integration)[1]
        self.key.revoke("A test")
        self._rename(newer)
        self._fail("key_revoked", user_agent=self.name, login=self.name)
        self._run()
        [body] = self.posted
        self._check_chat(body)
        text = json.loads(body)["text"]
        self.assertIn("Install the key &lt;img", text)
        self.assertIn(f"\n{self._open()._get_url()}", text)
        self.system.name = self.name
        self.alerts.with_user(self.system)._send_test_webhook()
        self._check_chat(self.posted[-1])

    def _check_chat(self, body):
        text = json.loads(body)["text"]
        self.assertIn("evil.example", text)
        for markup in ("<", ">", "](", "@all", "\nBcc"):
            self.assertNotIn(markup, text)

    def test_activities(self):
        """The note has the remedy of an incident, which names the key to install."""
        newer = self._issue(self.integration)[1]
        self.key.revoke("A test")
        self._rename(newer)
        self._fail("key_revoked", user_agent=self.name, login=self.name)
        self._run()
        kind = self.env.ref("auth_integration.mail_activity_type_incident")
        activity = self.integration.activity_ids.filtered(lambda a: a.activity_type_id == kind)
        self.assertEqual(activity.user_id, self.owner)
        self.assertIn("Sign in", activity.note)
        self._check_text(activity.note)
        self._check(self._alerts_to(self.owner).mail_id)

    def test_weekly_summary(self):
        self._move(self.key, issued_at=self.now, expires_at=self.now, replace_by=self.now)
        self._fail("key_expired", user_agent=self.name, login=self.name)
        self.env["ir.config_parameter"].set_param("auth_integration.weekly_summary_mail", "True")
        self._run()
        weekly = self.alerts.search([("user_id", "=", self.manager.id), ("week", "!=", False)])
        self.assertIn("Sign in", weekly.summary_html)
        self._check_text(weekly.summary_html)
        self._check(weekly.mail_id)
        for activity in self.env["mail.activity"].search([("user_id", "=", self.manager.id)]):
            self._check_text(activity.note)

    def test_request_to_administrators(self):
        self._fail("user_archived", user_agent=self.name, login=self.name)
        attempt = self.env["auth.attempt"].search([("cause", "=", "user_archived")])
        self.integration.user_id.action_archive()
        attempt.with_user(self.owner).action_ask_administrator()
        kind = self.env.ref("auth_integration.mail_activity_type_request")
        requests = self.integration.activity_ids.filtered(lambda a: a.activity_type_id == kind)
        self.assertIn(self.manager, requests.user_id)
        for request in requests:
            self._check_text(request.note)

    def test_history(self):
        """Actions are noted in the history, with the names of users and keys."""
        issued = self.integration.with_user(self.owner).issue_key(self.name)
        key = self.env["auth.integration.key"].search([("prefix", "=", issued["prefix"])])
        key.with_user(self.owner).revoke(self.name)
        key.with_user(self.manager)._undo_revocation(self.name)
        key.with_user(self.owner).set_access(networks="10.0.0.0/8", reason=self.name)
        self.integration.with_user(self.owner).revoke_all_keys(self.name)
        bodies = self.integration.message_ids.mapped("body")
        self.assertTrue([body for body in bodies if "Sign in" in body])
        for body in bodies:
            self._check_text(body)

    def test_message_about_a_rotation(self):
        """Its subject also has the name."""
        self.key.action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", self.key.id)])
        rotation._notify("Something happened.", self.owner)
        message = self.integration.message_ids[0]
        self.assertEqual(len(message.subject.splitlines()), 1, message.subject)
        self._check_text(message.body)

    def test_daily_notice(self):
        """Names are in its subject and in its lines."""
        digest = self.env["auth.integration.digest"].create(
            {"user_id": self.owner.id, "day": self.now.date()}
        )
        digest._add_lines([(self.owner.id, self.key.id, self.now, self.now, 1, False)])
        mail_id = self.env.ref("auth_integration.mail_template_digest").send_mail(digest.id)
        self._check(self.env["mail.mail"].browse(mail_id))
