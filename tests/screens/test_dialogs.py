import os
from datetime import timedelta
from unittest.mock import patch

from cryptography.fernet import Fernet
from lxml import etree
from odoo.exceptions import AccessError
from odoo.fields import Command, Datetime
from odoo.tests import tagged

from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE
from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestDialogs(IntegrationCommon):
    """A dialog is a row that its user confirms: no one else may read it, or change it before."""

    def _dialogs(self):
        for model in self.env.values():
            if model._transient and model._original_module == "auth_integration":
                yield model.sudo(False)

    def test_each_is_its_users_alone(self):
        """Unless only Settings may open a dialog of this kind."""
        self.assertGreaterEqual(len(list(self._dialogs())), 9)
        for model in self._dialogs():
            for operation in ("read", "write"):
                with self.subTest(model=model._name, operation=operation):
                    domain = self.env["ir.rule"].with_user(self.manager)._compute_domain(
                        model._name, operation
                    )
                    self.assertIn("create_uid", str(domain))

    def test_a_question_has_the_name_of_its_button(self):
        """Not “Confirmation” and “Ok”, which do not say what is done."""
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
                    # Odoo's schema of lists does not allow a title.
                    self.assertTrue(arch.tag == "list" or button.get("confirm-title"))
        self.assertGreater(seen, 10)

    def test_nobody_turns_a_dialog_against_its_user(self):
        """The owner of one integration cannot make a manager revoke another integration's keys."""
        dialog = self.env["auth.integration.revoke.all"].with_user(self.manager).create(
            {"integration_id": self.integration.id, "reason": "The host was lost"}
        )
        with self.assertRaises(AccessError):
            dialog.with_user(self.stranger).integration_id = self.foreign
        with self.assertRaises(AccessError):
            dialog.with_user(self.owner).read(["reason"])


@tagged("post_install", "-at_install")
class TestNamedRecords(IntegrationCommon):
    """A dialog must not show the names of records that its user may not read.

    Odoo reads the name of a many2one as superuser, and related fields from the cache that this
    fills.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secret_key = Fernet.generate_key().decode()
        cls.foreign.webhook_url = "https://hooks.example.com/services/secret-path"
        cls.own, cls.other = (
            cls._records(integration) for integration in (cls.integration, cls.foreign)
        )

    def setUp(self):
        super().setUp()
        self.enterContext(patch.dict(os.environ, {ENVIRONMENT_VARIABLE: self.secret_key}))

    @classmethod
    def _records(cls, integration):
        """Make one record of each model that a dialog refers to."""
        key = cls._issue(integration, name=f"Key of {integration.name}")[1]
        key.action_rotate_now()
        rotation = cls.env["auth.integration.rotation"].search([("old_key_id", "=", key.id)])
        return {record._name: record for record in (integration, key, rotation)}

    def _cases(self):
        """Yield each dialog that an owner may open, with each field that refers to a record."""
        for model in self.env.values():
            if not model._transient or model._original_module != "auth_integration":
                continue
            if not model.with_user(self.owner).has_access("create"):
                continue
            for name, field in model._fields.items():
                if field.store and field.relational and field.comodel_name in self.own:
                    yield model.with_user(self.owner), name

    def _values(self, model, name, records):
        """Return values to create a dialog in which one field refers to the given records."""
        examples = {
            "reason": "A test", "name": "A test", "access": "full", "until": self._next_week()
        }
        values = {key: value for key, value in examples.items() if key in model._fields}
        for other, field in model._fields.items():
            if field.store and field.relational and field.comodel_name in self.own:
                if field.required or other == name:
                    chosen = (records if other == name else self.own)[field.comodel_name]
                    many = field.type == "many2many"
                    values[other] = [Command.set(chosen.ids)] if many else chosen.id
        return values

    def _next_week(self):
        return Datetime.now() + timedelta(days=7)

    def test_a_dialog_names_what_its_user_may_read(self):
        cases = list(self._cases())
        self.assertGreaterEqual(len(cases), 9)
        for model, name in cases:
            with self.subTest(model=model._name, field=name):
                dialog = model.create(self._values(model, name, self.own))
                self.assertTrue(dialog.read())
                foreign = self._values(model, name, self.other)
                with self.assertRaises(AccessError):
                    model.create(foreign)
                with self.assertRaises(AccessError):
                    dialog.write({name: foreign[name]})

    def test_a_new_form_names_it_neither(self):
        """Neither with a value that the web client sends nor with a default of the context."""
        for model, name in self._cases():
            spec = self._form_fields(model)
            own, foreign = (
                self._values(model, name, records) for records in (self.own, self.other)
            )
            with self.subTest(model=model._name, field=name):
                self.env.invalidate_all()
                self.assertTrue(model.onchange(own, [], spec))
                for shown in (spec, {name: spec[name]}):
                    self.env.invalidate_all()
                    with self.assertRaises(AccessError):
                        model.onchange(foreign, [], shown)
                    self.env.invalidate_all()
                    with self.assertRaises(AccessError):
                        context = {f"default_{name}": foreign[name]}
                        model.with_context(**context).onchange({}, [], shown)

    def _form_fields(self, model):
        return {
            name: {"fields": {"display_name": {}}} if field.relational else {}
            for name, field in model._fields.items()
            if field.type != "one2many" and model._has_field_access(field, "read")
        }

    def test_a_former_owner_reads_no_more_of_it(self):
        dialog = self.env["auth.integration.signing.secret"].with_user(self.owner).create(
            {"integration_id": self.integration.id}
        )
        self.integration.owner_ids = self.stranger
        self.integration.webhook_url = "https://hooks.example.com/services/new-secret-path"
        self.env.invalidate_all()
        with self.assertRaises(AccessError):
            dialog.read()
        with self.assertRaises(AccessError):
            dialog.write({"integration_id": self.integration.id})

    def test_a_dialog_that_is_gone_reads_as_nothing(self):
        dialog = self.env["auth.integration.signing.secret"].with_user(self.owner).create(
            {"integration_id": self.integration.id}
        )
        dialog.sudo().unlink()
        self.assertFalse(dialog.read(["integration_id"]))
