from types import FunctionType

from odoo import api
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import AccessError
from odoo.service.model import get_public_method
from odoo.tests import TransactionCase, tagged
from odoo.tools import ormcache

OURS = "odoo.addons.auth_integration."
# A cached answer would outlive its key or password, so these overrides are not cached. Where one
# only checks the result of Odoo's cached method, that method is still cached.
UNCACHED = {
    "res.users._check_uid_passwd": {"__cache__"},
    "res.users._compute_session_token": {"__cache__"},
}
# Odoo looks for it in every class of a model (odoo.service.model.get_public_method).
INHERITED = {"_api_private"}


def marks(function):
    """Return the attributes that decorators have set on a function, by which Odoo finds it."""
    return {name: value for name, value in vars(function).items() if name != "__wrapped__"}


# The marker of the add-on's patches of Odoo's methods is not for overrides.
OUR_PATCH = "_auth_integration_patch"


def overrides(model):
    """Yield each method of the add-on that overrides another: its name, itself and the other."""
    classes = type(model).mro()
    for place, class_ in enumerate(classes):
        if not class_.__module__.startswith(OURS):
            continue
        for name, value in vars(class_).items():
            function = getattr(value, "__func__", value)  # of a class method
            if not isinstance(function, FunctionType):
                continue
            for below in classes[place + 1 :]:
                if name in vars(below):
                    overridden = vars(below)[name]
                    yield name, function, getattr(overridden, "__func__", overridden)
                    break


@tagged("post_install", "-at_install")
class TestMarks(TransactionCase):
    """Overrides must keep the attributes that decorators set.

    By these, Odoo finds cleanups, constraints, public methods and so on: an override without them
    would never be called, or be callable by anyone.
    """

    def test_overrides_keep_the_marks(self):
        lost, seen = [], 0
        for model in self.env.values():
            for name, ours, overridden in overrides(model):
                if not isinstance(overridden, FunctionType):
                    continue
                seen += 1
                place = f"{model._name}.{name}"
                kept = marks(ours).keys() | INHERITED | {OUR_PATCH} | UNCACHED.get(place, set())
                missing = marks(overridden).keys() - kept
                lost += [f"{place} lost {mark}" for mark in sorted(missing)]
        self.assertGreater(seen, 30)  # it did check some
        self.assertEqual(lost, [])

    def test_private_stays_private(self):
        """Odoo finds this mark even if an override does not repeat it."""
        for model in self.env.values():
            for name, _ours, overridden in overrides(model):
                if getattr(overridden, "_api_private", False):
                    with self.subTest(model=model._name, method=name):
                        self.assertRaises(AccessError, get_public_method, model, name)

    def test_marks_are_seen(self):
        """The test notices a lost mark of each decorator that Odoo uses."""

        def method(self):
            pass

        decorators = {
            "autovacuum": api.autovacuum,
            "constrains": api.constrains("name"),
            "depends": api.depends("name"),
            "depends_context": api.depends_context("uid"),
            "identity": check_identity,
            "model": api.model,
            "model_create_multi": api.model_create_multi,
            "onchange": api.onchange("name"),
            "ondelete": api.ondelete(at_uninstall=False),
            "ormcache": ormcache(),
            "private": api.private,
            "readonly": api.readonly,
        }
        for name, decorator in decorators.items():
            with self.subTest(decorator=name):
                public = FunctionType(method.__code__, globals(), name)
                private = FunctionType(method.__code__, globals(), f"_{name}")
                self.assertTrue(marks(decorator(public if name == "private" else private)))
