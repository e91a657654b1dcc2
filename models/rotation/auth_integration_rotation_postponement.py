from odoo import fields, models
from odoo.exceptions import UserError

from ...tools.moment import moment_text
from ...tools.row_locks import wait_and_lock


class AuthIntegrationRotation(models.Model):
    """Postpone rotations: nobody is asked and nothing is sent until a date."""

    _inherit = "auth.integration.rotation"

    def action_postpone(self):
        """Open the dialog that postpones this rotation."""
        self.ensure_one()
        self.integration_id._check_may_operate()
        return self.env["auth.integration.postpone"]._get_records_action(
            name=self.env._("Postpone Rotation"),
            target="new",
            context={"default_rotation_id": self.id},
        )

    def postpone(self, until, reason):
        """Postpone rotations: no activity, notice or delivery until a date.

        :param until: UTC; not after the end of the old key
        :param str reason: stored on the rotation and in the integration's history
        :return: True
        :raise UserError: no reason, a date in the past or after the old key's end, or too late
        """
        until = fields.Datetime.to_datetime(until) if until else None
        if not isinstance(reason, str) or not reason.strip():
            raise UserError(self.env._("Enter a reason. It stays on record."))
        reason = self._clean_text("postponed_reason", reason.strip())
        for rotation in self:
            rotation.integration_id._check_may_operate()
            rotation = rotation.sudo()
            wait_and_lock(rotation)
            rotation._check_not_over()
            end = rotation.old_key_id.effective_end
            if not until or not fields.Datetime.now() < until or (end and until > end):
                raise UserError(
                    self.env._(
                        "Choose a date between now and %(end)s, when the old key expires.",
                        end=moment_text(self.env, end),
                    )
                )
            rotation.write(
                {
                    "postponed_until": until,
                    "postponed_by": self.env.uid,
                    "postponed_reason": reason,
                }
            )
            rotation._close_activities(self.env._("Postponed: %s", reason))
            if rotation.is_sent:
                rotation._trigger_next_try()
            rotation._note_by(
                self.env.user,
                self.env._(
                    "%(user)s postponed the rotation of %(old)s… until %(until)s: %(reason)s",
                    user=self.env.user.name,
                    old=rotation.old_key_id.prefix,
                    until=rotation.old_key_id._shared_moment_text(until),
                    reason=reason,
                )
            )
        return True
