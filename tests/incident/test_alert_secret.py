import os
from contextlib import contextmanager
from unittest.mock import patch

from cryptography.fernet import Fernet
from odoo.sql_db import Cursor
from odoo.tests import tagged

from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE, SecretBox
from ..common import IntegrationCommon

FIRST, SECOND, LOST = (Fernet.generate_key().decode() for _key in range(3))
SIGNING_SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@tagged("post_install", "-at_install")
class TestAlertSecret(IntegrationCommon):
    """Secrets that must be decrypted, when the server's encryption key changes."""

    def setUp(self):
        super().setUp()
        self.shop = self.integration
        self.company = self.env["res.company"].create({"name": "Another Company"})

    @contextmanager
    def _with_keys(self, *keys):
        with patch.dict(os.environ, {ENVIRONMENT_VARIABLE: ",".join(keys)}):
            yield

    def _encrypt_again(self):
        """Encrypt all secrets again with the current key, like the hourly job."""
        for model in (self.env["auth.integration"], self.env["res.company"]):
            for record_id in model._secrets_of_old_keys():
                model._encrypt_again([record_id])

    def test_it_is_encrypted_with_the_newest_key(self):
        with self._with_keys(FIRST):
            self.shop._set_webhook_secret(SIGNING_SECRET)
            self.shop._set_alert_secret(SIGNING_SECRET)
            self.company._set_alert_secret(SIGNING_SECRET)
        with self._with_keys(SECOND, FIRST):
            self._encrypt_again()
            self.assertFalse(self.shop._secrets_of_old_keys())
        with self._with_keys(SECOND):
            self.assertEqual(
                self.shop._decrypt(self.shop.webhook_secret, "webhook"), SIGNING_SECRET
            )
            self.assertEqual(self.shop._alert_secret(), SIGNING_SECRET)
            self.assertEqual(self.company._alert_secret(), SIGNING_SECRET)

    def test_one_that_cannot_be_read_is_in_no_other_ones_way(self):
        """Whatever needs it reports it; the job does not fail because of it every hour."""
        unreadable = self._create_integration("unreadable", self.owner)
        with self._with_keys(LOST):
            unreadable._set_alert_secret(SIGNING_SECRET)
            unreadable.totp_seed = unreadable._encrypt("a seed", "totp")
        before = unreadable.read(["alert_secret", "totp_seed"])
        with self._with_keys(FIRST):
            unreadable._set_webhook_secret(SIGNING_SECRET)
            self.shop._set_alert_secret(SIGNING_SECRET)
        with self._with_keys(SECOND, FIRST):
            self._encrypt_again()
        self.assertEqual(unreadable.read(["alert_secret", "totp_seed"]), before)
        with self._with_keys(SECOND):
            self.assertEqual(self.shop._alert_secret(), SIGNING_SECRET)
            self.assertEqual(
                unreadable._decrypt(unreadable.webhook_secret, "webhook"), SIGNING_SECRET
            )

    def test_nobody_sets_another_one_meanwhile(self):
        """The row is locked before its secret is read; a new secret waits for that, and stays."""
        with self._with_keys(FIRST):
            self.shop._set_alert_secret(SIGNING_SECRET)
            self.company._set_alert_secret(SIGNING_SECRET)
        self.env.flush_all()
        steps = []
        execute, decrypt = Cursor.execute, SecretBox.decrypt

        def note_lock(cr, query, *args, **options):
            if "FOR NO KEY UPDATE" in str(query):
                steps.append("lock")
            return execute(cr, query, *args, **options)

        def note_read(box, token, purpose):
            steps.append("read")
            return decrypt(box, token, purpose)

        self.patch(Cursor, "execute", note_lock)
        self.patch(SecretBox, "decrypt", note_read)
        with self._with_keys(SECOND, FIRST):
            self._encrypt_again()
        self.assertEqual(steps, ["lock", "read", "lock", "read"])
