import inspect
import os
from unittest.mock import patch

from cryptography.fernet import Fernet
from odoo.exceptions import AccessError
from odoo.fields import Datetime
from odoo.service.model import get_public_method
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE
from ..common import IntegrationCommon

OURS = "odoo.addons.auth_integration."
# What users without a group of this app may call over RPC, and why.
ALLOWED = {
    ("auth.integration", "confirm_identity"): "only says that their own session was confirmed",
    ("res.config.settings", "get_values"): "has none of our settings for them",
    ("res.config.settings", "set_values"): "sets none of our settings for them",
    ("res.users.apikeys.show", "create"): "stores nothing; stock raises an error of the database",
    ("auth_totp.device", "unlink"): "of no record here; records of others are refused by stock",
}
# What owners may call besides: it answers for their own integrations.
OF_OWNERS = {("auth.attempt", "export")}
# An override of the ORM that answers nothing without rights.
EMPTY = {"default_get": "{}"}


@tagged("post_install", "-at_install")
class TestPublicMethods(IntegrationCommon):
    """A method without an underscore can be called by every user, on any record."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        secret_key = {ENVIRONMENT_VARIABLE: Fernet.generate_key().decode()}
        cls.enterClassContext(patch.dict(os.environ, secret_key))
        cls.employee = new_test_user(cls.env, "emil", "base.group_user")
        cls.portal = new_test_user(cls.env, "pola", "base.group_portal")
        cls.foreign.owner_ids = cls.stranger
        cls.key = cls._issue(cls.foreign, name="Key of others")[1]
        cls.key.sudo().action_rotate_now()
        cls.rotation = cls.env["auth.integration.rotation"].search(
            [("old_key_id", "=", cls.key.id)]
        )
        cls.rows = {
            record._name: record
            for record in (cls.foreign, cls.key, cls.rotation, cls.foreign.user_id, *cls._made())
        }
        cls.env.flush_all()

    @classmethod
    def _made(cls):
        """Yield a record of each other model that users do not create."""
        about = {"integration_id": cls.foreign.id}
        yield cls.env["auth.integration.incident"].create(
            {**about, "kind": "failing", "state": "open", "cause": "key_expired",
             "opened_at": Datetime.now(), "source": "x"}
        )
        diagnosis = cls.env["auth.integration.diagnosis"].create(about)
        diagnosis._line("failed", "Check", "seen", record=cls.foreign)
        yield from (diagnosis, diagnosis.line_ids)
        yield cls.env["auth.integration.key.address"].sudo().create(
            {"key_id": cls.key.id, "address": "192.0.2.77", "first_seen": Datetime.now(),
             "last_seen": Datetime.now()}
        )
        now = Datetime.now()
        row = dict.fromkeys(
            ("auth_type", "login", "user_id", "attribution", "user_agent", "reference")
        )
        cls.env["auth.attempt"]._upsert(
            row | {
                "outcome": "failure", "cause": "address_not_allowed", "channel": "json2",
                "key_id": cls.key.id, "database": cls.env.cr.dbname,
                "integration_id": cls.foreign.id, "remote_addr": "192.0.2.9",
            }, 1, now, now,
        )
        yield cls.env["auth.attempt"].search([("integration_id", "=", cls.foreign.id)], limit=1)
        yield cls.env["auth.integration.finding"].search(
            [("integration_id", "=", cls.foreign.id)], limit=1
        )
        yield from cls._dialogs()

    @classmethod
    def _dialogs(cls):
        """Yield a dialog of each kind, which an administrator has open."""
        example = {
            "integration_id": cls.foreign.id, "key_id": cls.key.id, "rotation_id": cls.rotation.id,
            "key_ids": cls.key.ids, "user_ids": cls.stranger.ids, "reason": "x", "name": "x",
            "policy_id": cls.foreign.policy_id.id, "until": "2099-01-01", "access": "full",
            "expires_at": "2099-01-01", "code": "x", "method": "replace",
            "model": "res.partner",
            "owner_id": cls.stranger.id,
            "attempt_id": cls.env["auth.attempt"].search([], limit=1).id,
        }
        for model in cls.env.values():
            if model._transient and model._original_module == "auth_integration":
                values = {k: v for k, v in example.items() if k in model._fields}
                if "wizard_id" in model._fields:
                    wizard = model._fields["wizard_id"].comodel_name
                    values["wizard_id"] = cls.env[wizard].search([], order="id desc", limit=1).id
                    values["wizard_id"] = values["wizard_id"] or cls.env[wizard].create(
                        {k: v for k, v in example.items() if k in cls.env[wizard]._fields}
                    ).id
                yield model.with_user(cls.system).create(values).with_user(cls.env.user)

    def _methods(self):
        """Yield each model with the name of each public method that this app defines for it."""
        for model in self.env.values():
            for name in sorted(set(dir(type(model)))):
                defined = [vars(cls)[name] for cls in type(model).__mro__ if name in vars(cls)]
                modules = [getattr(method, "__module__", None) or "" for method in defined]
                if "mixin" in model._name or not callable(defined[0]):
                    continue
                if any(module.startswith(OURS) for module in modules):
                    try:
                        get_public_method(model, name)
                    except (AccessError, AttributeError):
                        continue
                    yield model, name

    def _row(self, model):
        """Return a record that a low user may not read, if there is one."""
        if model._abstract:
            return model
        return self.rows.get(model._name) or model.sudo().search([], limit=1).sudo(False)

    def _call(self, user, model, name):
        """Return what a user gets from a method; None if they are refused."""
        record = self._row(model).with_user(user)
        method = getattr(record, name)
        given = ["x" for parameter in inspect.signature(method).parameters.values()
                 if parameter.default is parameter.empty
                 and parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
        try:
            with self.env.cr.savepoint(), mute_logger("odoo.addons.base.models.ir_model"):
                return repr(method(*given))
        except Exception:  # whatever it raises is no answer
            return None
        finally:
            self.env.invalidate_all()

    def test_users_without_our_groups(self):
        """They are refused by each of our methods, or it is in the table."""
        answered, seen = set(), 0
        for model, name in self._methods():
            for user in (self.employee, self.portal):
                seen += 1
                answer = self._call(user, model, name)
                if answer not in (None, EMPTY.get(name)):
                    answered.add((model._name, name))
        self.assertGreater(seen, 200)
        self.assertEqual(answered, set(ALLOWED))

    def test_an_owner_of_another_integration(self):
        """They may do no more with what is not theirs."""
        for model, name in self._methods():
            if model._name in self.rows and (model._name, name) not in {*ALLOWED, *OF_OWNERS}:
                answer = self._call(self.owner, model, name)
                with self.subTest(model=model._name, method=name):
                    self.assertIn(answer, (None, EMPTY.get(name)))
