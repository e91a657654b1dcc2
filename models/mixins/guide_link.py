from odoo import models

from ...tools.attempt import cause_texts, causes
from ...tools.health import guide

MANAGER = "auth_integration.auth_integration_group_manager"


class GuideLinkMixin(models.AbstractModel):
    """A button that opens the part of the guide about a record."""

    _name = "auth.integration.guide.link.mixin"
    _description = "Link to the Guide"

    def action_learn_more(self):
        """Open the guide at the cause or issue of this record, in a new window."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"{guide.PATH}#{self._guide_anchor()}",
            "target": "new",
        }

    def _remedy_for_reader(self, cause):
        """Return the remedy for the current user: owners may do less than administrators."""
        is_manager = self.env.su or self.env.user.has_group(MANAGER)
        remedy = causes.get(cause).remedy if is_manager else cause_texts.owner_remedy(cause)
        return self.env._(remedy)

    def _guide_anchor(self):
        """Return the guide's anchor for this record; see :mod:`tools.health.guide`."""
        raise NotImplementedError
