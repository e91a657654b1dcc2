"""Times in texts are those of the fields beside them; see ``tools/moment.py``."""

from datetime import datetime
from types import SimpleNamespace

from odoo.tests import tagged

from ...tools import moment
from ...tools.moment import day_text, moment_text, shared_moment_text
from ..common import IntegrationCommon

MOMENT = datetime(2026, 11, 26, 23, 45, 30)


@tagged("post_install", "-at_install")
class TestDates(IntegrationCommon):
    def _env(self, **context):
        return self.env(context=context)

    def test_as_a_form_shows_it(self):
        """By the clock that the screen has; what comes without one is told which it is."""
        env = self._env(tz="Europe/Berlin")
        self.assertRegex(moment_text(env, MOMENT), r"^Nov 27, 2026, 12:45\sAM$")
        self.assertEqual(day_text(env, MOMENT), "Nov 27, 2026")
        self.env.user.tz = "Asia/Tokyo"
        text = moment_text(self._env(), MOMENT)
        self.assertRegex(text, r"^Nov 27, 2026, 8:45\sAM \(Asia/Tokyo\)$")
        self.assertRegex(moment_text(env, MOMENT, "UTC"), r"^Nov 26, 2026, 11:45\sPM \(UTC\)$")
        self.assertEqual(moment_text(env, None), "")

    def test_by_the_clock_of_the_browser(self):
        """Which the fields have, too, whatever the preferences of the user say."""
        env = self._env(tz="Europe/Berlin")
        for cookie, shown in (("Asia/Tokyo", r"8:45\sAM"), ("no zone", r"12:45\sAM")):
            self.patch(moment, "request", SimpleNamespace(cookies={"tz": cookie}))
            self.assertRegex(moment_text(env, MOMENT), rf"^Nov 27, 2026, {shown}$")
        self.assertRegex(moment_text(env, MOMENT, "UTC"), r"11:45\sPM \(UTC\)$")

    def test_in_the_readers_language(self):
        self.env["res.lang"]._activate_lang("de_DE")
        env = self._env(tz="Europe/Berlin", lang="de_DE")
        self.assertEqual(moment_text(env, MOMENT), "27.11.2026, 00:45")

    def test_a_kept_text_names_its_clock(self):
        """That of the person who wrote it; of a job, that of the owner."""
        self.env.user.tz = False
        self.owner.tz = "Asia/Tokyo"
        text = shared_moment_text(self._env(), MOMENT, self.owner)
        self.assertRegex(text, r"8:45\sAM \(Asia/Tokyo\)$")
        text = shared_moment_text(self._env(tz="Europe/Berlin"), MOMENT, self.owner)
        self.assertRegex(text, r"12:45\sAM \(Europe/Berlin\)$")

    def test_the_history_of_a_key(self):
        _secret, key = self._issue(self.integration)
        key.with_context(tz="Europe/Berlin")._note_in_history("It was seen.")
        self.assertRegex(key.history, r"^\w+ \d+, \d+, \d+:\d\d\s[AP]M \(Europe/Berlin\): It was")

    def test_issues_are_for_each_reader(self):
        """Of two readers in one transaction, each has the day of their own clock."""
        _secret, key = self._issue(self.integration)
        self._move(key, replace_by=datetime(2026, 1, 1, 23, 30))
        finding = self.env["auth.integration.finding"].search([
            ("key_id", "=", key.id), ("code", "=", "key_expiring"),
        ])
        messages = [finding.with_context(tz=tz).message for tz in ("UTC", "Asia/Tokyo")]
        self.assertIn("Jan 1, 2026", messages[0])
        self.assertIn("Jan 2, 2026", messages[1])
