"""From 19.0.1.2.0: keys with rules are rejected wherever Odoo decides without this add-on."""

from odoo import SUPERUSER_ID, api


def migrate(cr, version):
    """Set the native scope of keys with rules on keys of integrations with networks or channels."""
    api.Environment(cr, SUPERUSER_ID, {})["auth.integration.key"]._reconcile()
