from odoo.exceptions import AccessError
from odoo.fields import Command, Datetime
from odoo.tests import new_test_user, tagged

from ..common import IntegrationCommon

HIDDEN = "hidden-from-all"


@tagged("post_install", "-at_install")
class TestNoRow(IntegrationCommon):
    """What is no row of the database tells nothing of records that its reader may not read.

    Core answers for such a record from defaults in the context.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.foreign.write(
            {
                "name": f"Name {HIDDEN}", "code": f"{HIDDEN}-code", "purpose": HIDDEN,
                "webhook_url": f"https://{HIDDEN}.example/", "allowed_networks": "192.0.2.77",
            }
        )
        cls.key = cls._issue(cls.foreign, name=f"Key {HIDDEN}")[1]
        cls.key.sudo().action_rotate_now()
        cls.rotation = cls.env["auth.integration.rotation"].search(
            [("old_key_id", "=", cls.key.id)]
        )
        cls.employee = new_test_user(cls.env, "emil", "base.group_user,base.group_allow_export")
        cls.owner.group_ids += cls.env.ref("base.group_allow_export")
        cls.env["auth.integration.key.address"].sudo().create(
            {
                "key_id": cls.key.id, "address": "192.0.2.77",
                "first_seen": Datetime.now(), "last_seen": Datetime.now(),
            }
        )
        cls.hidden = (HIDDEN, cls.key.prefix, "192.0.2.77")
        cls.records = {
            record._name: record
            for record in (
                cls.foreign, cls.key, cls.rotation, cls.foreign.user_id,
                cls.env["ir.module.module"].search([("name", "=", "auth_integration")]),
            )
        }

    def _models(self):
        for model in self.env.values():
            if model._original_module == "auth_integration" and not model._abstract:
                yield model
        yield from (self.env["base.module.uninstall"], self.env["res.users"])

    def _named(self, model):
        """Return values for all fields of a model that can refer to a hidden record."""
        values = {}
        for name, field in model._fields.items():
            if field.relational and (record := self.records.get(field.comodel_name)):
                many = field.type != "many2one"
                values[name] = [Command.set(record.ids)] if many else record.id
        return values

    def _reads(self, record):
        """Yield each way to read a record, field by field: a name, a method and its arguments."""
        readable = [
            name for name, field in record._fields.items()
            if name != "id" and record._has_field_access(field, "read")
        ]
        spec = {
            name: {"fields": {"display_name": {}}} if record._fields[name].relational else {}
            for name in readable
        }
        for name in readable:
            yield name, record.read, [name]
            yield name, record.web_read, {name: spec[name]}
            yield name, record.export_data, [name]
            if record._fields[name].relational:
                yield name, record.export_data, [f"{name}/display_name"]
        yield "copy_data", record.copy_data
        for origin in (record, record.browse()):
            yield "onchange", origin.onchange, self._named(record), [], spec
            yield "onchange", origin.onchange, {}, [], spec

    def test_default_values_tell_nothing(self):
        seen = 0
        for user in (self.employee, self.owner):
            for model in self._models():
                values = self._named(model)
                if not values:
                    continue
                seen += 1
                context = {f"default_{name}": value for name, value in values.items()}
                context |= {"active_ids": self.key.ids, "active_id": self.key.id}
                record = model.with_user(user).with_context(**context).browse([0])
                for name, method, *arguments in self._reads(record):
                    self.env.invalidate_all()
                    try:
                        with self.env.cr.savepoint():
                            answer = str(method(*arguments))
                    except Exception:  # whatever core or we raise is no answer
                        continue
                    with self.subTest(user=user.login, model=model._name, what=name):
                        self.assertFalse([text for text in self.hidden if text in answer])
        self.assertGreater(seen, 20)

    def test_every_model_has_the_mixin(self):
        mixins = ["auth.integration.defaults.mixin", "auth.integration.dialog.mixin"]
        for model in self._models():
            if model._original_module == "auth_integration":
                with self.subTest(model=model._name):
                    for name in mixins if model._transient else mixins[:1]:
                        self.assertIsInstance(model, self.registry[name])

    def test_a_dialog_is_a_row_or_a_form(self):
        """Also to those who may open it, and whatever the defaults."""
        for user in (self.owner, self.manager, self.system):
            for model in self._models():
                if not model._transient or not model.with_user(user).has_access("create"):
                    continue
                if model._original_module != "auth_integration":
                    continue
                record = model.with_user(user).browse([0])
                with self.subTest(user=user.login, model=model._name):
                    with self.assertRaises(AccessError):
                        record.read(["id"])
                    with self.assertRaises(AccessError):
                        record.onchange({}, [], {})
