from odoo import models

from ...tools.moment import moment_text


class RejectionMixin(models.AbstractModel):
    """Explain what happened to a rejected key, to users who may read it."""

    _inherit = "auth.integration.rejection.mixin"

    def _may_see(self, record):
        """Return whether the current user may read a record that was looked up for them."""
        return record.sudo(self.env.su).has_access("read")

    def _moment(self, moment):
        return moment_text(self.env, moment)

    def _explain_key_end(self):
        """Return lines about the key: when and by whom it was ended, and its replacement."""
        key = self._known_key()
        if not key:
            return [self.env._("The record of this key has been deleted.")]
        if not self._may_see(key):
            return [self.env._("You do not have access to this key.")]
        ended = key.effective_end and self._moment(key.effective_end)
        values = {"key": key.display_name, "login": key.login, "when": ended or "?"}
        if key.is_live:
            lines = [self.env._("The key %(key)s of %(login)s now works again.", **values)]
        elif key.ended_by:
            lines = [
                self.env._(
                    "The key %(key)s of %(login)s was revoked on %(when)s by %(user)s.",
                    user=key.ended_by.name,
                    **values,
                )
            ]
        else:
            lines = [
                self.env._("The key %(key)s of %(login)s stopped working on %(when)s.", **values)
            ]
        if key.end_reason:
            lines.append(self.env._("Recorded reason: %(reason)s", reason=key.end_reason))
        if key.replaced_by_id:
            lines.append(self._describe_replacement(key.replaced_by_id))
        return lines

    def _describe_replacement(self, new):
        if not new.first_used_at:
            return self.env._(
                "It was replaced by %(key)s, which has not been used yet.", key=new.display_name
            )
        return self.env._(
            "It was replaced by %(key)s, which has been in use since %(when)s, last from"
            " %(address)s.",
            key=new.display_name,
            when=self._moment(new.first_used_at),
            address=new.last_used_address or self.env._("an unknown address"),
        )
