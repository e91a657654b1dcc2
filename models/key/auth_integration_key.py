import logging
from datetime import timedelta
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ...tools.key import key_end
from ...tools.key.identity_cache import IdentityCache
from ...tools.key.key_end import NOW_SQL, STATEMENT_NOW_SQL, Dates
from ..mixins.fresh_identity import fresh_identity, require_unlimited_key

_logger = logging.getLogger(__name__)

# What ended a key, in the words of ``state``.
END_KINDS = [("expired", "Expired"), ("revoked", "Revoked"), ("superseded", "Replaced")]
ENDED_STATES = tuple(kind for kind, _label in END_KINDS)
LIVE_STATES = ("pending", "active", "retiring")

UTC_NOW = SQL(NOW_SQL)
STATEMENT_NOW = SQL(STATEMENT_NOW_SQL)

_RECORD_GENERATED = """
    INSERT INTO auth_integration_key (
        apikey_id, name, user_id, login, integration_id, scope, prefix, hash, digest,
        issued_at, issued_by, replace_by, expires_at, use_count, replaces_id,
        access, access_mode, allowed_networks,
        create_uid, create_date, write_uid, write_date
    )
    SELECT n.id, n.name, n.user_id, u.login, i.id, n.scope, n.index, n.key,
           made.digest, n.create_date, %(uid)s, made.replace_by, n.expiration_date,
           0, made.replaces_id,
           COALESCE(old.access, made.access, p.default_access, 'full'),
           COALESCE(old.access_mode, 'enforce'), old.allowed_networks,
           %(uid)s, %(now)s, %(uid)s, %(now)s
    FROM unnest(
        %(users)s::integer[], %(prefixes)s::varchar[], %(digests)s::varchar[],
        %(replaced)s::integer[], %(replace_by)s::timestamp[], %(access)s::varchar[]
    ) AS made (user_id, prefix, digest, replaces_id, replace_by, access)
    JOIN LATERAL (
        SELECT * FROM res_users_apikeys
        WHERE user_id = made.user_id AND index = made.prefix
        ORDER BY id DESC LIMIT 1
    ) n ON TRUE
    JOIN res_users u ON u.id = n.user_id
    LEFT JOIN auth_integration i ON i.user_id = n.user_id
    LEFT JOIN auth_integration_policy p ON p.id = i.policy_id
    LEFT JOIN auth_integration_key old ON old.id = made.replaces_id
    RETURNING id, digest
"""


