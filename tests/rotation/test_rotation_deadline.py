"""When a key should be replaced, and when it ends in any case."""

from collections import Counter
from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from ..common import IntegrationCommon
from .common import RotationCommon


@tagged("post_install", "-at_install")
class TestRotationDeadline(RotationCommon):
    def test_the_policy_gives_both_dates(self):
        """Replaced after 90 days, rejected after 30 more; ``enforce`` gives no more days."""
        day, issued = timedelta(days=1), self._issue(self.integration)[1]
        self.policy.on_deadline = "enforce"
        enforced = self._issue(self.integration)[1]
        chosen = self._issue(self.integration, expires_at=self.now + 5 * day)[1]
        for key, replace_by, end in ((issued, 90, 120), (enforced, 90, 90), (chosen, 5, 5)):
            for date, days in ((key.replace_by, replace_by), (key.expires_at, end)):
                self.assertAlmostEqual((date - self.now) / day, days, places=2)
            self.assertEqual(self._native(key), (key.expires_at,))
        self.assertEqual(issued.rotate_after, issued.replace_by - 30 * day)

    def test_overdue_key_works_to_its_end(self):
        """No job moves an end: neither before the day it should be replaced, nor after."""
        rotation, end = self._due(), self.key.expires_at
        for days in (19, 1, 1, 14, 14):  # begins a day before it should be replaced
            self._pass_days(self.key, days)
            end -= timedelta(days=days)
            self._run()
            self.assertEqual((self.key.state, self.key.expires_at), ("active", end))
            self.assertEqual(self._native(self.key), (end,))
            self.assertEqual(rotation.state, "due")
        self._pass_days(self.key, 3)
        self._run()
        self.assertEqual((self.key.state, rotation.state), ("expired", "due"))

    def test_digest_names_key_time_and_place(self):
        """In the reader's own time zone, with a link to where the key is claimed."""
        self.owner.tz = "Asia/Tokyo"
        self._set_due_in(self.key, 5)
        self._run()
        end = self.key.replace_by + timedelta(hours=9)
        mail = self._mails(self.owner)
        self.assertIn(self.integration.name, mail.subject)
        day, minutes = f"{end:%b} {end.day}, {end.year}", f"{end.hour % 12 or 12}:{end:%M}"
        self.assertRegex(
            mail.body_html, rf"{day}, {minutes}\s[AP]M \(Asia/Tokyo\)</strong>"
        )
        self.assertIn(self.key.name, mail.body_html)
        self.assertIn(f"model=auth.integration&amp;res_id={self.integration.id}", mail.body_html)

    def test_nothing_is_claimed_where_the_key_is_sent(self):
        """An owner may still install one by hand, which every page says."""
        for delivery, sent in (("claim", False), ("self_service", False), ("webhook", True)):
            with self.subTest(delivery=delivery):
                self.policy.delivery = delivery
                self.key.action_rotate_now()
                rotation = self.rotations._open_of(self.key)
                self.assertEqual(rotation.is_sent, sent)
                advice = self.env["auth.integration.digest.line"]._advice(rotation)
                self.assertEqual("has not been sent yet" in advice, sent)
                values = {
                    "state": "due", "delivery": delivery, "is_sent": sent, "tries": 0,
                    "next_step": rotation.next_step, "claimed_before": False,
                }
                for view in (rotation.get_view(view_type="form"), self.env[
                    "auth.integration.claim"].get_view(view_type="form")):
                    labels = {
                        button.get("string")
                        for button in etree.fromstring(view["arch"]).iterfind(".//button")
                        if not safe_eval(button.get("invisible", "False"), values)
                    }
                    claims = [label for label in labels if "Claim" in label]
                    self.assertEqual(bool(claims), not sent, labels)
                self.assertEqual("Claim" in rotation.action_claim()["name"], not sent)
                rotation.action_cancel()

    def test_enforce_lets_the_key_end(self):
        """Its rotation stays open: an owner can still claim a new key."""
        self.policy.on_deadline = "enforce"
        rotation = self._due()
        self._set_end(self.key, -0.1)
        self._run()
        self.assertEqual((self.key.state, rotation.state), ("expired", "due"))
        _secret, new = self._claim(rotation)
        self._use(new)
        self.assertEqual((self.key.state, rotation.state), ("expired", "done"))

    def test_superseded_key_never_comes_back(self):
        """Not even if its replacement has also ended before what would have been its last day."""
        _secret, new = self._claim(self._due())
        self._use(new)
        self._move(self.key, retire_at=fields.Datetime.now() - timedelta(hours=1))
        self._run()
        new.revoke("gone")
        self._run()
        self.assertEqual((self.key.state, self.key.end_kind), ("superseded", "superseded"))
        self.assertIsNone(self._check(self.secret))


@tagged("post_install", "-at_install")
class TestImportedKeysEnd(IntegrationCommon):
    def test_keys_adopted_on_one_day_end_on_different_days(self):
        """Otherwise all of them would have to be rotated in the same night, every time."""
        natives = []
        for number in range(30):
            self.env.cr.execute(
                "INSERT INTO res_users_apikeys (name, user_id, index, key, create_date)"
                " VALUES ('old', %s, %s, %s, now() AT TIME ZONE 'UTC') RETURNING id",
                (self.integration.user_id.id, f"{number:08x}", f"hash{number}"),
            )
            natives.append(self.env.cr.fetchone()[0])
        keys = self.env["auth.integration.key"]
        keys._reconcile()
        imported = keys.search([("apikey_id", "in", natives)])
        days = {key.replace_by.date() for key in imported}
        self.assertGreater(len(days), 15)
        now = fields.Datetime.now()
        for key in imported:
            self.assertEqual(self._native(key), (key.expires_at,))
            self.assertLessEqual(key.replace_by, now + timedelta(days=90, minutes=1))
            self.assertEqual(key.expires_at - key.replace_by, timedelta(days=30))
            self.assertGreater(key.rotate_after, now)
        self._assert_graph_shows(imported)
        ends = {key.id: key.expires_at for key in imported}
        keys._reconcile()
        self.assertEqual({key.id: key.expires_at for key in imported}, ends)

    def _assert_graph_shows(self, keys):
        """Check the number of ends per month, as an owner's graph queries it."""
        keys = keys.with_user(self.owner)
        view = keys.get_view(view_type="graph")
        self.assertIn("effective_end", view["arch"])
        groups = keys.formatted_read_group(
            [("id", "in", keys.ids)], ["effective_end:month", "state"], ["__count"]
        )
        shown = Counter()
        for group in groups:
            shown[group["effective_end:month"][0][:7]] += group["__count"]
        ending = Counter(key.expires_at.strftime("%Y-%m") for key in keys)
        self.assertEqual(shown, ending)
