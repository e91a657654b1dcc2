from odoo import models
from odoo.tools import SQL

from ...tools.access import needed_groups


class AuthIntegrationKey(models.Model):
    """Determine which groups a dedicated user would need for what a key does."""

    _inherit = "auth.integration.key"

    def _needed_groups(self):
        """Return the groups of these keys' user that their calls of the last 90 days need.

        Groups that every user of its kind has are left out, and the result never gives more rights
        than that user has.  What a method does internally is not known, so an administrator has to
        review the result.

        :rtype: odoo.addons.base.models.res_groups.ResGroups
        """
        keys = self.sudo()
        user = keys.user_id.ensure_one()
        uses = [use for key in keys for use in key._recent_uses()]
        needed = needed_groups.used_rights(uses)
        offered = user._offered_groups()
        rights = self._rights_of_groups((offered | user._kind_of_user()).all_implied_ids)
        chosen = needed_groups.least_groups(
            needed,
            self._rights_of(user._kind_of_user(), rights),
            {group.id: self._rights_of(group, rights) for group in offered},
        )
        return self.env["res.groups"].browse(chosen)

    @staticmethod
    def _rights_of(group, rights):
        """Return all rights of a group, with those of everybody and of its implied groups.

        :param rights: as returned by :meth:`_rights_of_groups`
        """
        found = set(rights.get(False, ()))
        return found.union(*(rights.get(id_, ()) for id_ in group.all_implied_ids.ids))

    def _rights_of_groups(self, groups):
        """Return the rights that each group gives by itself, and those that everybody has.

        :return: sets of pairs of a model and a right, by id of the group or False for everybody
        :rtype: dict[int | bool, set[tuple[str, str]]]
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT a.group_id, m.model, given.right_name
                FROM ir_model_access a JOIN ir_model m ON m.id = a.model_id,
                LATERAL (VALUES ('read', a.perm_read), ('write', a.perm_write),
                                ('create', a.perm_create), ('unlink', a.perm_unlink)
                ) given (right_name, is_given)
                WHERE a.active AND given.is_given
                  AND (a.group_id IS NULL OR a.group_id IN %s)
                """,
                tuple(groups.ids) or (0,),
            )
        )
        rights = {}
        for group_id, model, right in rows:
            rights.setdefault(group_id or False, set()).add((model, right))
        return rights