class KeyRequest(NamedTuple):
    """A key that :meth:`AuthIntegrationKey._issue_all` is to make.

    What it may do is as of the key that it replaces, else as said, else as its policy says.
    """

    integration: models.BaseModel
    name: str
    expires_at: object = False
    replaces_id: int | None = None
    access: str | None = None
    operations: frozenset = frozenset()


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
    _inherit = ["auth.integration.live.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"name": 200, "end_reason": 500, "allowed_networks": 20000}
    _order = "issued_at desc, id desc"
    _rec_names_search = ["name", "prefix", "login"]
    _allow_sudo_commands = False
    _sql_computed = {
        "state": "_state_sql",
        "is_live": "_is_live_sql",
        "effective_end": "_effective_end_sql",
        "rotate_after": "_rotate_after_sql",
    }

    name = fields.Char("Description", readonly=True)
    integration_id = fields.Many2one(
        "auth.integration", ondelete="set null", readonly=True, index=True
    )
    owner_ids = fields.Many2many(
        related="integration_id.owner_ids", string="Owners", related_sudo=False
    )
    user_id = fields.Many2one("res.users", ondelete="set null", readonly=True, index=True)
    user_active = fields.Boolean("User Active", related="user_id.active")
    login = fields.Char(readonly=True, help="The user's login when the key last worked.")
    # The comodel is hand-made by core, so the ORM adds no foreign key: the id stays on the
    # tombstone, and the native vacuum is never blocked by us.
    apikey_id = fields.Many2one("res.users.apikeys", "Odoo API Key", readonly=True, index=True)
    scope = fields.Char(
        readonly=True,
        help="What the key is valid for. Empty: everything. If the key is limited in what it can do"
        " or where it can be used, Odoo's own key has the scope auth_integration instead.",
    )
    prefix = fields.Char(readonly=True, size=8, help="The first 8 characters of the key.")
    imported = fields.Boolean(
        readonly=True, help=(
            "This key existed before the app was installed. Its earlier uses are unknown."
        )
    )
    state = fields.Selection(
        [
            ("pending", "Pending"),
            ("active", "Active"),
            ("retiring", "Being Replaced"),
            *END_KINDS,
        ],
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_state",
        help="Pending: not used yet. Being Replaced: the new key is in use and this key works"
             " during the overlap. Replaced: the overlap is over.",
    )
    is_live = fields.Boolean(
        "Current",
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_is_live",
        help="The key is Pending, Active or Being Replaced.",
    )
    issued_at = fields.Datetime("Key Created On", readonly=True, default=fields.Datetime.now)
    issued_by = fields.Many2one(
        "res.users", "Key Created By", ondelete="set null", readonly=True
    )
    replace_by = fields.Datetime(
        readonly=True,
        help="Replace the key by this date. Reminders count down to it. Empty for personal keys.",
    )
    expires_at = fields.Datetime(
        "Expires", readonly=True, help=(
            "The key is rejected from this date. Empty: the key never expires."
        )
    )
    managed_since = fields.Datetime(
        readonly=True,
        help="When a policy was first applied to an existing key. Empty: when it was created.",
    )
    retire_at = fields.Datetime(
        "Overlap Until",
        readonly=True,
        help="The key is rejected from this date. It is set when the new key is first used.",
    )
    effective_end = fields.Datetime(
        "Expiration Date",
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_effective_end",
        help=(
            "The earliest of the key's expiration date, its overlap and the date in Odoo's own"
            " API key."
        ),
    )
    rotate_after = fields.Datetime(
        "Rotation Starts",
        compute="_compute_from_sql",
        compute_sudo=True,
        search="_search_rotate_after",
    )
    first_used_at = fields.Datetime(readonly=True)
    last_used_at = fields.Datetime(readonly=True)
    last_used_address = fields.Char(readonly=True)
    last_used_channel = fields.Selection(
        lambda self: self.env["auth.attempt"]._selection_channel(), "Last Used Protocol",
        readonly=True,
    )
    last_used_agent = fields.Char("Last User Agent", readonly=True)
    use_count = fields.Integer("Uses", readonly=True)
    replaces_id = fields.Many2one(
        "auth.integration.key", ondelete="set null", readonly=True, index=True
    )
    replaced_by_id = fields.Many2one(
        "auth.integration.key",
        ondelete="set null",
        readonly=True,
        index="btree_not_null",  # to delete a key, PostgreSQL looks for those it has replaced
    )
    ended_at = fields.Datetime("Inactive Since", readonly=True)
    ended_by = fields.Many2one("res.users", "Revoked By", ondelete="set null", readonly=True)
    end_kind = fields.Selection(END_KINDS, "Final State", readonly=True)
    end_reason = fields.Char("Reason", readonly=True)
    compromised = fields.Boolean(
        readonly=True, help="Someone else may have had this key. The revocation cannot be undone."
    )
    address_ids = fields.One2many("auth.integration.key.address", "key_id")
    dormant_since = fields.Datetime(
        "Unused Since",
        readonly=True, help="Last use of a key that has not been used for a long time."
    )

    _native_uniq = models.UniqueIndex(
        "(apikey_id) WHERE ended_at IS NULL", "This API key already has a record."
    )
    _prefix_idx = models.Index("(prefix)")
    _live_end_idx = models.Index("(expires_at) WHERE ended_at IS NULL")
    _live_replace_by_idx = models.Index("(replace_by) WHERE ended_at IS NULL")
    _dormant_idx = models.Index("(dormant_since) WHERE dormant_since IS NOT NULL")
    _live_retire_idx = models.Index("(retire_at) WHERE ended_at IS NULL AND retire_at IS NOT NULL")

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
        return self._key_sql(key_end.STATE_SQL, alias)

    @api.model
    def _key_sql(self, template, alias="k"):
        """Return SQL of ``tools/key/key_end.py`` for rows under ``alias``."""
        return SQL(template.format(k=SQL.identifier(alias).code))

    def _is_live_sql(self, alias):
        return self._key_sql(key_end.LIVE_SQL, alias)

    def _effective_end_sql(self, alias):
        return self._key_sql(key_end.END_SQL, alias)

    def _rotate_after_sql(self, alias):
        return SQL(
            """(SELECT %(k)s.replace_by - make_interval(days => p.rotation_lead_days)
                FROM auth_integration i JOIN auth_integration_policy p ON p.id = i.policy_id
                WHERE i.id = %(k)s.integration_id)""",
            k=SQL.identifier(alias),
        )

    def _search_state(self, operator, value):
        return self._search_from_sql("state", operator, value)

    def _search_is_live(self, operator, value):
        return self._search_from_sql("is_live", operator, value)

    def _search_effective_end(self, operator, value):
        return self._search_from_sql("effective_end", operator, value)

    def _search_rotate_after(self, operator, value):
        return self._search_from_sql("rotate_after", operator, value)

    @api.depends("name", "prefix")
    def _compute_display_name(self):
        for key in self:
            label = f"{key.prefix}…" if key.prefix else self.env._("API key")
            key.display_name = f"{key.name} ({label})" if key.name else label

    # Birth -----------------------------------------------------------------------------------

    @api.model
    def _issue(self, integration, name, expires_at=False, access=None, operations=frozenset()):
        """Issue a native key for an integration's integration user and record it.

        Mirrors what :meth:`res.users.apikeys.description.make_key` does for the current user;
        that one cannot make a key for anybody else.

        :param integration: one ``auth.integration``; access is the caller's business
        :return: the secret, and the record of the key
        :rtype: tuple[str, AuthIntegrationKey]
        """
        integration.ensure_one()
        request = KeyRequest(integration, name, expires_at, access=access, operations=operations)
        [(secret, key)] = self._issue_all([request])
        return secret, key

    @api.model
    def _issue_all(self, wanted):
        """Issue several keys as :meth:`_issue` does, and record them in one statement.

        :param list[KeyRequest] wanted: the keys
        :return: for each, in their order, the secret and the record
        """
        natives, dates = [], []
        for one in wanted:
            require_unlimited_key(self.env, but_key=one.replaces_id)
            self._check_may_have_keys(one.integration)
            dates.append(self._dates_at_issue(one.integration, self._parse_end(one.expires_at)))
            natives.append((one.integration.user_id, one.name, dates[-1].expires_at))
        secrets = self.env["res.users.apikeys"].sudo()._generate_all(natives)
        made = [
            (one.integration.user_id.id, secret, one.replaces_id, replace_by, one.access)
            for one, secret, (replace_by, _end) in zip(wanted, secrets, dates, strict=True)
        ]
        ids = self._record_generated(made)
        for id_, one in zip(ids, wanted, strict=True):
            self.browse(id_)._allow_operations(one.operations)
        return [(secret, self.browse(id_)) for secret, id_ in zip(secrets, ids, strict=True)]

    @api.model
    def _check_may_have_keys(self, integration):
        if not integration.active or not integration.user_id.active:
            raise UserError(
                self.env._(
                    "The integration user of %(name)s is archived. Restore the user first.",
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
                self.env._("Enter the expiration date as YYYY-MM-DD HH:MM:SS in UTC, such as"
                           " 2030-01-31 00:00:00.")
            ) from error

    @api.model
    def _allowed_dates(self, user, expires_at):
        """The dates a new key of ``user`` gets when the end ``expires_at`` was asked for.

        :rtype: Dates
        :raise UserError: in the past, or beyond the policy of the user's integration
        """
        return self._dates_at_issue(user._integration(), self._parse_end(expires_at))

    @api.model
    def _dates_at_issue(self, integration, expires_at):
        """The dates that a key of an integration, or of none, gets; see :meth:`_allowed_dates`.

        An end that somebody chose is final: such a key is not given the policy's extension.
        """
        now = fields.Datetime.now()
        if expires_at and expires_at <= now:
            raise UserError(self.env._("The expiration date must be in the future."))
        if not integration:
            return Dates(None, expires_at or None)
        policy = integration.policy_id
        by_policy = key_end.issued(now, policy._lifetime())
        if not expires_at:
            return by_policy
        longest = by_policy.replace_by
        if expires_at > longest + timedelta(days=1):
            raise UserError(
                self.env._(
                    "Keys of %(name)s are valid for at most %(days)s days (policy %(policy)s)."
                    " Choose a date up to %(end)s.",
                    name=integration.name,
                    days=policy.max_age_days,
                    policy=policy.name,
                    end=fields.Datetime.to_string(longest),
                )
            )
        chosen = min(expires_at, longest)
        return Dates(chosen, chosen)

    @api.model
    def _record_generated(self, made):
        """Record native keys that were just made.

        :param made: of each its user's id, the secret, the id of the record of the key that it is
            to replace, or None, its ``replace_by``, and its access, or None for the policy's
        :return: the ids of their records, in the same order
        :rtype: list[int]
        """
        if not made:
            return []
        self.flush_model()
        self.env["auth.integration.policy"].flush_model(["default_access"])
        user_ids, secrets, replaced, replace_by, access = zip(*made, strict=True)
        digests = [IdentityCache.digest(secret) for secret in secrets]
        rows = self.env.execute_query(
            SQL(
                _RECORD_GENERATED,
                users=list(user_ids),
                prefixes=[secret[:8] for secret in secrets],
                digests=digests,
                replaced=list(replaced),
                replace_by=list(replace_by),
                access=list(access),
                uid=self.env.uid,
                now=UTC_NOW,
            )
        )
        self.invalidate_model()
        ids = {digest: id_ for id_, digest in rows}
        self._collide_with_issuing(list(user_ids))
        self.browse(ids.values())._inherit_operations()
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
        """Allow owners and managers for integration keys, and everybody for their own."""
        self.check_access("read")
        if self.env.su or self.env.is_system():
            return
        for key in self.sudo():
            if key.integration_id:
                key.integration_id.with_env(self.env)._check_is_responsible()
            elif key.user_id != self.env.user:
                raise AccessError(
                    self.env._("Only its user or a Settings administrator can revoke this key.")
                )

    @fresh_identity
    def revoke(self, reason=False, compromised=False):
        """End keys at once, in every worker.

        Where no other key of the integration would go on working, the key that a revoked one had
        replaced does: its overlap is taken back.

        :param str reason: kept on the tombstone and in the integration's history
        :param bool compromised: somebody else may have the key: nobody can take this back
        :return: True
        :raise AccessError: the caller is neither owner nor manager, and it is not his own key
        :raise UserError: no reason was given, or one that is too long
        """
        return self._revoke(reason, compromised)

    def _revoke(self, reason, compromised=False):
        self._check_may_end()
        if not isinstance(reason, str) or not reason.strip():
            raise UserError(self.env._("Enter a reason. It stays on record."))
        reason = self._clean_text("end_reason", reason.strip())
        revoked = self.filtered("is_live")
        for key in revoked:
            key.sudo()._end("revoked", reason, self.env.user)
            key.sudo()._note_in_history(
                self.env._(
                    "%(user)s revoked the API key %(prefix)s…: %(reason)s",
                    user=self.env.user.name,
                    prefix=key.prefix,
                    reason=reason,
                )
            )
        revoked.sudo()._take_back_overlaps()
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

    def _end_live(self, reason):
        for key in self.filtered("is_live"):
            key._end("revoked", reason, self.env.user)

    def _end(self, kind, reason, user=None, at=None):
        """End one key now, here and natively, in the current transaction."""
        self.ensure_one()
        self._follow_native_end()
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
        """Write down that native rows are about to be deleted by the current user.

        :return: the keys that this ends
        """
        keys = self.sudo().search([("apikey_id", "in", natives.ids), ("ended_at", "=", False)])
        keys._follow_native_end()
        for key in keys:
            ended = key.state if key.state in ENDED_STATES else kind
            key.write(
                {
                    "ended_at": key_end.earliest(key.effective_end, fields.Datetime.now()),
                    "ended_by": self.env.uid,
                    "end_kind": ended,
                    "end_reason": reason if ended == kind else key.end_reason,
                }
            )
        self.flush_model()
        return keys.filtered(lambda key: key.end_kind == kind)

    # Rotation --------------------------------------------------------------------------------

    @fresh_identity
    def action_rotate_now(self):
        """Open a rotation of these keys at once.

        :return: True
        :raise AccessError: the caller is neither owner nor manager of their integration
        :raise UserError: a personal key, an ended key, one being replaced already, or the database
            is a copy
        """
        return self._rotate_now()

    def _state_label(self):
        """Return the state as screens show it."""
        return dict(self._fields["state"]._description_selection(self.env)).get(self.state)

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

    # Actions of the screens ------------------------------------------------------------------

    @fresh_identity
    def action_rotate(self):
        """Open the rotation of this key and show it, where the new key is claimed."""
        self.ensure_one()
        self._rotate_now()
        rotation = self.env["auth.integration.rotation"].search(
            [("old_key_id", "=", self.id), ("cancelled_at", "=", False)], limit=1
        )
        return rotation._get_records_action()

    def action_view_attempts(self):
        """Show what the log knows about this key, accepted and refused."""
        self.ensure_one()
        return self.env["auth.attempt"]._get_records_action(
            name=self.env._("Attempts"),
            views=[(False, "list"), (False, "form")],
            domain=[("key_id", "=", self.id)],
        )

    def _impact_warning(self):
        """Say who is refused when these keys end, or return False when nobody is."""
        # With the others of a list: what is shown of the keys is read for all of them at once.
        live = self.filtered("is_live").with_prefetch(self._prefetch_ids)
        if not live:
            return False
        lines = [self.env._("Calls with these API keys will be rejected immediately:")]
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
                text = self.env._("%(key)s, no recorded use", key=key.display_name)
            lines.append(f"• {text}")
        return "\n".join(lines)
