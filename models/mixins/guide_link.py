from odoo import models

from ...tools.health import guide


class GuideLinkMixin(models.AbstractModel):
    """A button that leads to what the guide says about a record."""

    _name = "auth.integration.guide.link.mixin"
    _description = "Link to the Guide"

    def action_learn_more(self):
        """Open the guide at the cause or issue of this record, in a window of its own."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"{guide.PATH}#{self._guide_anchor()}",
            "target": "new",
        }

    def _guide_anchor(self):
        """The anchor of what this record is about; see :mod:`tools.health.guide`."""
        raise NotImplementedError
