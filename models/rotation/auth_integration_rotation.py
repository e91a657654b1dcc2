from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from ...tools.incident.own_mail import OWN_MAIL
from ...tools.key import key_state
from ...tools.rotation import rotation_states
from ..key.auth_integration_key import ENDED_STATES

CLAIM_ACTIVITY = "auth_integration.mail_activity_type_claim"


class AuthIntegrationRotation(models.Model):
    """The replacement of one key by another.

    Its state is derived from the two keys (see the table in ``tools/rotation/rotation_states.py``):
    a process may die at any time and leave only the keys, and two state machines would drift apart.

    The schedule is in ``auth_integration_rotation_schedule.py``, and each of its steps in its own
    file ``auth_integration_rotation_*.py``.
    """

    _name = "auth.integration.rotation"
    _description = "API Key Rotation"
    _inherit = [
        "auth.integration.live.mixin",
        "auth.integration.free.text.mixin",
        "auth.integration.defaults.mixin",
    ]
    _free_texts = {"postponed_reason": 500}
    _order = "opened_at desc, id desc"
    _rec_name = "old_key_id"
    _allow_sudo_commands = False
    _sql_computed = {"state": "_state_sql", "old_key_works_until": "_old_key_works_until_sql"}

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
            ("due", "To Deliver"),
            ("delivering", "Delivering"),
            ("delivered", "Delivered"),
            ("overlap", "Confirmed"),
            ("done", "Old Key Replaced"),
            ("cancelled", "Canceled"),
        ],
        "Status",
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_state",
        help="To deliver: a new key must be claimed or sent. Delivering: it was sent but not"
             " confirmed. Delivered: it was received but not used yet. Confirmed: it is in use and"
             " the old key still works.",
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
    shows_replace_by = fields.Boolean(related="old_key_id.shows_replace_by")
    replacement_status = fields.Char(related="old_key_id.replacement_status")
    deadline = fields.Datetime("Old Key Expires", related="old_key_id.effective_end")
    old_key_works_until = fields.Datetime(
        compute="_compute_from_sql", compute_sudo=True,
        help="When the old key expires, while the rotation is open and the key still works: what"
             " the list is sorted by.",
    )
    next_try_at = fields.Datetime("Next Try Not Before", readonly=True)
    postponed_until = fields.Datetime(readonly=True)
    postponed_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    postponed_reason = fields.Char(readonly=True)
    cancelled_at = fields.Datetime("Canceled At", readonly=True)
    cancelled_by = fields.Many2one(
        "res.users", "Canceled By", readonly=True, ondelete="set null"
    )
    claimed_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    tries = fields.Integer("Delivery Attempts", readonly=True)
    last_error = fields.Text(readonly=True)

    def init(self):
        """Allow at most one open rotation of a key, even if two processes open one concurrently."""
        self.env.cr.execute(
            """
            CREATE UNIQUE INDEX IF NOT EXISTS auth_integration_rotation_open_uniq
            ON auth_integration_rotation (old_key_id) WHERE cancelled_at IS NULL
            """
        )
        return super().init()

    @api.model
    def _state_sql(self, alias):
        """Return the SQL of :func:`rotation_states.state_of`."""
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
    def _old_key_works_until_sql(self, alias):
        keys = self.env["auth.integration.key"]
        return SQL(
            """(SELECT %(end)s FROM auth_integration_key old_key
                WHERE old_key.id = %(r)s.old_key_id AND %(r)s.cancelled_at IS NULL AND %(live)s)""",
            r=SQL.identifier(alias),
            end=keys._effective_end_sql("old_key"),
            live=keys._is_live_sql("old_key"),
        )

    @api.model
    def _state_by_keys_sql(self, alias):
        """Return the SQL of the state of an open rotation, from :meth:`_states_of_keys_sql`."""
        return SQL(
            """CASE
                WHEN rotation_new.used AND rotation_old.state IN %(ended)s THEN 'done'
                WHEN rotation_new.used OR rotation_old.state = 'retiring' THEN 'overlap'
                WHEN rotation_old.state = 'superseded' THEN 'done'
                WHEN rotation_old.state IN %(ended)s AND rotation_old.replaced THEN 'done'
                WHEN rotation_new.pending AND %(r)s.delivered_at IS NULL THEN 'delivering'
                WHEN rotation_new.pending THEN 'delivered'
                WHEN rotation_old.state IN %(withdrawn)s THEN 'cancelled'
                ELSE 'due'
            END""",
            r=SQL.identifier(alias),
            ended=ENDED_STATES,
            withdrawn=rotation_states.OLD_WITHDRAWN,
        )

    @api.model
    def _states_of_keys_sql(self, old, state):
        """Return ``FROM`` items about the old key of a rotation and about its new keys.

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
        """Return ``FROM`` and ``WHERE`` of open rotations ``r`` in some states, with old keys.

        The queries of the schedule use it because it is fast for many rows, whereas
        :meth:`_state_sql` runs a subquery for each.

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
            native=keys._key_sql(key_state.JOIN_NATIVES_SQL, "old_key"),
            keys=self._states_of_keys_sql(
                "old_key", keys._key_sql(key_state.JOINED_STATE_SQL, "old_key")
            ),
            state=self._state_by_keys_sql("r"),
            states=states,
        )

    @api.depends("old_key_id")
    @api.depends_context("lang")
    def _compute_display_name(self):
        """Distinguish a rotation from its key and its integration, which have the same name."""
        for rotation in self:
            rotation.display_name = self.env._("Rotation of %s", rotation.old_key_id.display_name)

    @api.depends("delivery")
    def _compute_is_sent(self):
        sending = self.env["auth.integration.delivery"]._codes("_sends")
        for rotation in self:
            rotation.is_sent = rotation.delivery in sending

    def _compute_from_sql(self):
        """Extend :meth:`auth.integration.live.mixin._compute_from_sql`: flush the keys first."""
        self.env["auth.integration.key"].flush_model()
        return super()._compute_from_sql()

    def _search_state(self, operator, value):
        self.env["auth.integration.key"].flush_model()
        self.flush_model()
        return self._search_from_sql("state", operator, value)

    # Notifying -------------------------------------------------------------------------------

    def _note_by(self, user, text):
        """Post what a user did in the chatter of the integration, in that user's name.

        The author is the system if the user has no email address or is an integration user.
        """
        for rotation in self:
            author = user.partner_id if user.email and not user._integration_users() else None
            self._notify_about(rotation.integration_id, text, author=author)

    def _notify(self, text, users=None):
        """Post a text in the chatter of the integration as the system, and send it to some users.

        A copy of the database sends nothing.
        """
        for rotation in self:
            self._notify_about(rotation.integration_id, text, users)

    @api.model
    def _notify_about(self, integration, text, users=None, author=None):
        if not integration:
            return
        if users and self.env["auth.integration.database"]._is_copy():
            users = None  # a copy does not concern them
        partners = users.filtered("active").partner_id if users else self.env["res.partner"]
        integration = integration.with_user(SUPERUSER_ID)
        integration.with_context(**OWN_MAIL).message_post(
            body=text,
            subject=self.env._("API key of %s", integration.name),
            partner_ids=partners.ids,
            author_id=(author or self.env.ref("base.partner_root")).id,
            message_type="notification",
            subtype_xmlid="mail.mt_note",
        )
