from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from .common import RotationCommon


@tagged("post_install", "-at_install")
class TestRotationNextStep(RotationCommon):
    """The primary button of a rotation is the next thing that its reader can do."""

    def _step(self, rotation, user=None):
        rotation.invalidate_recordset()
        return rotation.with_user(user or self.owner).next_step

    def _primary(self, rotation, user=None):
        """Return the primary buttons that a reader of the form sees."""
        rotation = rotation.with_user(user or self.owner)
        rotation.invalidate_recordset()
        form = etree.fromstring(rotation.get_view(view_type="form")["arch"])
        values = {
            name: rotation[name]
            for name in ("next_step", "state", "delivery", "is_sent", "tries")
        }
        return [
            button.get("string")
            for button in form.iterfind(".//header/button[@class='btn-primary']")
            if not safe_eval(button.get("invisible", "False"), values)
        ]

    def test_claimed_by_an_owner(self):
        rotation = self._due()
        self.assertEqual(self._primary(rotation), ["Claim New Key"])
        _secret, new_key = self._claim(rotation)
        self.assertEqual((rotation.state, self._step(rotation)), ("delivered", "install"))
        self.assertEqual(self._primary(rotation), ["Connection Sheet"])
        self._use(new_key)
        action = rotation.with_user(self.owner).action_revoke_old_key()
        self.assertEqual(action["context"]["default_key_ids"], self.key.ids)
        self.assertEqual(rotation.state, "overlap")
        self.assertEqual(self._primary(rotation), [])
        self._pass_days(self.key, 8)
        rotation.invalidate_recordset()
        self.assertEqual((rotation.state, self._primary(rotation)), ("done", []))

    def test_the_integration_names_a_claimed_key_that_is_not_installed(self):
        """Unless an issue on its form names it already."""
        self.key.with_user(self.owner).action_rotate_now()
        rotation = self._rotation()
        _secret, new_key = self._claim(rotation)
        integration = self.integration.with_user(self.owner)
        self.env.invalidate_all()
        self.assertEqual(integration.claimed_prefix, new_key.prefix)
        self.assertEqual(integration.old_key_text, rotation.with_user(self.owner).old_key_text)
        action = integration.action_view_claimed_rotation()
        self.assertEqual(action["res_id"], rotation.id)
        self._set_due_in(self.key, 5)
        self.env.invalidate_all()
        self.assertEqual(integration.main_finding_ids.code, "key_expiring")
        self.assertFalse(integration.claimed_rotation_id)
        self._set_due_in(self.key, 80)
        self._use(new_key)
        self.env.invalidate_all()
        self.assertFalse(integration.claimed_rotation_id or integration.old_key_text)

    def test_old_key_still_in_use(self):
        rotation = self._due()
        _secret, new_key = self._claim(rotation)
        self._use(new_key)
        self._pass_days(new_key, 1)
        self._use(self.key, "192.0.2.8")
        self.assertTrue(rotation.late_callers)
        self.assertEqual(self._primary(rotation), ["View Calls with Old Key"])
        action = rotation.with_user(self.owner).action_view_late_calls()
        self.assertEqual(action["domain"], [("key_id", "=", self.key.id)])

    def test_fetched_by_the_external_system(self):
        self.policy.delivery = "self_service"
        rotation = self._due()
        self.assertEqual(self._primary(rotation), ["Connection Sheet"])
        action = rotation.with_user(self.owner).action_connection_sheet()
        self.assertIn(f"/sheet/{self.integration.id}", action["url"])

    def test_sent_and_not_set_up(self):
        self.policy.delivery = "webhook"
        rotation = self._due()
        self.assertEqual(self._primary(rotation), ["Set Up Delivery"])
        action = rotation.with_user(self.owner).action_set_up_delivery()
        self.assertEqual(action["res_id"], self.integration.id)

    def test_canceled(self):
        rotation = self._due()
        rotation.with_user(self.owner).action_cancel()
        self.assertEqual(self._primary(rotation), ["Rotate Key"])
        rotation.with_user(self.owner).action_rotate_again()
        self.assertEqual(len(self._rotation()), 2)

    def test_who_may_do_nothing_is_offered_nothing(self):
        rotation = self._due()
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        self.assertEqual(self._primary(rotation), [])
        self.assertEqual(self._primary(rotation, self.system), ["Claim New Key"])

    def test_the_steps_have_the_names_of_the_screen(self):
        states = dict(self.rotations._fields["state"]._description_selection(self.env))
        steps = [states[code] for code in ("due", "delivered", "overlap", "done")]
        self.assertEqual(steps, ["To Deliver", "Delivered", "Confirmed", "Old Key Replaced"])

    def test_the_window_opens_by_the_policys_clock(self):
        self.policy.write({"window_start": 22.5, "window_end": 4, "window_tz": "Asia/Tokyo"})
        at = fields.Datetime.to_datetime
        for moment, opens in (
            ("2026-03-04 12:00:00", "2026-03-04 13:30:00"),  # 21:00 there
            ("2026-03-04 13:30:00", "2026-03-04 13:30:00"),
            ("2026-03-04 18:59:00", "2026-03-04 18:59:00"),  # 3:59 there, after midnight
            ("2026-03-04 19:00:00", "2026-03-05 13:30:00"),
        ):
            self.assertEqual(self.policy._next_in_window(at(moment)), at(opens), moment)
        self.policy.write({"window_start": 8 + 1 / 3, "window_end": 9, "window_tz": "UTC"})
        found = self.policy._next_in_window(at("2026-03-04 10:00:00"))
        self.assertTrue(self.policy._is_in_window(found))
        self.assertEqual(found - at("2026-03-05 08:20:00"), timedelta())
