from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.row_locks import wait_and_lock
from ..key.auth_integration_key import STATEMENT_NOW

# After the first use of the new key, a system may still finish work with the old key for this long.
GRACE = timedelta(hours=1)


class AuthIntegrationRotation(models.Model):
    """Notify users of an overlap: that it has begun, and whose calls will be rejected after it.

    It begins with a key's first use: :meth:`auth.integration.key._confirm_first_use`.
    """

    _inherit = "auth.integration.rotation"

    late_callers = fields.Char(
        "Old Key Still Used From", compute="_compute_late_callers", compute_sudo=True
    )
    old_key_used_since = fields.Boolean(
        compute="_compute_old_key_used_since", compute_sudo=True,
        help="The old key was used after the first use of the new one.",
    )
    old_key_used_at = fields.Datetime(
        "Old Key Last Used", related="old_key_id.last_used_at", related_sudo=True
    )
    old_key_used_from = fields.Char(related="old_key_id.last_used_address", related_sudo=True)
    late_callers_notified_at = fields.Datetime(
        "Late Use Notified At",
        readonly=True, help="When the owners were notified about calls with the old key."
    )

    @api.model
    def _rotations_to_announce(self):
        return self.search(
            [
                ("announced_at", "=", False),
                ("cancelled_at", "=", False),
                ("new_key_id.first_used_at", "!=", False),
                ("old_key_id.replaced_by_id", "!=", False),
            ],
            order="id",
        ).ids

    def _announce(self, rotation_ids):
        """Post on the integrations that the new key is in use."""
        rotations = self.browse(rotation_ids)
        wait_and_lock(rotations)
        rotations = rotations.filtered(lambda rotation: not rotation.announced_at)
        for rotation in rotations:
            rotation._notify(
                self.env._(
                    "The new API key %(new)s… was first used on %(first)s from %(address)s."
                    " The old key %(old)s… expires on %(end)s.",
                    new=rotation.new_key_id.prefix,
                    first=rotation.old_key_id._shared_moment_text(rotation.confirmed_at),
                    address=rotation.new_key_id.address_ids.sorted("first_seen")[:1].address or "?",
                    old=rotation.old_key_id.prefix,
                    end=rotation.old_key_id._shared_moment_text(rotation.deadline),
                )
            )
        rotations.announced_at = fields.Datetime.now()

    # Late callers, who still call with the old key ---------------------------------------------

    def _compute_late_callers(self):
        """Compute the addresses, latest caller first; empty outside of an overlap."""
        found = dict(self._late_callers(SQL("r.id IN %s", tuple(self.ids)))) if self.ids else {}
        for rotation in self:
            rotation.late_callers = found.get(rotation.id, False)

    def _compute_old_key_used_since(self):
        """Compute it without the grace period, after which :attr:`late_callers` starts.

        Of calls in the same second, the order is not known: that of the old key counts as later.
        """
        for rotation in self:
            old, new = rotation.old_key_id.last_used_at, rotation.confirmed_at
            rotation.old_key_used_since = bool(
                rotation.state == "overlap" and old and new and old >= new
            )

    @api.model
    def _late_callers(self, condition):
        """Return the addresses that still use the old key of rotations in their overlap.

        :param SQL condition: on the rotation ``r``, its old key ``o`` and the new one ``n``
        :return: pairs of the rotation's id and the comma-separated addresses
        """
        self.env.flush_all()
        return self.env.execute_query(
            SQL(
                """
                SELECT r.id, string_agg(a.address, ', ' ORDER BY a.last_seen DESC)
                FROM auth_integration_rotation r
                JOIN auth_integration_key o ON o.id = r.old_key_id
                JOIN auth_integration_key n ON n.id = o.replaced_by_id
                JOIN auth_integration_key_address a
                    ON a.key_id = o.id AND a.last_seen > n.first_used_at + %(grace)s
                WHERE r.cancelled_at IS NULL AND o.ended_at IS NULL AND o.retire_at > %(now)s
                  AND %(condition)s
                GROUP BY r.id ORDER BY r.id
                """,
                grace=GRACE,
                now=STATEMENT_NOW,
                condition=condition,
            )
        )

    @api.model
    def _rotations_with_late_callers(self):
        """Return the ids of rotations past half of their overlap with unreported late callers."""
        half_over = SQL(
            "r.late_callers_notified_at IS NULL"
            " AND %s >= n.first_used_at + (o.retire_at - n.first_used_at) / 2",
            STATEMENT_NOW,
        )
        return [rotation_id for rotation_id, _addresses in self._late_callers(half_over)]

    def _notify_of_late_callers(self, rotation_ids):
        """Notify the owners, once in each overlap, while there is still time to act."""
        rotations = self.browse(rotation_ids)
        wait_and_lock(rotations)
        rotations = rotations.filtered(lambda rotation: not rotation.late_callers_notified_at)
        for rotation in rotations:
            rotation._notify(
                self.env._(
                    "The API key %(old)s… has been replaced but is still used from %(addresses)s."
                    " Calls with it are rejected after %(end)s. Install the new key %(new)s…"
                    " there.",
                    old=rotation.old_key_id.prefix,
                    new=rotation.new_key_id.prefix,
                    addresses=rotation.late_callers,
                    end=rotation.old_key_id._shared_moment_text(rotation.deadline),
                ),
                rotation.integration_id.owner_ids,
            )
        rotations.late_callers_notified_at = fields.Datetime.now()
