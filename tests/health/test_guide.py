import html

from odoo import fields
from odoo.tests import HttpCase, tagged

from ...tools.attempt import cause_texts, causes
from ...tools.health import guide
from ..common import IntegrationCommon

PATH = guide.PATH


@tagged("post_install", "-at_install")
class TestGuide(IntegrationCommon, HttpCase):
    """*Learn More* opens the guide at the section about a cause, an issue or an event."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.owner.password = "olivia"

    def _page(self):
        self.authenticate("olivia", "olivia")
        answer = self.url_open(PATH)
        self.assertEqual(answer.status_code, 200)
        return answer.text

    def test_every_anchor_is_on_the_page(self):
        page = self._page()
        for _title, entries in guide.chapters():
            for entry in entries:
                self.assertIn(f'id="{entry.anchor}"', page)
        self.assertNotIn("%(", page)

    def test_it_says_more_than_the_screens(self):
        page = html.unescape(self._page())
        for cause in causes.CAUSES.values():
            self.assertIn(cause_texts.guide(cause.code), page)
            self.assertIn(cause_texts.owner_remedy(cause.code), page)

    def test_visitors_have_to_sign_in(self):
        answer = self.url_open(PATH, allow_redirects=False)
        self.assertEqual(answer.status_code, 303)
        self.assertIn("/web/login", answer.headers["Location"])

    def test_it_speaks_the_readers_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.owner.lang = "fr_FR"
        page = self._page()
        self.assertIn('lang="fr-FR"', page)

    def test_an_attempt_leads_to_its_cause(self):
        row = dict.fromkeys((
            "auth_type", "user_id", "key_id", "remote_addr", "user_agent", "reference", "operation",
        ))
        row |= {
            "outcome": "failure", "cause": "key_expired", "channel": "json2", "login": "shop",
            "integration_id": self.integration.id, "attribution": "login",
            "database": self.env.cr.dbname,
        }
        now = fields.Datetime.now()
        self.env["auth.attempt"]._upsert(row, 1, now, now)
        attempt = self.env["auth.attempt"].with_user(self.owner).search(
            [("integration_id", "=", self.integration.id)])
        self.assertEqual(attempt.action_learn_more()["url"], f"{PATH}#key_expired")

    def test_an_issue_leads_to_its_kind(self):
        self.env.cr.execute(
            "UPDATE res_users SET password = 'x' WHERE id = %s", [self.integration.user_id.id])
        finding = self.env["auth.integration.finding"].with_user(self.owner).search(
            [("integration_id", "=", self.integration.id), ("code", "=", "password_set")])
        self.assertEqual(finding.action_learn_more()["url"], f"{PATH}#issue-password_set")

    def test_an_incident_leads_to_its_cause_or_event(self):
        incidents = self.env["auth.integration.incident"]
        for kind, cause, anchor in (
            ("failing", "user_archived", "user_archived"),
            ("silent", "silent", "event-silent"),
        ):
            incident = incidents.sudo().create({
                "kind": kind, "cause": cause, "source": kind, "opened_at": fields.Datetime.now(),
                "integration_id": self.integration.id,
            })
            action = incident.with_user(self.owner).action_learn_more()
            self.assertEqual(action["url"], f"{PATH}#{anchor}")

    def test_the_page_under_apps_has_its_pictures(self):
        page = str(self.env.ref("base.module_auth_integration").description_html)
        self.assertIn('src="/auth_integration/static/description/overview.png"', page)
        self.assertIn("Beside stock Odoo 19", page)
