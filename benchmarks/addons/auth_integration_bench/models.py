"""A delivery that takes no time of its own: what is measured is the rotation."""

import os

from odoo import models


class ToFile(models.AbstractModel):
    """Written to the file that ``AUTH_INTEGRATION_BENCH_FILE`` names, one key a line."""

    _name = "auth.integration.delivery.bench"
    _inherit = "auth.integration.delivery"
    _description = "Written to the benchmark's file"
    _sends = True

    def _send(self, rotation, secret, new_key):
        with open(os.environ["AUTH_INTEGRATION_BENCH_FILE"], "a") as file:
            file.write(f"{rotation.old_key_id.id} {secret}\n")
