import logging

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .auth_integration_key import ENDED_STATES

_logger = logging.getLogger(__name__)


class AuthIntegrationRotation(models.Model):
    """The replacement of one key by another.

    Its state follows from the two keys wherever that is possible: a process that dies leaves
    keys, and two state machines would drift apart.
    """

    _name = "auth.integration.rotation"
    _description = "API Key Rotation"
    _inherit = ["auth.integration.live.mixin"]
    _order = "opened_at desc, id desc"
    _rec_name = "old_key_id"
    _allow_sudo_commands = False
    _live_sql = {"state": "_state_sql"}

    old_key_id = fields.Many2one(
        "auth.integration.key", "Old key", required=True, readonly=True, ondelete="cascade",
        index=True,
    )
    new_key_id = fields.Many2one(
        "auth.integration.key", "New key", readonly=True, ondelete="set null", index=True
    )
    integration_id = fields.Many2one(
        related="old_key_id.integration_id", store=True, index=True, readonly=True
    )
    owner_ids = fields.Many2many(related="integration_id.owner_ids")
    delivery = fields.Selection(
        lambda self: self.env["auth.integration.policy"]._fields["delivery"].selection,
        required=True,
        readonly=True,
    )
    state = fields.Selection(
        [
            ("due", "Due"),
            ("delivering", "Delivering"),
            ("delivered", "Delivered"),
            ("overlap", "Overlap"),
            ("done", "Done"),
            ("cancelled", "Cancelled"),
        ],
        compute="_compute_live",
        compute_sudo=True,
        search="_search_state",
    )
    opened_at = fields.Datetime(readonly=True, required=True, default=fields.Datetime.now)
    delivering_at = fields.Datetime("Delivery started", readonly=True)
    delivered_at = fields.Datetime("Handed over", readonly=True)
    confirmed_at = fields.Datetime(related="new_key_id.first_used_at", string="Confirmed")
    deadline = fields.Datetime("Old key ends", related="old_key_id.effective_end")
    cancelled_at = fields.Datetime(readonly=True)
    claimed_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    tries = fields.Integer(readonly=True)
    last_error = fields.Text(readonly=True)

    def init(self):
        """At most one rotation of a key may be open, whatever two runners do at once."""
        super().init()
        self.env.cr.execute(
            """
            CREATE UNIQUE INDEX IF NOT EXISTS auth_integration_rotation_open_uniq
            ON auth_integration_rotation (old_key_id) WHERE cancelled_at IS NULL
            """
        )

    @api.model
    def _state_sql(self, alias):
        return SQL(
            """(CASE
                WHEN %(r)s.cancelled_at IS NOT NULL THEN 'cancelled'
                WHEN %(r)s.new_key_id IS NOT NULL THEN (
                    SELECT CASE
                        WHEN %(old)s IN %(ended)s THEN 'done'
                        WHEN rotation_new.first_used_at IS NOT NULL THEN 'overlap'
                        ELSE 'delivered'
                    END
                    FROM auth_integration_key rotation_old, auth_integration_key rotation_new
                    WHERE rotation_old.id = %(r)s.old_key_id
                      AND rotation_new.id = %(r)s.new_key_id
                )
                WHEN EXISTS (
                    SELECT FROM auth_integration_key rotation_old
                    WHERE rotation_old.id = %(r)s.old_key_id AND %(old)s IN %(ended)s
                ) THEN 'done'
                WHEN %(r)s.delivering_at IS NOT NULL THEN 'delivering'
                ELSE 'due'
            END)""",
            r=SQL.identifier(alias),
            old=self.env["auth.integration.key"]._state_sql("rotation_old"),
            ended=ENDED_STATES,
        )

    def _search_state(self, operator, value):
        return self._search_live("state", operator, value)

    # Opening ---------------------------------------------------------------------------------

    @api.model
    def _open(self, key):
        """Open the rotation of one key, or return the one that is open.

        Two runners at once: the unique index lets one of them insert, the other finds its row.
        """
        key.ensure_one()
        open_rotation = self.search([("old_key_id", "=", key.id), ("cancelled_at", "=", False)])
        if open_rotation:
            return open_rotation
        rotation = self.create(
            {"old_key_id": key.id, "delivery": key.integration_id.policy_id.delivery}
        )
        rotation._tell_owners()
        return rotation

    def _tell_owners(self):
        """Ask every owner, by an activity on the integration, to claim the new key."""
        self.ensure_one()
        integration = self.integration_id
        for owner in integration.owner_ids:
            integration.activity_schedule(
                "auth_integration.mail_activity_type_claim",
                date_deadline=fields.Date.to_date(self.old_key_id.expires_at),
                user_id=owner.id,
                summary=self.env._("Claim the new API key of %s", integration.name),
            )

    @api.model
    def _cron_rotate(self):
        """Open a rotation for each due key, in batches; entry point of ``ir_cron_rotation``.

        One failing key never stops the others: its transaction is rolled back and the run goes
        on.  Progress is kept by :meth:`ir.cron._commit_progress`.
        """
        self.env["auth.integration.key"]._reconcile()
        progress = self.env["ir.cron"]._commit_progress
        due = self._due_keys()
        progress(remaining=len(due))
        for key in due:
            try:
                if key.integration_id.policy_id._is_in_window(fields.Datetime.now()):
                    self._open(key)
                self.env.flush_all()
            except Exception:
                self.env.cr.rollback()
                _logger.exception("Could not open the rotation of key %s", key.id)
            if not progress(1):
                break

    @api.model
    def _due_keys(self):
        """Active keys of auto-rotating policies whose ``rotate_after`` has passed, oldest first."""
        handled = self.search([("cancelled_at", "=", False)]).old_key_id
        return (
            self.env["auth.integration.key"]
            .search(
                [
                    ("state", "in", ("active", "pending")),
                    ("integration_id.active", "=", True),
                    ("integration_id.policy_id.auto_rotate", "=", True),
                    ("rotate_after", "<=", fields.Datetime.now()),
                    ("id", "not in", handled.ids),
                ],
                order="expires_at, id",
            )
        )

    # Claim -----------------------------------------------------------------------------------

    def action_claim(self):
        """Open the dialogue in which an owner claims the new key."""
        self.ensure_one()
        self.integration_id._check_may_operate()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Claim API Key"),
            "res_model": "auth.integration.claim",
            "view_mode": "form",
            "target": "new",
            "context": {"default_rotation_id": self.id},
        }

    def _claim(self):
        """Make the new key and hand it to the current user; no secret exists before.

        Claiming again before the first use (the first answer was lost) gives a sibling.

        :return: the secret, and the record of the new key
        :raise UserError: the rotation is over
        """
        self.ensure_one()
        self.integration_id._check_may_operate()
        rotation = self.sudo()
        rotation.lock_for_update()
        if rotation.state not in ("due", "delivering", "delivered"):
            raise UserError(
                self.env._("There is nothing to claim: this rotation is over.")
            )
        integration = rotation.integration_id
        secret, new_key = self.env["auth.integration.key"]._issue(integration, integration.name)
        new_key.sudo().write({"replaces_id": rotation.old_key_id.id})
        rotation.write(
            {
                "new_key_id": new_key.id,
                "delivered_at": fields.Datetime.now(),
                "claimed_by": self.env.uid,
                "tries": rotation.tries + 1,
            }
        )
        integration.activity_feedback(
            ["auth_integration.mail_activity_type_claim"],
            feedback=self.env._("Claimed by %s", self.env.user.name),
        )
        integration.message_post(
            body=self.env._(
                "%(user)s claimed the API key %(new)s…, which replaces %(old)s….",
                user=self.env.user.name,
                new=new_key.prefix,
                old=rotation.old_key_id.prefix,
            )
        )
        return secret, new_key

    def action_cancel(self):
        """Cancel the rotation; a key already handed over and never used ends."""
        for rotation in self:
            rotation.integration_id._check_may_operate()
            if rotation.state in ("overlap", "done"):
                raise UserError(self.env._("The new key is in use: revoke a key instead."))
            new_key = rotation.sudo().new_key_id
            if new_key and new_key.state == "pending":
                new_key._end("revoked", self.env._("The rotation was cancelled"), self.env.user)
            rotation.sudo().cancelled_at = fields.Datetime.now()
        return True
