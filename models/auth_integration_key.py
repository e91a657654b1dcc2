import logging
from datetime import timedelta
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ..tools.identity_cache import IdentityCache

_logger = logging.getLogger(__name__)

# What ended a key, in the words of ``state``.
END_KINDS = [("expired", "Expired"), ("revoked", "Revoked"), ("superseded", "Superseded")]
ENDED_STATES = tuple(kind for kind, _label in END_KINDS)
LIVE_STATES = ("pending", "active", "retiring")

UTC_NOW = SQL("(clock_timestamp() AT TIME ZONE 'UTC')")

# The state of a key, for rows of ``auth_integration_key`` under the alias {k}.
_NATIVE_IS_OURS = (
    "native.id = {k}.apikey_id AND native.key = {k}.hash AND native.index = {k}.prefix"
)
# For many keys at once: with this join, the state needs no query for each of them.
JOIN_NATIVE_SQL = f"LEFT JOIN res_users_apikeys native ON {_NATIVE_IS_OURS}"
JOINED_STATE_SQL = """(CASE
    WHEN {k}.ended_at IS NOT NULL THEN {k}.end_kind
    WHEN {k}.retire_at <= (clock_timestamp() AT TIME ZONE 'UTC') THEN 'superseded'
    WHEN {k}.expires_at <= (clock_timestamp() AT TIME ZONE 'UTC') THEN 'expired'
    WHEN native.id IS NULL THEN 'revoked'
    WHEN {k}.retire_at IS NOT NULL THEN 'retiring'
    WHEN {k}.first_used_at IS NULL AND {k}.adopted IS NOT TRUE THEN 'pending'
    ELSE 'active'
END)"""
STATE_SQL = JOINED_STATE_SQL.replace(
    "native.id IS NULL",
    f"NOT EXISTS (SELECT FROM res_users_apikeys native WHERE {_NATIVE_IS_OURS})",
)


class Wanted(NamedTuple):
    """A key that :meth:`AuthIntegrationKey._issue_all` is to make."""

    integration: models.BaseModel
    name: str
    expires_at: object = False
    replaces_id: int | None = None


