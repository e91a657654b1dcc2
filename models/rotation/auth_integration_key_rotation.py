from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools.moment import day_text, moment_text
from ..mixins.fresh_identity import fresh_identity

# States of a rotation whose new key is not in use yet.
UNCONFIRMED = ("due", "delivering", "delivered")


class AuthIntegrationKey(models.Model):
    """The open rotation of a key, and rotations that a user starts from the key."""

    _inherit = "auth.integration.key"

    open_rotation_id = fields.Many2one(
        "auth.integration.rotation", compute="_compute_open_rotation_id"
    )

    @api.depends("state")
    @api.depends_context("uid")
    def _compute_open_rotation_id(self):
        rotations = self._open_rotations().grouped("old_key_id")
        for key in self:
            key.open_rotation_id = rotations.get(key._origin)

    def _open_rotations(self):
        """Return the rotations of these keys whose new key is not in use yet."""
        return self.env["auth.integration.rotation"].search(
            [
                ("old_key_id", "in", self.ids),
                ("cancelled_at", "=", False),
                ("state", "in", UNCONFIRMED),
            ]
        )

    def action_view_rotation(self):
        """Show the open rotation of this key."""
        self.ensure_one()
        self.check_access("read")
        return self.open_rotation_id._get_records_action()

    @fresh_identity
    def action_rotate_now(self):
        """Open a rotation of these keys at once.

        :return: True
        :raise AccessError: see ``_check_may_operate`` of their integration
        :raise UserError: the key is personal, ended or already being replaced, or the database is a
            copy
        """
        return self._rotate_now()

    def _rotate_now(self):
        self._check_may_end()
        self.env["auth.integration.database"].sudo()._check_original()
        for key in self:
            if not key.integration_id:
                raise UserError(self.env._("Personal keys are not rotated. Create a new key."))
            key.sudo().integration_id.with_env(self.env)._check_may_operate()
            if key.state not in ("active", "pending"):
                raise UserError(
                    self.env._(
                        "The key %(prefix)s… has the status “%(state)s”. Only active keys can be"
                        " rotated.",
                        prefix=key.prefix,
                        state=key._state_label(),
                    )
                )
            rotation = self.env["auth.integration.rotation"].sudo()._open(
                key.sudo(), self.env.user
            )
            rotation._start_now()
        return True

    @fresh_identity
    def action_rotate(self):
        """Open the rotation of this key and show it, so that the new key can be claimed there."""
        self.ensure_one()
        self._rotate_now()
        rotation = self.env["auth.integration.rotation"].search(
            [("old_key_id", "=", self.id), ("cancelled_at", "=", False)], limit=1
        )
        return rotation._get_records_action()

    def _replacement_text(self, policy, zone=None):
        """Return a text that says until when this key works once a new key is to replace it.

        It works for an overlap after the first call with the new key, but not beyond its own end.

        :param policy: the policy of the integration of the new key
        :param zone: a time zone other than the current user's
        """
        self.ensure_one()
        end, days = self.effective_end, policy.overlap_days
        if end and end <= fields.Datetime.now() + timedelta(days=days):
            return self.env._(
                "The old key %(prefix)s… stops on %(end)s. Install the new key before then.",
                prefix=self.prefix,
                end=moment_text(self.env, end, zone),
            )
        if not days:
            return self.env._("The old key works until the first call with the new key.")
        if end:
            return self.env._(
                "The old key works until %(days)s days after the first call with the new key, at"
                " the latest until %(end)s.",
                days=days,
                end=day_text(self.env, end, zone),
            )
        return self.env._(
            "The old key works until %s days after the first call with the new key.", days
        )
