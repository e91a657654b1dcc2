"""The daily email about keys that are due: recipients, time and content."""

from datetime import datetime, time, timedelta

from odoo import fields
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import RUN_LOGGER, RotationCommon


@tagged("post_install", "-at_install")
class TestRotationDigest(RotationCommon):
    def _next_day(self):
        """Date all digests back."""
        self.env.flush_all()
        self.env.cr.execute("UPDATE auth_integration_digest SET day = date '2001-01-01' + id")
        self.env.invalidate_all()

    def test_countdown(self):
        """There is a digest at each notice, and none in between, however often the job runs.

        Once the key is overdue, there is one for each overlap, to administrators too, until the key
        ends.
        """
        told = {self.owner: [], self.manager: []}
        for days in range(31, -32, -1):
            day = datetime.combine(fields.Date.today() + timedelta(days=days), time(23, 59, 30))
            self._set_due_in(self.key, (day - fields.Datetime.now()).total_seconds() / 86400)
            self.env.cr.execute(
                "UPDATE auth_integration_digest_line SET replace_by = %s WHERE key_id = %s",
                (self.key.replace_by, self.key.id),
            )
            before = {user: len(self._mails(user)) for user in told}
            self._run()
            self._run()
            for user, days_told in told.items():
                sent = len(self._mails(user)) - before[user]
                self.assertIn(sent, (0, 1))
                days_told += [days] * sent
            self._next_day()
        self.assertEqual(told[self.owner], [30, 14, 7, 3, 1, 0, -7, -14, -21, -28])
        self.assertEqual(told[self.manager], [-1, -7, -14, -21, -28])
        self.assertEqual(self.key.state, "expired")
        self.assertIn("Overdue", self._mails(self.manager)[:1].body_html)

    def test_one_mail_for_all_keys_of_an_owner(self):
        """One mail has all integrations and keys of an owner, and no other owner's."""
        second = self._create_integration("mill", self.owner | self.stranger)
        keys = [self.key, self._issue(self.integration)[1], self._issue(second)[1]]
        for key in keys:
            self._set_due_in(key, 20)
        self._run()
        mail = self._mails(self.owner)
        self.assertEqual(len(mail), 1)
        for key in keys:
            self.assertIn(key.prefix, mail.body_html)
        others = self._mails(self.stranger)
        self.assertIn(keys[2].prefix, others.body_html)
        self.assertNotIn(self.key.prefix, others.body_html)

    def test_mail_of_many_keys_is_short(self):
        """The mail has the most urgent keys and a link, even for many keys and long names."""
        self.integration.name = "☃" * 200
        count = 300
        self.env.cr.execute(
            """
            INSERT INTO res_users_apikeys (name, user_id, key, index, expiration_date)
            SELECT repeat('☃', 200), %(user)s, 'x' || n, lpad(n::text, 8, '0'),
                   localtimestamp + interval '40 days'
            FROM generate_series(1, %(count)s) n;
            INSERT INTO auth_integration_key (apikey_id, name, user_id, integration_id, hash,
                prefix, issued_at, first_used_at, expires_at, replace_by)
            SELECT id, name, user_id, %(integration)s, key, index, create_date, create_date,
                   expiration_date,
                   localtimestamp + interval '20 days' - interval '1 minute' * index::integer
            FROM res_users_apikeys WHERE key LIKE 'x%%'
            """,
            {"user": self.integration.user_id.id, "integration": self.integration.id,
             "count": count},
        )
        self.env.invalidate_all()
        self._run()
        mail = self._mails(self.owner)
        self.assertEqual(len(mail), 1)
        self.assertLess(len(mail.body_html.encode()), 100_000)
        self.assertIn(f"{count:08d}…", mail.body_html, "the most urgent")
        self.assertNotIn("00000100…", mail.body_html)
        self.assertIn(str(count - 50), mail.body_html)
        self.assertIn("/odoo/api-keys", mail.body_html)
        digest = self.env["auth.integration.digest"].search([("user_id", "=", self.owner.id)])
        self.assertEqual(len(digest.notice_ids), count, "each notice is given once")
        self.assertLess(len(mail.subject), 400)

    def test_one_mail_a_day(self):
        """Keys that become due after it wait for tomorrow's."""
        self._due()
        later = self._issue(self.integration)[1]
        self._set_due_in(later, 20)
        self.assertNotIn(self.owner.id, self.env["auth.integration.digest"]._people_to_notify())
        self._run()
        self.assertEqual(len(self._mails(self.owner)), 1)
        self._next_day()
        self._run()
        self.assertIn(later.prefix, self._mails(self.owner).sorted("id")[-1:].body_html)

    def test_nothing_to_tell_once_the_new_key_is_used(self):
        _secret, new = self._claim(self._due())
        self._use(new)
        self._next_day()
        self._set_due_in(self.key, 6)
        before = len(self._mails())
        self._run()
        self.assertEqual(len(self._mails()), before)

    def test_handed_over_and_not_used_says_so(self):
        _secret, new = self._claim(self._due())
        self._next_day()
        self._set_due_in(self.key, 6)
        self._run()
        self.assertIn(new.prefix, self._mails(self.owner).sorted("id")[-1:].body_html)

    def test_mail_has_no_secret(self):
        self._due()
        self.assertNotIn(self.secret, self._mails(self.owner).body_html)

    def test_a_failing_mail_stops_nobody_and_is_tried_again(self):
        """No digest is recorded for a user who was not notified."""
        self.stranger.email = "sam@example.com"
        foreign = self._issue(self.foreign)[1]
        for key in (self.key, foreign):
            self._set_due_in(key, 20)
        with self._failing("_send_digest", self.owner.id), mute_logger(RUN_LOGGER):
            self._run()
        self.assertFalse(self._mails(self.owner))
        self.assertEqual(len(self._mails(self.stranger)), 1)
        self._run()
        self.assertEqual(len(self._mails(self.owner)), 1)

    def test_archived_owner_is_not_told(self):
        self.integration.owner_ids |= self.stranger
        self.owner.active = False
        self._due()
        self.assertFalse(self._mails(self.owner))
        self.assertTrue(self._mails(self.stranger))
