from odoo import api, models
from odoo.exceptions import AccessError


class AppendOnlyMixin(models.AbstractModel):
    """Records that nobody makes, changes or deletes through the ORM, administrators included.

    What writes them does so by SQL.
    """

    _name = "auth.integration.append.only.mixin"
    _description = "Records that are never changed"

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
                "The log is read-only, even for administrators. Old attempts are deleted"
                " automatically after the period in Settings."
            )
        )
