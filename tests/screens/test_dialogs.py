from lxml import etree
from odoo.exceptions import AccessError
from odoo.tests import tagged

from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestDialogs(IntegrationCommon):
    """A dialog is a row that its user confirms: nobody else may read it, or change it before."""

    def _dialogs(self):
        for model in self.env.values():
            if model._transient and model._original_module == "auth_integration":
                yield model.sudo(False)

    def test_each_is_its_users_alone(self):
        """Unless nobody but Settings may open one of the kind."""
        self.assertGreaterEqual(len(list(self._dialogs())), 9)
        for model in self._dialogs():
            for operation in ("read", "write"):
                with self.subTest(model=model._name, operation=operation):
                    domain = self.env["ir.rule"].with_user(self.manager)._compute_domain(
                        model._name, operation
                    )
                    self.assertIn("create_uid", str(domain))

    def test_a_question_has_the_name_of_its_button(self):
        """Not “Confirmation” and “Ok”, by which nobody knows what is done."""
        ours = self.env["ir.model.data"].search(
            [("module", "=", "auth_integration"), ("model", "=", "ir.ui.view")]
        )
        seen = 0
        for view in self.env["ir.ui.view"].browse(ours.mapped("res_id")):
            arch = etree.fromstring(view.arch_db)
            for button in arch.iterfind(".//button[@confirm]"):
                seen += 1
                with self.subTest(view=view.xml_id, button=button.get("name")):
                    self.assertTrue(button.get("confirm-label"))
                    # Core's schema of lists does not allow a title.
                    self.assertTrue(arch.tag == "list" or button.get("confirm-title"))
        self.assertGreater(seen, 10)

    def test_nobody_turns_a_dialog_against_its_user(self):
        """The owner of one integration cannot have a manager revoke the keys of another one."""
        dialog = self.env["auth.integration.revoke.all"].with_user(self.manager).create(
            {"integration_id": self.integration.id, "reason": "The host was lost"}
        )
        with self.assertRaises(AccessError):
            dialog.with_user(self.stranger).integration_id = self.foreign
        with self.assertRaises(AccessError):
            dialog.with_user(self.owner).read(["reason"])
