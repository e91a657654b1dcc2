from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.key import key_end
from ...tools.rotation import rotation_states
from ...tools.row_locks import wait_and_lock
from ..key.auth_integration_key import ENDED_STATES, UTC_NOW, KeyRequest
from ..mixins.fresh_identity import fresh_identity

CLAIM_ACTIVITY = "auth_integration.mail_activity_type_claim"
# Live new keys that nobody has used: beyond, somebody should look.
MAX_UNUSED = 5


class AuthIntegrationRotation(models.Model):
    """The replacement of one key by another.

    Its state follows from the two keys (``tools/rotation/rotation_states.py``
    has the table): a process that dies leaves keys, and two state machines would drift apart.

    The schedule is in ``auth_integration_rotation_schedule.py``, and each of its steps in a file
    ``auth_integration_rotation_*.py`` of its own.
    """

    _name = "auth.integration.rotation"
    _description = "API Key Rotation"
    _inherit = ["auth.integration.live.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"postponed_reason": 500}
    _order = "opened_at desc, id desc"
    _rec_name = "old_key_id"
    _allow_sudo_commands = False
    _sql_computed = {"state": "_state_sql"}

    old_key_id = fields.Many2one(
        "auth.integration.key",
        required=True,
        readonly=True,
        ondelete="cascade",
        index=True,
    )
    new_key_id = fields.Many2one(
        "auth.integration.key",
        readonly=True,
        ondelete="set null",
        index=True,
        help="The new key in use, or the latest one created.",
    )
    integration_id = fields.Many2one(
        related="old_key_id.integration_id", store=True, index=True, readonly=True
    )
    owner_ids = fields.Many2many(related="integration_id.owner_ids")
    delivery = fields.Selection(
        lambda self: self.env["auth.integration.policy"]._selection_delivery(),
        required=True,
        readonly=True,
    )
    is_sent = fields.Boolean(
        compute="_compute_is_sent",
        help="The new key is sent automatically. There is nothing to claim.",
    )
    state = fields.Selection(
        [
            ("due", "Due"),
            ("delivering", "Delivering"),
            ("delivered", "Delivered"),
            ("overlap", "Confirmed"),
            ("done", "Old Key Replaced"),
            ("cancelled", "Canceled"),
        ],
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_state",
        help="Due: a new key is needed. Delivering: it was sent but not confirmed. Delivered: it"
             " was received but not used yet. Confirmed: it is in use and the old key still works.",
    )
    opened_at = fields.Datetime(readonly=True, required=True, default=fields.Datetime.now)
    opened_by = fields.Many2one(
        "res.users",
        readonly=True,
        ondelete="set null",
        help=(
            "Who started the rotation. Empty: it started automatically and only runs in the"
            " rotation window."
        ),
    )
    delivering_at = fields.Datetime("Delivery Started", readonly=True)
    delivered_at = fields.Datetime("Delivered", readonly=True)
    confirmed_at = fields.Datetime(related="new_key_id.first_used_at", string="Confirmed")
    asked_at = fields.Datetime(
        "Owners Notified", readonly=True, help="When an owner was last asked to claim the new key."
    )
    announced_at = fields.Datetime(
        readonly=True, help="When the first use of the new key was posted on the integration."
    )
    replace_by = fields.Datetime(related="old_key_id.replace_by")
    deadline = fields.Datetime("Old Key Expires", related="old_key_id.effective_end")
    next_try_at = fields.Datetime("Next Try Not Before", readonly=True)
    postponed_until = fields.Datetime(readonly=True)
    postponed_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    postponed_reason = fields.Char(readonly=True)
    cancelled_at = fields.Datetime("Canceled At", readonly=True)
    cancelled_by = fields.Many2one(
        "res.users", "Canceled By", readonly=True, ondelete="set null"
    )
    claimed_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    tries = fields.Integer("Keys Delivered or Sent", readonly=True)
    last_error = fields.Text(readonly=True)

    def init(self):
        """At most one rotation of a key may be open, whatever two runners do at once."""
        self.env.cr.execute(
            """
            CREATE UNIQUE INDEX IF NOT EXISTS auth_integration_rotation_open_uniq
            ON auth_integration_rotation (old_key_id) WHERE cancelled_at IS NULL
            """
        )
        return super().init()

    @api.model
    def _state_sql(self, alias):
        """The SQL of :func:`rotation_states.state_of`."""
        return SQL(
            """(CASE WHEN %(r)s.cancelled_at IS NOT NULL THEN 'cancelled' ELSE (
                SELECT %(state)s
                FROM auth_integration_key old_key, %(keys)s
                WHERE old_key.id = %(r)s.old_key_id
            ) END)""",
            r=SQL.identifier(alias),
            state=self._state_by_keys_sql(alias),
            keys=self._states_of_keys_sql(
                "old_key", self.env["auth.integration.key"]._state_sql("old_key")
            ),
        )

    @api.model
    def _state_by_keys_sql(self, alias):
        """State of an open rotation by what :meth:`_states_of_keys_sql` says of its keys."""
        return SQL(
            """CASE
                WHEN rotation_new.used AND rotation_old.state IN %(ended)s THEN 'done'
                WHEN rotation_new.used OR rotation_old.state = 'retiring' THEN 'overlap'
                WHEN rotation_old.state = 'superseded' THEN 'done'
                WHEN rotation_old.state IN %(ended)s AND rotation_old.replaced THEN 'done'
                WHEN rotation_new.pending AND %(r)s.delivered_at IS NULL THEN 'delivering'
                WHEN rotation_new.pending THEN 'delivered'
                WHEN rotation_old.state = 'revoked' THEN 'cancelled'
                ELSE 'due'
            END""",
            r=SQL.identifier(alias),
            ended=ENDED_STATES,
        )

    @api.model
    def _states_of_keys_sql(self, old, state):
        """``FROM`` items about the old key of a rotation and about the new ones.

        :param str old: alias of the old key
        :param SQL state: its state
        """
        return SQL(
            """LATERAL (
                SELECT %(state)s AS state, %(old)s.replaced_by_id IS NOT NULL AS replaced
            ) rotation_old, LATERAL (
                SELECT bool_or(new_key.first_used_at IS NOT NULL) AS used, bool_or(TRUE) AS pending
                FROM auth_integration_key new_key
                WHERE new_key.replaces_id = %(old)s.id AND %(live)s
            ) rotation_new""",
            state=state,
            old=SQL.identifier(old),
            live=self.env["auth.integration.key"]._is_live_sql("new_key"),
        )

    @api.model
    def _open_sql(self, states):
        """``FROM`` and ``WHERE`` of the open rotations ``r`` in some states, with their old keys.

        For the finds of the schedule: quick for many, where :meth:`_state_sql` asks about each.

        :param tuple states: of ``due``, ``delivering`` and ``delivered``
        """
        keys = self.env["auth.integration.key"]
        return SQL(
            """
            FROM auth_integration_rotation r
            JOIN auth_integration_key old_key ON old_key.id = r.old_key_id
            %(native)s, %(keys)s
            WHERE r.cancelled_at IS NULL
              AND (old_key.ended_at IS NULL OR old_key.replaced_by_id IS NULL)
              AND CASE WHEN %(state)s IN %(states)s THEN TRUE END
            """,
            native=keys._key_sql(key_end.JOIN_NATIVES_SQL, "old_key"),
            keys=self._states_of_keys_sql(
                "old_key", keys._key_sql(key_end.JOINED_STATE_SQL, "old_key")
            ),
            state=self._state_by_keys_sql("r"),
            states=states,
        )

    @api.depends("delivery")
    def _compute_is_sent(self):
        sending = self.env["auth.integration.delivery"]._codes("_sends")
        for rotation in self:
            rotation.is_sent = rotation.delivery in sending

    def _compute_from_sql(self):
        """Extend :meth:`auth.integration.live.mixin._compute_from_sql`: keys have the state."""
        self.env["auth.integration.key"].flush_model()
        return super()._compute_from_sql()

    def _search_state(self, operator, value):
        self.env["auth.integration.key"].flush_model()
        self.flush_model()
        return self._search_from_sql("state", operator, value)

    # Handing over ----------------------------------------------------------------------------

    def action_claim(self):
        """Open the dialogue in which an owner claims the new key.

        Where it is sent, he gets one to install by hand: the receiver may be out of order.
        """
        self.ensure_one()
        self.integration_id._check_may_operate()
        by_hand = self.env._("Install Manually")
        return self.env["auth.integration.claim"]._get_records_action(
            name=by_hand if self.is_sent else self.env._("Claim New Key"),
            target="new",
            context={"default_rotation_id": self.id},
        )

    def _claim(self):
        """Make the new key and hand it to the current user; no secret exists before.

        Claiming again before the first use (the first answer was lost) gives a sibling, and the
        owners are notified.

        :return: the secret, and the record of the new key
        :raise UserError: the rotation is over, or the database is a copy
        """
        self.ensure_one()
        self.integration_id._check_may_operate()
        rotation = self.sudo()
        again = rotation._lock_for_delivery() == "delivered"
        rotation._check_unused_siblings()
        secret, new_key = rotation._make_new_key()
        rotation.write({"delivered_at": fields.Datetime.now(), "claimed_by": self.env.uid})
        integration = rotation.integration_id
        integration.activity_feedback(
            [CLAIM_ACTIVITY], feedback=self.env._("Claimed by %s", self.env.user.name)
        )
        values = {
            "user": self.env.user.name,
            "new": new_key.prefix,
            "old": rotation.old_key_id.prefix,
        }
        if again:
            text = self.env._(
                "%(user)s claimed another API key, %(new)s…, to replace %(old)s…. The key claimed"
                " earlier has not been used. If it was not lost, find out who has it, and revoke"
                " the key you do not need.",
                **values,
            )
        else:
            text = self.env._(
                "%(user)s claimed the API key %(new)s…, which replaces %(old)s….", **values
            )
        rotation._notify(text, integration.owner_ids if again else None)
        rotation.invalidate_recordset()
        return secret, new_key.with_env(self.env)

    def _lock_for_delivery(self):
        """Keep others from handing over, cancelling or confirming until this transaction ends.

        :return: the state found, one of ``due``, ``delivering`` and ``delivered``
        :raise UserError: there is nothing to hand over, or the database is a copy
        """
        self.env["auth.integration.database"]._check_original()
        wait_and_lock(self)
        if self.state not in (
            rotation_states.DUE,
            rotation_states.DELIVERING,
            rotation_states.DELIVERED,
        ):
            raise UserError(self.env._("This rotation is finished. There is no key to deliver."))
        return self.state

    def _make_new_key(self):
        """Make one more key that replaces the old one.

        :return: the secret, kept by nobody but the caller, and its record
        """
        self.ensure_one()
        [(secret, new_key)] = self._make_new_keys()
        return secret, new_key

    def _make_new_keys(self):
        """Do as :meth:`_make_new_key` for several rotations.

        :return: for each of them, in their order, the secret and its record
        """
        made = self.env["auth.integration.key"]._issue_all(
            [
                KeyRequest(
                    rotation.integration_id,
                    rotation.old_key_id.name or rotation.integration_id.name,
                    replaces_id=rotation.old_key_id.id,
                )
                for rotation in self
            ]
        )
        for rotation, (_secret, new_key) in zip(self, made, strict=True):
            rotation.new_key_id = new_key
        for tries, rotations in self.grouped("tries").items():
            rotations.tries = tries + 1
        self.write({"postponed_until": False, "last_error": False})
        return made

    # Telling ---------------------------------------------------------------------------------

    def _notify(self, text, users=None):
        """Note something in the integration's history, and send it to some people.

        In the name of the system: an integration user has no address to write from. A copy of the
        database sends nothing.
        """
        for rotation in self:
            self._notify_about(rotation.integration_id, text, users)

    @api.model
    def _notify_about(self, integration, text, users=None):
        if not integration:
            return
        if users and self.env["auth.integration.database"]._is_copy():
            users = None  # it is no business of theirs
        partners = users.filtered("active").partner_id if users else self.env["res.partner"]
        integration.with_user(SUPERUSER_ID).message_post(
            body=text,
            subject=self.env._("API key of %s", integration.name),
            partner_ids=partners.ids,
            author_id=self.env.ref("base.partner_root").id,
            message_type="notification",
            subtype_xmlid="mail.mt_note",
        )

    # Putting off and giving up ---------------------------------------------------------------

    def action_postpone(self):
        """Open the dialogue that puts this rotation off."""
        self.ensure_one()
        self.integration_id._check_may_operate()
        return self.env["auth.integration.postpone"]._get_records_action(
            name=self.env._("Postpone Rotation"),
            target="new",
            context={"default_rotation_id": self.id},
        )

    def postpone(self, until, reason):
        """Put rotations off: no activity, notice or delivery until then.

        :param until: UTC; not after the end of the old key
        :param str reason: kept on the rotation and in the integration's history
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
                        "Choose a date between now and %(end)s UTC, when the old key expires.",
                        end=fields.Datetime.to_string(end),
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
            rotation._notify(
                self.env._(
                    "%(user)s postponed the rotation of %(old)s… until %(until)s UTC: %(reason)s",
                    user=self.env.user.name,
                    old=rotation.old_key_id.prefix,
                    until=fields.Datetime.to_string(until),
                    reason=reason,
                )
            )
        return True

    def _check_not_over(self):
        if self.state in ("overlap", "done", "cancelled"):
            raise UserError(
                self.env._("This is no longer possible. The new key is in use, or there is no key"
                           " left to replace. You can revoke a key instead.")
            )

    @fresh_identity
    def action_cancel(self):
        """Cancel rotations; new keys already delivered and never used end.

        The old key goes on to its own end; its next notice opens another rotation. It revokes
        keys, so it takes the identity check that revoking takes.
        """
        for rotation in self:
            rotation.integration_id._check_may_operate()
            rotation = rotation.sudo()
            # The same order as a first use takes them in: the new keys, then the rotation.
            wait_and_lock(rotation._unused_new_keys())
            wait_and_lock(rotation)
            rotation._check_not_over()
            for key in rotation._unused_new_keys():
                key._end("revoked", self.env._("The rotation was canceled"), self.env.user)
            rotation.write(
                {"cancelled_at": fields.Datetime.now(), "cancelled_by": self.env.uid}
            )
            rotation._close_activities(self.env._("Canceled by %s", self.env.user.name))
            rotation._notify(
                self.env._(
                    "%(user)s canceled the rotation of %(old)s….",
                    user=self.env.user.name,
                    old=rotation.old_key_id.prefix,
                )
            )
            rotation.invalidate_recordset()
        return True

    def _check_unused_siblings(self):
        """Keep a rotation from giving new keys without end.

        :raise UserError: several were delivered, and none was used
        """
        if (count := len(self._unused_new_keys())) >= MAX_UNUSED:
            raise UserError(
                self.env._(
                    "%(count)s new keys have been created, and none has been used. Use one of"
                    " them, or revoke them first.",
                    count=count,
                )
            )

    def _unused_new_keys(self):
        return self.env["auth.integration.key"].search(
            [("replaces_id", "in", self.old_key_id.ids), ("state", "=", "pending")]
        )

    def _close_activities(self, feedback):
        self.integration_id.activity_feedback([CLAIM_ACTIVITY], feedback=feedback)

    # First use -------------------------------------------------------------------------------

    @api.model
    def _confirm(self, new_key):
        """Write down that a new key is in use; called in the transaction of its first use.

        Locks the rotation: whoever is just handing over another key waits, and then finds it
        confirmed.  Nothing is sent from here, and no mail can make a first use fail.
        """
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration_rotation SET new_key_id = %s, write_date = %s"
                " WHERE old_key_id = %s AND cancelled_at IS NULL",
                new_key.id,
                UTC_NOW,
                new_key.replaces_id.id,
            )
        )
        self.invalidate_model()
