"""Runs the selected tests of Odoo once all modules, including the add-on, are installed.

Many of Odoo's tests run while their own module is installed, before the add-on. This add-on, listed
in ``--load``, makes them run with the others.
"""

import geoip2.models
from odoo.tests import loader


def _as_once(model):
    """Take arguments as geoip2 did before version 5, for which ``test_http`` is written."""
    return lambda raw, locales: model(locales, **raw)


geoip2.models.City = _as_once(geoip2.models.City)
geoip2.models.Country = _as_once(geoip2.models.Country)
_make_suite = loader.make_suite


def make_suite(module_names, position="at_install"):
    if position == "at_install":
        return loader.OdooSuite()
    suite = _make_suite(module_names, "post_install")
    return loader.OdooSuite([*_make_suite(module_names, "at_install"), *suite])


loader.make_suite = make_suite
