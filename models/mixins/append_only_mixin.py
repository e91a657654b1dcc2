from odoo import api, models
from odoo.exceptions import AccessError


class AppendOnlyMixin(models.AbstractModel):
    """Records that nobody makes, changes or deletes through the ORM, administrators included.

    What writes them does so by SQL.
    """

    _name = "auth.integration.append.only.mixin"
    _description = "Records that are written once, and by nobody"

    # pylint: disable=method-required-super,no-raise-unlink  # refusing is what they are for

    @api.model_create_multi
    def create(self, vals_list):
        """Refuse."""
        raise self._append_only()

    def write(self, vals):
        """Refuse."""
        raise self._append_only()

    def unlink(self):
        """Refuse."""
        raise self._append_only()

    def _append_only(self):
        return AccessError(
            self.env._(
                "The log of attempts cannot be changed, by administrators neither. Old attempts are"
                " removed after the time that is set in Settings."
            )
        )