class AuthIntegrationKey(models.Model):
    """One API key from birth to tombstone, beside its native ``res.users.apikeys`` row.

    The native row decides together with ours: whatever ends here is written there in the same
    transaction, so that stock Odoo alone would refuse the key as well.  A key whose native row is
    gone has ended, whatever our dates say.

    The native hash is copied into a column that is no field (as core does with ``key``), so that
    a secret presented after its end can still be recognised; so is its SHA-256 once a verified
    secret has shown it.  Neither lets anyone authenticate.
    """

    _name = "auth.integration.key"
    _description = "API Key Record"
    _inherit = ["auth.integration.live.mixin"]
    _order = "issued_at desc, id desc"
    _rec_names_search = ["name", "prefix", "login"]
    _allow_sudo_commands = False
    _live_sql = {
        "state": "_state_sql",
        "is_live": "_is_live_sql",
        "effective_end": "_effective_end_sql",
        "rotate_after": "_rotate_after_sql",
    }

    name = fields.Char("Description", readonly=True)
    integration_id = fields.Many2one(
        "auth.integration", ondelete="set null", readonly=True, index=True
    )
    owner_ids = fields.Many2many(related="integration_id.owner_ids", string="Owners")
    user_id = fields.Many2one("res.users", ondelete="set null", readonly=True, index=True)
    user_active = fields.Boolean("User active", related="user_id.active")
    login = fields.Char(readonly=True, help="The user's login when the key was last alive.")
    # The comodel is hand-made by core, so the ORM adds no foreign key: the id stays on the
    # tombstone, and the native vacuum is never blocked by us.
    apikey_id = fields.Many2one("res.users.apikeys", "Native key", readonly=True, index=True)
    scope = fields.Char(
        readonly=True,
        help="What the key is good for. Empty: anything. While networks or protocols of its"
        " integration restrict it, the native key has the scope auth_integration instead.",
    )
    prefix = fields.Char(readonly=True, size=8, help="The first 8 characters of the key.")
    adopted = fields.Boolean(
        readonly=True, help="Found in the database: earlier uses of this key are not known."
    )
    state = fields.Selection(
        [
            ("pending", "Pending"),
            ("active", "Active"),
            ("retiring", "Retiring"),
            *END_KINDS,
        ],
        compute="_compute_live",
        compute_sudo=True,
        search="_search_state",
        help="Pending: handed over, never used. Retiring: replaced, in its overlap."
        " Superseded: retired by rotation.",
    )
    is_live = fields.Boolean(
        compute="_compute_live",
        compute_sudo=True,
        search="_search_is_live",
        help="Accepted today: pending, active or retiring.",
    )
    issued_at = fields.Datetime(readonly=True, default=fields.Datetime.now)
    issued_by = fields.Many2one("res.users", ondelete="set null", readonly=True)
    expires_at = fields.Datetime("Ends", readonly=True, help="Empty: no end.")
    original_expires_at = fields.Datetime(
        readonly=True, help="The end the key was issued with, before any extension."
    )
    retire_at = fields.Datetime(
        readonly=True, help="End of the overlap, once its replacement was first used."
    )
    effective_end = fields.Datetime(
        compute="_compute_live",
        compute_sudo=True,
        search="_search_effective_end",
        help="The earlier of its own end and the end of its overlap.",
    )
    rotate_after = fields.Datetime(
        "Due for rotation",
        compute="_compute_live",
        compute_sudo=True,
        search="_search_rotate_after",
    )
    first_used_at = fields.Datetime(readonly=True)
    last_used_at = fields.Datetime(readonly=True)
    last_used_address = fields.Char(readonly=True)
    last_used_channel = fields.Selection(
        lambda self: self.env["auth.attempt"]._selection_channel(), readonly=True
    )
    last_used_agent = fields.Char(readonly=True)
    use_count = fields.Integer("Uses", readonly=True)
    replaces_id = fields.Many2one(
        "auth.integration.key", ondelete="set null", readonly=True, index=True
    )
    replaced_by_id = fields.Many2one(
        "auth.integration.key", "Replaced by", ondelete="set null", readonly=True
    )
    ended_at = fields.Datetime(readonly=True)
    ended_by = fields.Many2one("res.users", ondelete="set null", readonly=True)
    end_kind = fields.Selection(END_KINDS, readonly=True)
    end_reason = fields.Char(readonly=True)
    compromised = fields.Boolean(
        readonly=True, help="Somebody else may have had it: its end can never be taken back."
    )
    address_ids = fields.One2many("auth.integration.key.address", "key_id")

    _native_uniq = models.UniqueIndex(
        "(apikey_id) WHERE ended_at IS NULL", "A native key has one live record."
    )
    _prefix_idx = models.Index("(prefix)")
    _live_end_idx = models.Index("(expires_at) WHERE ended_at IS NULL")

    def init(self):
        """Add the columns that are no fields: no ORM call can ever read or write them."""
        self.env.cr.execute(
            """
            ALTER TABLE auth_integration_key ADD COLUMN IF NOT EXISTS hash varchar;
            ALTER TABLE auth_integration_key ADD COLUMN IF NOT EXISTS digest varchar;
            CREATE INDEX IF NOT EXISTS auth_integration_key_digest_idx
                ON auth_integration_key (digest) WHERE digest IS NOT NULL;
            """
        )
        return super().init()

    # Live fields -----------------------------------------------------------------------------

    @api.model
    def _state_sql(self, alias):
        """SQL of ``state`` for rows of ``auth_integration_key`` under ``alias``."""
        return SQL(STATE_SQL.format(k=SQL.identifier(alias).code))

    def _is_live_sql(self, alias):
        return SQL("(%s IN %s)", self._state_sql(alias), LIVE_STATES)

    def _effective_end_sql(self, alias):
        alias = SQL.identifier(alias)
        return SQL(
            "COALESCE(%(k)s.ended_at, LEAST(%(k)s.expires_at, %(k)s.retire_at))", k=alias
        )

    def _rotate_after_sql(self, alias):
        return SQL(
            """(SELECT %(k)s.expires_at - make_interval(days => p.rotation_lead_days)
                FROM auth_integration i JOIN auth_integration_policy p ON p.id = i.policy_id
                WHERE i.id = %(k)s.integration_id)""",
            k=SQL.identifier(alias),
        )

    def _search_state(self, operator, value):
        return self._search_live("state", operator, value)

    def _search_is_live(self, operator, value):
        return self._search_live("is_live", operator, value)

    def _search_effective_end(self, operator, value):
        return self._search_live("effective_end", operator, value)

    def _search_rotate_after(self, operator, value):
        return self._search_live("rotate_after", operator, value)

    @api.depends("name", "prefix")
    def _compute_display_name(self):
        for key in self:
            label = f"{key.prefix}…" if key.prefix else self.env._("API key")
            key.display_name = f"{key.name} ({label})" if key.name else label

    # Birth -----------------------------------------------------------------------------------

    @api.model
    def _issue(self, integration, name, expires_at=False):
        """Issue a native key for an integration's technical user and record it.

        Mirrors what :meth:`res.users.apikeys.description.make_key` does for the current user;
        that one cannot make a key for anybody else.

        :param integration: one ``auth.integration``; access is the caller's business
        :return: the secret, and the record of the key
        :rtype: tuple[str, AuthIntegrationKey]
        """
        integration.ensure_one()
        [(secret, key)] = self._issue_all([Wanted(integration, name, expires_at)])
        return secret, key

    @api.model
    def _issue_all(self, wanted):
        """Issue several keys as :meth:`_issue` does, and record them in one statement.

        :param list[Wanted] wanted: the keys
        :return: for each, in their order, the secret and the record
        """
        natives = []
        for integration, name, expires_at, _replaces_id in wanted:
            self._check_may_have_keys(integration)
            end = self._end_by_policy(integration, self._parse_end(expires_at))
            natives.append((integration.user_id, name, end))
        secrets = self.env["res.users.apikeys"].sudo()._generate_all(natives)
        made = [
            (one.integration.user_id.id, secret, one.replaces_id)
            for one, secret in zip(wanted, secrets, strict=True)
        ]
        ids = self._record_generated(made)
        return [(secret, self.browse(id_)) for secret, id_ in zip(secrets, ids, strict=True)]

    @api.model
    def _check_may_have_keys(self, integration):
        if not integration.active or not integration.user_id.active:
            raise UserError(
                self.env._(
                    "The technical user of %(name)s is archived: a new key would not work."
                    " Restore it first.",
                    name=integration.name,
                )
            )

    @api.model
    def _parse_end(self, expires_at):
        """The end of a key as given by a caller, as naive UTC datetime or False.

        :raise UserError: not a date
        """
        if not expires_at:
            return False
        try:
            return fields.Datetime.to_datetime(expires_at)
        except (TypeError, ValueError) as error:
            raise UserError(
                self.env._("Give the end as YYYY-MM-DD HH:MM:SS in UTC, for example 2030-01-31"
                           " 00:00:00.")
            ) from error

    @api.model
    def _allowed_end(self, user, expires_at):
        """The end a new key of ``user`` gets when ``expires_at`` was asked for.

        :return: a naive UTC datetime, or False for a personal key without end
        :raise UserError: in the past, or beyond the policy of the user's integration
        """
        return self._end_by_policy(user._integration(), self._parse_end(expires_at))

    @api.model
    def _end_by_policy(self, integration, expires_at):
        """The end that a key of an integration, or of none, gets; see :meth:`_allowed_end`."""
        now = fields.Datetime.now()
        if expires_at and expires_at <= now:
            raise UserError(self.env._("The end of an API key must lie in the future."))
        if not integration:
            return expires_at
        longest = now + timedelta(days=integration.policy_id.max_age_days)
        if not expires_at:
            return longest
        if expires_at > longest + timedelta(days=1):
            raise UserError(
                self.env._(
                    "Keys of %(name)s live at most %(days)s days (policy %(policy)s): choose an"
                    " end up to %(end)s.",
                    name=integration.name,
                    days=integration.policy_id.max_age_days,
                    policy=integration.policy_id.name,
                    end=fields.Datetime.to_string(longest),
                )
            )
        return min(expires_at, longest)

    @api.model
    def _record_generated(self, made):
        """Record native keys that were just made.

        :param made: of each its user's id, the secret, and the id of the record of the key that it
            is to replace, or None
        :return: the ids of their records, in the same order
        :rtype: list[int]
        """
        self.flush_model()
        digests = [IdentityCache.digest(secret) for _user_id, secret, _replaces_id in made]
        rows = self.env.execute_query(
            SQL(
                """
                INSERT INTO auth_integration_key (
                    apikey_id, name, user_id, login, integration_id, scope, prefix, hash, digest,
                    issued_at, issued_by, expires_at, original_expires_at, use_count, replaces_id,
                    create_uid, create_date, write_uid, write_date
                )
                SELECT n.id, n.name, n.user_id, u.login, i.id, n.scope, n.index, n.key,
                       made.digest, n.create_date, %(uid)s, n.expiration_date, n.expiration_date,
                       0, made.replaces_id, %(uid)s, %(now)s, %(uid)s, %(now)s
                FROM unnest(
                    %(users)s::integer[], %(prefixes)s::varchar[], %(digests)s::varchar[],
                    %(replaced)s::integer[]
                ) AS made (user_id, prefix, digest, replaces_id)
                JOIN LATERAL (
                    SELECT * FROM res_users_apikeys
                    WHERE user_id = made.user_id AND index = made.prefix
                    ORDER BY id DESC LIMIT 1
                ) n ON TRUE
                JOIN res_users u ON u.id = n.user_id
                LEFT JOIN auth_integration i ON i.user_id = n.user_id
                RETURNING id, digest
                """,
                users=[user_id for user_id, _secret, _replaces_id in made],
                prefixes=[secret[:8] for _user_id, secret, _replaces_id in made],
                digests=digests,
                replaced=[replaces_id for _user_id, _secret, replaces_id in made],
                uid=self.env.uid,
                now=UTC_NOW,
            )
        )
        self.invalidate_model()
        ids = {digest: id_ for id_, digest in rows}
        self._settle_with_rules([user_id for user_id, _secret, _replaces_id in made])
        self.browse(ids.values())._write_native_scope()
        return [ids[digest] for digest in digests]

    @api.model
    def _ids_of_digest(self, secret):
        """Ids of the keys this secret is known to be."""
        rows = self.env.execute_query(
            SQL(
                "SELECT id FROM auth_integration_key WHERE digest = %s ORDER BY id DESC",
                IdentityCache.digest(secret),
            )
        )
        return [row[0] for row in rows]

    # End -------------------------------------------------------------------------------------

    def _check_may_end(self):
        """Allow owners and managers for integration keys, and everybody for his own."""
        self.check_access("read")
        if self.env.su or self.env.is_system():
            return
        for key in self.sudo():
            if key.integration_id:
                key.integration_id.with_env(self.env)._check_may_operate()
            elif key.user_id != self.env.user:
                raise AccessError(
                    self.env._("Only its user or a Settings administrator may end this key.")
                )

    def revoke(self, reason=False, compromised=False):
        """End keys at once, in every worker.

        :param str reason: kept on the tombstone and in the integration's history
        :param bool compromised: somebody else may have the key: nobody can take this back
        :return: True
        :raise AccessError: the caller is neither owner nor manager, and it is not his own key
        :raise UserError: no reason was given
        """
        self._check_may_end()
        if not isinstance(reason, str) or not reason.strip():
            raise UserError(self.env._("Say why the key is revoked: the reason stays on record."))
        reason = reason.strip()[:500]
        for key in self.filtered("is_live"):
            key.sudo()._end("revoked", reason, self.env.user)
            key.sudo()._note_in_history(
                self.env._(
                    "%(user)s revoked the API key %(prefix)s…: %(reason)s",
                    user=self.env.user.name,
                    prefix=key.prefix,
                    reason=reason,
                )
            )
        if compromised:
            self._mark_compromised(reason)
        return True

    def _mark_compromised(self, reason):
        """Mark keys, ended ones too: what was revoked by mistake may turn out to have leaked."""
        for key in self.sudo().filtered(lambda key: not key.compromised):
            key.compromised = True
            key._note_in_history(
                self.env._(
                    "%(user)s marked the API key %(prefix)s… as compromised: %(reason)s",
                    user=self.env.user.name,
                    prefix=key.prefix,
                    reason=reason,
                )
            )

    def _note_in_history(self, text):
        if self.integration_id:
            self.integration_id.message_post(body=text)

    def _end_live(self, reason):
        for key in self.filtered("is_live"):
            key._end("revoked", reason, self.env.user)

    def _end(self, kind, reason, user=None, at=None):
        """End one key now, here and natively, in the current transaction."""
        self.ensure_one()
        self.write(
            {
                "ended_at": at or fields.Datetime.now(),
                "ended_by": user.id if user else False,
                "end_kind": kind,
                "end_reason": reason,
            }
        )
        self.flush_recordset()
        self.env.cr.execute(
            SQL(
                "DELETE FROM res_users_apikeys n USING auth_integration_key k"
                " WHERE k.id = %s AND n.id = k.apikey_id AND n.key = k.hash",
                self.id,
            )
        )
        self.env["res.users.apikeys"].invalidate_model()
        self.env["res.users"].invalidate_model(["api_key_ids"])
        _logger.info("API key %s… of %r ended: %s", self.prefix, self.login, kind)

    @api.model
    def _record_removal(self, natives, kind, reason):
        """Write down that native rows are about to be deleted by the current user."""
        keys = self.sudo().search([("apikey_id", "in", natives.ids), ("ended_at", "=", False)])
        for key in keys:
            ended = key.state if key.state in ENDED_STATES else kind
            key.write(
                {
                    "ended_at": min(
                        filter(None, (key.expires_at, key.retire_at, fields.Datetime.now()))
                    ),
                    "ended_by": self.env.uid,
                    "end_kind": ended,
                    "end_reason": reason if ended == kind else key.end_reason,
                }
            )
        self.flush_model()

    # Rotation --------------------------------------------------------------------------------

    def action_rotate_now(self):
        """Open a rotation of these keys at once.

        :return: True
        :raise AccessError: the caller is neither owner nor manager of their integration
        :raise UserError: a personal key, an ended key, or one being replaced already
        """
        self._check_may_end()
        for key in self:
            if not key.integration_id:
                raise UserError(self.env._("A personal key is not rotated: make a new one."))
            if key.state not in ("active", "pending"):
                raise UserError(
                    self.env._(
                        "The key %(prefix)s… is %(state)s: only a key in use can be rotated.",
                        prefix=key.prefix,
                        state=key.state,
                    )
                )
            rotation = self.env["auth.integration.rotation"].sudo()._open(
                key.sudo(), self.env.user
            )
            rotation._start_now()
        return True

    # Actions of the screens ------------------------------------------------------------------

    def action_rotate(self):
        """Open the rotation of this key and show it, where the new key is claimed."""
        self.ensure_one()
        self.action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search(
            [("old_key_id", "=", self.id), ("cancelled_at", "=", False)], limit=1
        )
        return {
            "type": "ir.actions.act_window",
            "res_model": rotation._name,
            "res_id": rotation.id,
            "views": [(False, "form")],
        }

    def action_view_attempts(self):
        """Show what the log knows about this key, accepted and refused."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Attempts"),
            "res_model": "auth.attempt",
            "views": [(False, "list"), (False, "graph"), (False, "form")],
            "domain": [("key_id", "=", self.id)],
        }

    def _break_warning(self):
        """Say who is refused when these keys end, or return False when nobody is."""
        # With the others of a list: what is told of the keys is read for all of them at once.
        live = self.filtered("is_live").with_prefetch(self._prefetch_ids)
        if not live:
            return False
        lines = [self.env._("The systems that use these API keys will be refused at once:")]
        for key in live:
            if key.last_used_at:
                used_at = fields.Datetime.context_timestamp(key, key.last_used_at)
                text = self.env._(
                    "%(key)s, last used %(when)s from %(address)s",
                    key=key.display_name,
                    when=used_at.strftime("%Y-%m-%d %H:%M"),
                    address=key.last_used_address or self.env._("an unknown address"),
                )
            else:
                text = self.env._("%(key)s, not seen in use", key=key.display_name)
            lines.append(f"• {text}")
        return "\n".join(lines)
