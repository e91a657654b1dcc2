"""A delivery that takes hardly any time, so that only the rotation is measured."""

import os

from odoo import models


class ToFile(models.AbstractModel):
    """Append each key as a line to the file that ``AUTH_INTEGRATION_BENCH_FILE`` names."""

    _name = "auth.integration.delivery.bench"
    _inherit = "auth.integration.delivery"
    _description = "Written to the benchmark's file"
    _sends = True

    def _send(self, rotation, secret, new_key):
        with open(os.environ["AUTH_INTEGRATION_BENCH_FILE"], "a") as file:
            file.write(f"{rotation.old_key_id.id} {secret}\n")
