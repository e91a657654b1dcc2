from datetime import timedelta

from odoo import fields, models
from odoo.tools import SQL

from ...tools.access import suggestion
from ...tools.access.access_rules import FULL, REPORT, operation_name
from ...tools.access.suggestion import SUGGEST_DAYS, Use

# How many replaced keys before the present one count for a suggestion; a key lives some months.
MAX_PREDECESSORS = 10
MAX_NAMED = 5


class AuthIntegrationKey(models.Model):
    """Suggest an access for a key, and tell what an access would have rejected."""

    _inherit = "auth.integration.key"

    access_changed_at = fields.Datetime("Access Changed On", readonly=True)
    reported_count = fields.Integer(
        "Calls that would be rejected", compute="_compute_reported_count", compute_sudo=True
    )

    def _compute_reported_count(self):
        counts = dict(
            self.env["auth.integration.key.operation"]._read_group(
                [("key_id", "in", self.ids), ("refused_count", ">", 0)],
                ["key_id"],
                ["refused_count:sum"],
            )
        )
        for key in self:
            key.reported_count = counts.get(key._origin, 0)

    def _write_access(self, access):
        """Extend :meth:`_write_access`: restart the count of rejections at each change."""
        result = super()._write_access(access)
        self.access_changed_at = fields.Datetime.now()
        self.flush_recordset()
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration_key_operation SET refused_count = 0"
                " WHERE key_id = %s AND refused_count > 0",
                self.id,
            )
        )
        self.env["auth.integration.key.operation"].invalidate_model(["refused_count"])
        return result

    # Suggestion ------------------------------------------------------------------------------

    def _recent_uses(self):
        """Return what this key and those that it has replaced did in the last 90 days.

        :rtype: list[Use]
        """
        self.ensure_one()
        self.flush_model(["replaces_id"])
        rows = self.env.execute_query(
            SQL(
                """
                WITH RECURSIVE chain(id, replaces_id, depth) AS (
                    SELECT id, replaces_id, 0 FROM auth_integration_key WHERE id = %s
                    UNION ALL
                    SELECT k.id, k.replaces_id, depth + 1
                    FROM chain JOIN auth_integration_key k ON k.id = chain.replaces_id
                    WHERE depth < %s
                )
                SELECT o.model, o.method, sum(o.use_count), sum(o.write_count)
                FROM auth_integration_key_operation o
                JOIN chain ON chain.id = o.key_id
                WHERE o.use_count > 0 AND o.last_used_at >= %s
                GROUP BY o.model, o.method ORDER BY sum(o.use_count) DESC, o.model, o.method
                """,
                self.id,
                MAX_PREDECESSORS,
                fields.Datetime.now() - timedelta(days=SUGGEST_DAYS),
            )
        )
        return [Use((model, method), uses, writes) for model, method, uses, writes in rows]

    def _suggested_access(self):
        """Return the narrowest access that would have rejected no recent use, or None.

        :rtype: KeyAccess | None
        """
        self.check_access("read")
        return suggestion.suggest(self.sudo()._recent_uses(), self._is_reading)

    def _effect_text(self, access):
        """Describe which recent uses of this key an access would have rejected."""
        self.check_access("read")
        uses = self.sudo()._recent_uses()
        if not uses:
            return self.env._(
                "No call of this key has been counted yet, so its effect cannot be predicted."
            )
        found = suggestion.rejected(uses, access, self._is_reading, self._is_in_star)
        if not found:
            return self.env._(
                "Nothing that this key did in the last %(days)s days would have been rejected.",
                days=SUGGEST_DAYS,
            )
        lines = [
            self.env._(
                "• %(operation)s: %(count)s calls",
                operation=operation_name(use.operation),
                count=use.uses,
            )
            for use in found[:MAX_NAMED]
        ]
        if len(found) > MAX_NAMED:
            lines.append(
                self.env._("• and %(count)s more operations", count=len(found) - MAX_NAMED)
            )
        return "\n".join(
            [
                self.env._(
                    "Would have been rejected in the last %(days)s days:", days=SUGGEST_DAYS
                ),
                *lines,
            ]
        )

    # Actions ---------------------------------------------------------------------------------

    def action_change_access(self):
        """Open the dialog that changes what this key may do."""
        self.ensure_one()
        self._check_may_end()
        return self.env["auth.integration.access"]._open(self)

    def action_suggest_access(self):
        """Open the dialog with the access that the use of this key suggests."""
        self.ensure_one()
        self._check_may_end()
        return self.env["auth.integration.access"]._open(self, is_suggested=True)

    def action_enforce_access(self):
        """Start to reject what was only reported until now."""
        for key in self:
            if key.access != FULL and key.access_mode == REPORT:
                key._set_access(mode="enforce", reason=self.env._("The report was reviewed."))
        return True
