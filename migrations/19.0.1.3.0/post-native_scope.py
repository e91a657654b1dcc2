"""From 19.0.1.2.0: keys with rules are refused wherever Odoo decides without this add-on."""

from odoo import SUPERUSER_ID, api


def migrate(cr, version):
    """Give the keys of integrations with networks or channels the native scope that says so."""
    api.Environment(cr, SUPERUSER_ID, {})["auth.integration.key"]._reconcile()
