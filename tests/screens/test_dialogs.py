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

    def test_nobody_turns_a_dialog_against_its_user(self):
        """The owner of one integration cannot have a manager revoke the keys of another one."""
        dialog = self.env["auth.integration.revoke.all"].with_user(self.manager).create(
            {"integration_id": self.integration.id, "reason": "The host was lost"}
        )
        with self.assertRaises(AccessError):
            dialog.with_user(self.stranger).integration_id = self.foreign
        with self.assertRaises(AccessError):
            dialog.with_user(self.owner).read(["reason"])
