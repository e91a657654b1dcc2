from odoo import models
from odoo.tools import SQL

from ...tools.access.needed_groups import METHODS_OF_RIGHTS

MAX_NAMED = 5


class AuthIntegrationKey(models.Model):
    """Find the rights of its user that a key does not use, and that could be removed."""

    _inherit = "auth.integration.key"

    def _unused_rights_text(self):
        """Describe what the user of this key may change and has not changed recently with the key.

        :return: text, or False when there is nothing to say
        """
        self.ensure_one()
        self.check_access("read")
        key = self.sudo()
        called = {}
        for use in key._recent_uses():
            model, method = use.operation
            called.setdefault(model, set()).add(method)
        rights = key._changing_rights()
        if not called or not rights:
            return False
        lines = [
            self._never_used(right, [
                model for model in sorted(called.keys() & rights.keys())
                if right in rights[model] and not called[model] & methods
            ])
            for right, methods in METHODS_OF_RIGHTS.items()
        ]
        others = len(rights.keys() - called.keys())
        if others:
            lines.append(
                self.env._(
                    "The user can also change records of %(count)s other models. The key has not"
                    " called these.",
                    count=others,
                )
            )
        return "\n".join(filter(None, lines)) or False

    def _never_used(self, right, names):
        if not names:
            return False
        shown = ", ".join(self.env["ir.model"].sudo()._get(name).name for name in names[:MAX_NAMED])
        if len(names) > MAX_NAMED:
            shown = self.env._(
                "%(names)s and %(count)s more", names=shown, count=len(names) - MAX_NAMED
            )
        texts = {
            "unlink": self.env._("The user can delete %(names)s. The key has not done so.",
                                 names=shown),
            "create": self.env._("The user can create %(names)s. The key has not done so.",
                                 names=shown),
            "write": self.env._("The user can change %(names)s. The key has not done so.",
                                names=shown),
        }
        return texts[right]

    def _changing_rights(self):
        """Return the rights of this key's user that allow changes of records, by model.

        :rtype: dict[str, set[str]]
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT m.model, bool_or(a.perm_write), bool_or(a.perm_create),
                       bool_or(a.perm_unlink)
                FROM ir_model_access a JOIN ir_model m ON m.id = a.model_id
                WHERE a.active AND NOT COALESCE(m.transient, FALSE)
                  AND (a.group_id IS NULL OR a.group_id IN %s)
                GROUP BY m.model
                HAVING bool_or(a.perm_write OR a.perm_create OR a.perm_unlink)
                """,
                tuple(self.user_id.all_group_ids.ids) or (0,),
            )
        )
        return {
            model: {
                right
                for right, has in zip(("write", "create", "unlink"), given, strict=True)
                if has
            }
            for model, *given in rows
        }
