from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.access.access_rules import FULL, REPORT
from ...tools.attempt import causes
from ...tools.health.findings import NOW
from ...tools.incident import conditions


class AuthAttempt(models.Model):
    """Determine what is left to do about a rejected attempt: nothing if it has been fixed since."""

    _name = "auth.attempt"
    _inherit = ["auth.attempt", "auth.integration.rejection.mixin"]

    has_succeeded_since = fields.Boolean(
        compute="_compute_has_succeeded_since",
        help="The external system has called successfully since.",
    )
    is_followed_by_success = fields.Boolean(
        compute="_compute_is_followed_by_success",
        help="A later call succeeded that would close an incident about this one.",
    )
    primary_fix = fields.Char(
        compute="_compute_primary_fix", help="The button that the form offers first."
    )

    def _rejected_at(self):
        return self.last_seen

    def _rejected_integration(self):
        return self._known_integration()

    def _is_operation_allowed(self):
        key = self._known_key()
        if not key or key.access == FULL or key.access_mode == REPORT:
            return bool(key)
        return self._is_listed(key)

    @api.depends("cause", "key_id", "integration_id", "remote_addr", "channel", "last_seen")
    @api.depends_context("uid")
    def _compute_has_succeeded_since(self):
        for row in self:
            row.has_succeeded_since = (
                row.cause in causes.CAUSES
                and bool(row._known_integration())
                and not row._key_to_install()
                and row._has_succeeded()
            )

    def _has_succeeded(self):
        """Extend ``_has_succeeded``: only a success that would end an incident about it counts.

        For a refused operation, that operation itself must have been called.
        """
        if self.cause == "operation_not_allowed":
            return self._has_called_operation()
        return self.is_followed_by_success

    def _compute_is_followed_by_success(self):
        # OFFSET 0 hides the expression of the host from the planner, which would use no index.
        rejected = f"""
            SELECT a.id, a.last_seen, {conditions.SERIES} FROM auth_attempt a
            WHERE a.id IN %s OFFSET 0
        """
        last = conditions.last_success("series", NOW)
        rows = self.env.execute_query(
            SQL(
                f"SELECT series.id FROM ({rejected}) series WHERE {last} > series.last_seen",
                tuple(self.ids),
            )
        ) if self.ids else []
        followed = {id_ for [id_] in rows}
        for row in self:
            row.is_followed_by_success = row.id in followed

    @api.depends("cause", "key_id", "user_id", "integration_id", "remote_addr", "operation")
    @api.depends_context("uid")
    def _compute_primary_fix(self):
        for row in self:
            best = next(filter(row._offers, row._helpful_fixes()), False)
            if best == "issue_key" and not row._needs_new_key():
                best = False
            row.primary_fix = best

    def _needs_new_key(self):
        """Extend ``_needs_new_key``: a mistyped key can be entered again."""
        return not self.sudo().similar_key_id and super()._needs_new_key()

    # Texts -----------------------------------------------------------------------------------

    @api.depends("key_id", "integration_id", "similar_key_id")
    @api.depends_context("uid", "lang")
    def _compute_cause_texts(self):
        """Extend ``_compute_cause_texts``: make the remedy as specific as possible."""
        result = super()._compute_cause_texts()
        for row in self:
            if row.cause:
                row.cause_remedy = row._with_obstacles(row._case_remedy() or row.cause_remedy)
        return result

    def _case_remedy(self):
        if self.cause == "key_unknown" and self.sudo().similar_key_id:
            return self._mistyped_remedy()
        key = self._known_key()
        if self.cause == "key_user_mismatch" and key and self._may_see(key):
            return self.env._(
                "Enter the login %(login)s in the external system. Its user ID is %(id)s.",
                login=key.login,
                id=key.user_id.id,
            )
        if text := super()._case_remedy():
            return text
        may_be_undone = self.cause == "key_revoked" and key and self._may_see(key)
        return may_be_undone and key.sudo(self.env.su)._undo_revocation_remedy()

    def _mistyped_remedy(self):
        if not self._can_issue_key():
            return self.env._("The key was mistyped. Enter it again from your password manager.")
        return self.env._(
            "The key was mistyped. Enter it again from your password manager, or create a new one."
        )
