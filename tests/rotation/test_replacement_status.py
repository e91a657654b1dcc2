from datetime import timedelta

from lxml import etree
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from .common import RotationCommon

DAY = timedelta(days=1)


@tagged("post_install", "-at_install")
class TestReplacementStatus(RotationCommon):
    """How urgent it is to replace a key: what colors its dates and those of its rotation."""

    def _status(self):
        self.env.invalidate_all()
        key = self.key.with_user(self.owner)
        return key.replacement_status, key.shows_replace_by

    def test_later_due_overdue(self):
        """Due from the day on when the schedule opens a rotation, as the issue says."""
        lead = self.policy.rotation_lead_days
        for days, status in ((90, "later"), (lead + 1, "later"), (lead - 1, "due"),
                             (1, "due"), (-1, "overdue")):
            self._set_due_in(self.key, days)
            self.assertEqual(self._status(), (status, True), days)
            self.assertEqual(self.key.id in self.rotations._due_keys(), status != "later")
            findings = self.env["auth.integration.finding"].search([("key_id", "=", self.key.id)])
            self.assertEqual("key_expiring" in findings.mapped("code"), status != "later")

    def test_a_replaced_key_is_not_to_be_replaced(self):
        """The end of its overlap is earlier than the date it should have been replaced by."""
        self.key.with_user(self.owner).action_rotate_now()
        _secret, new = self._claim()
        self.assertEqual(self._status(), ("later", True), "the new key is not in use yet")
        self._use(new)
        self.assertEqual(self.key.state, "retiring")
        self.assertLess(self.key.effective_end, self.key.replace_by)
        self.assertEqual(self._status(), (False, False))
        rotation = self._rotation()
        self.assertFalse(rotation.shows_replace_by or rotation.replacement_status)
        self._move(self.key, expires_at=self.now - DAY)
        self.assertEqual(self.key.state, "expired", "before its overlap is over")
        self.assertEqual(self._status(), (False, False))
        self._pass_days(self.key, 8)
        self.assertEqual(self.key.state, "superseded")
        self.assertEqual(self._status(), (False, False))

    def test_an_inactive_key_shows_no_date_to_replace_it_by(self):
        self._pass_days(self.key, 400)
        self.assertEqual(self.key.state, "expired")
        self.assertEqual(self._status(), ("overdue", False), "its rotation still waits")
        self.key.revoke("lost")
        self.assertFalse(self._status()[1])

    def test_never_later_than_the_end(self):
        """An end that was moved in Odoo's own table counts at once."""
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
            [self.now + DAY, self.key.apikey_id.id],
        )
        self.assertEqual(self._status(), ("later", False))

    def test_a_rotation_begun_early_is_no_alarm(self):
        """It is red once the key should have been replaced, and amber in the time to do so."""
        self.key.with_user(self.owner).action_rotate_now()
        rotation = self._rotation().with_user(self.owner)
        for days, color in ((90, None), (20, "warning"), (-1, "danger")):
            self._set_due_in(self.key, days)
            self.env.invalidate_all()
            values = {"state": rotation.state, "replacement_status": rotation.replacement_status}
            self.assertEqual(values["state"], "due")
            for view in ("list", "kanban"):
                [badge] = etree.fromstring(rotation.get_view(view_type=view)["arch"]).xpath(
                    "//field[@name='state'][@widget='badge']"
                )
                shown = [
                    name for name in ("danger", "warning", "info", "success", "muted")
                    if safe_eval(badge.get(f"decoration-{name}"), values)
                ]
                self.assertEqual(shown, [color] if color else [], (view, days))

    # Buttons ---------------------------------------------------------------------------------

    def _buttons(self, record, view_type, among):
        """Which of some buttons a view of a record shows to its owner."""
        self.env.invalidate_all()
        record = record.with_user(self.owner)
        arch = etree.fromstring(record.get_view(view_type=view_type)["arch"])
        return {
            button.get("name")
            for button in arch.iter("button")
            if button.get("name") in among
            and not safe_eval(button.get("invisible"), {
                name: record[name]
                for name in ("integration_id", "state", "open_rotation_id", "next_step", "is_sent")
                if name in record._fields
            })
        }

    def test_a_key_whose_rotation_is_open_leads_to_it(self):
        """Instead of offering to begin what has begun: in the form and in the list."""
        def shown():
            found = [
                self._buttons(self.key, view, ("action_rotate", "action_view_rotation"))
                for view in ("form", "list")
            ]
            self.assertEqual(*found)
            return found[0]

        self.assertEqual(shown(), {"action_rotate"})
        self.key.with_user(self.owner).action_rotate_now()
        self.assertEqual(shown(), {"action_view_rotation"})
        action = self.key.with_user(self.owner).action_view_rotation()
        self.assertEqual(action["res_id"], self._rotation().id)
        _secret, new = self._claim()
        self.assertEqual(shown(), {"action_view_rotation"})
        self._use(new)
        self.assertEqual(shown(), set(), "the rotation is over but for the overlap")

    def test_a_row_offers_to_claim_as_the_form_does(self):
        """Where the integration's user has rights of an administrator, the owner may not."""
        self.key.with_user(self.owner).action_rotate_now()
        for view in ("list", "kanban"):
            self.assertEqual(
                self._buttons(self._rotation(), view, ("action_claim",)), {"action_claim"}
            )
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        for view in ("list", "kanban"):
            self.assertEqual(self._buttons(self._rotation(), view, ("action_claim",)), set())
