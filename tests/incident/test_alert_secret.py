import os
from contextlib import contextmanager
from unittest.mock import patch

from cryptography.fernet import Fernet
from odoo.tests import tagged

from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE
from ..common import IntegrationCommon

FIRST, SECOND, LOST = (Fernet.generate_key().decode() for _key in range(3))
SIGNING_SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@tagged("post_install", "-at_install")
class TestAlertSecret(IntegrationCommon):
    """The secrets that sign alerts, when the server's encryption key changes."""

    def setUp(self):
        super().setUp()
        self.shop = self.integration

    @contextmanager
    def _with_keys(self, *keys):
        with patch.dict(os.environ, {ENVIRONMENT_VARIABLE: ",".join(keys)}):
            yield

    def test_it_is_encrypted_with_the_newest_key(self):
        with self._with_keys(FIRST):
            self.shop._set_alert_secret(SIGNING_SECRET)
        with self._with_keys(SECOND, FIRST):
            self.env["auth.integration"]._encrypt_alert_secrets_again()
        with self._with_keys(SECOND):
            self.assertEqual(self.shop._alert_secret(), SIGNING_SECRET)

    def test_one_that_cannot_be_read_is_in_no_other_ones_way(self):
        """Sending it says so; the job does not fail for it every five minutes."""
        unreadable = self._create_integration("unreadable", self.owner)
        with self._with_keys(LOST):
            unreadable._set_alert_secret(SIGNING_SECRET)
        before = unreadable.sudo().alert_secret
        with self._with_keys(FIRST):
            self.shop._set_alert_secret(SIGNING_SECRET)
        with self._with_keys(SECOND, FIRST):
            (unreadable + self.shop)._encrypt_alert_secrets_again()
        self.assertEqual(unreadable.sudo().alert_secret, before)
        with self._with_keys(SECOND):
            self.assertEqual(self.shop._alert_secret(), SIGNING_SECRET)
