from datetime import timedelta

from odoo import fields
from odoo.tests import HttpCase, tagged

from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestVerify(HttpCase, IntegrationCommon):
    def _verify(self, header):
        return self.url_open(
            "/auth_integration/verify",
            data=b"",
            headers={"Authorization": header} if header else {},
            method="POST",
        )

    def test_a_good_key(self):
        secret, key = self._issue(self.integration)
        answer = self._verify(f"Bearer {secret}").json()
        self.assertEqual((answer["valid"], answer["cause"]), (True, False))
        self.assertEqual((answer["prefix"], answer["integration"]), (key.prefix, "shop"))

    def test_an_ended_key_is_told_why(self):
        """Only a caller with the right secret learns it."""
        secret, key = self._issue(self.integration)
        self._move(key, expires_at=fields.Datetime.now() - timedelta(days=1))
        answer = self._verify(f"bearer {secret}").json()
        self.assertEqual(
            (answer["valid"], answer["cause"], answer["state"]), (False, "key_expired", "expired")
        )
        self.assertTrue(answer["reference"])

    def test_everything_else_learns_nothing(self):
        secret, _key = self._issue(self.integration)
        almost = secret[:-1] + ("0" if secret[-1] != "0" else "1")
        answers = {
            (answer.status_code, answer.text)
            for answer in map(
                self._verify, (f"Bearer {almost}", f"Bearer {'a' * 40}", "Basic x", None)
            )
        }
        self.assertEqual(len(answers), 1)
        self.assertEqual(answers.pop()[0], 401)
