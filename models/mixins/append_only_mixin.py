from odoo import api, models
from odoo.exceptions import AccessError


class AppendOnlyMixin(models.AbstractModel):
    """Records that cannot be created, changed or deleted through the ORM, even by administrators.

    They are written by SQL only.
    """

    _name = "auth.integration.append.only.mixin"
    _description = "Records that are never changed"

    # pylint: disable=method-required-super,no-raise-unlink  # they always raise

    @api.model_create_multi
    def create(self, vals_list):
        """Raise an AccessError."""
        raise self._append_only()

    def write(self, vals):
        """Raise an AccessError."""
        raise self._append_only()

    def unlink(self):
        """Raise an AccessError."""
        raise self._append_only()

    def _append_only(self):
        return AccessError(
            self.env._(
                "The log is read-only, even for administrators. Old attempts are deleted"
                " automatically after the period in Settings."
            )
        )
