"""Nothing is rotated in a copy of a database."""

from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import file_open, mute_logger

from .common import RUN_LOGGER, RotationCommon


@tagged("post_install", "-at_install")
class TestRotationCopy(RotationCommon):
    def test_neutralized_copy(self):
        """Targets and secrets are deleted, the jobs are off, and no key is delivered."""
        self.integration.webhook_url = "https://example.com/hook"
        self.env.cr.execute(
            "UPDATE auth_integration SET webhook_secret = 'x', totp_seed = 'y' WHERE id = %s",
            (self.integration.id,),
        )
        rotation = self._due()
        self.env.flush_all()
        with file_open("auth_integration/data/neutralize.sql") as script:
            self.env.cr.execute(script.read())
        self.env.invalidate_all()
        self.env.registry.clear_all_caches()
        self.assertFalse(self.integration.webhook_url)
        self.assertFalse(self.integration.sudo().webhook_secret or self.integration.totp_seed)
        self.assertFalse(self.cron.active)
        self.assertEqual(self.key.state, "copied")
        self.assertEqual(self.key.end_kind, "copied")
        self.assertFalse(self.key.apikey_id.exists())
        self.assertEqual(rotation.state, "cancelled")
        with self.assertRaisesRegex(UserError, "not revoked"):
            self.key._undo_revocation("needed after all")
        with self.assertRaisesRegex(UserError, "copy"):
            self._claim(rotation)
        # Whatever the copy's new database.uuid is, it is not the value the script wrote.
        self.env["ir.config_parameter"].init(force=True)
        self.assertTrue(self.env["auth.integration.database"]._is_copy())

    def test_copied_database_rotates_nothing(self):
        """It opens, notifies and delivers nothing; its own keys work until their ends."""
        rotation = self._due()
        other = self._issue(self.integration)[1]
        self._set_due_in(other, 20)
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        mails = len(self._mails())
        with self.assertLogs(RUN_LOGGER, "WARNING"):
            self._run()
        self.assertFalse(self._rotation(other))
        self.assertEqual(len(self._mails()), mails)
        with self.assertRaisesRegex(UserError, "copy"):
            self._claim(rotation)
        self._set_due_in(self.key, -0.2)
        with mute_logger(RUN_LOGGER):
            self._run()
        self.assertEqual(self.key.state, "active")
