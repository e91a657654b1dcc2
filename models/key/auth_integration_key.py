import logging

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.key import key_state
from ...tools.key.identity_cache import IdentityCache
from ...tools.key.key_state import NOW_SQL, STATEMENT_NOW_SQL
from ...tools.moment import moment_text

_logger = logging.getLogger(__name__)

# How a key ended; the values are also values of ``state``.
END_KINDS = [
    ("expired", "Expired"),
    ("revoked", "Revoked"),
    ("superseded", "Replaced"),
    ("copied", "Copied"),
]
ENDED_STATES = tuple(kind for kind, _label in END_KINDS)
LIVE_STATES = ("pending", "active", "retiring")

UTC_NOW = SQL(NOW_SQL)
STATEMENT_NOW = SQL(STATEMENT_NOW_SQL)


class AuthIntegrationKey(models.Model):
    """An API key from its creation until after its end, beside its ``res.users.apikeys`` row.

    The native row and this record decide together: every end set here is written to the native row
    in the same transaction, so that stock Odoo alone would reject the key as well. A key whose
    native row is gone has ended, whatever the dates here say.

    The native hash is copied into a column that is not a field (as core does with ``key``), so that
    the secret of an ended key is still recognised. The SHA-256 of the secret is stored likewise,
    once a verified secret has shown it. Neither lets anyone authenticate.
    """

    _name = "auth.integration.key"
    _description = "API Key Record"
    _inherit = [
        "auth.integration.live.mixin",
        "auth.integration.free.text.mixin",
        "auth.integration.defaults.mixin",
    ]
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
    # Core creates the table of the comodel itself, so the ORM adds no foreign key: the id stays on
    # the record of an ended key, and this table never blocks the native vacuum.
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
             " during the overlap. Replaced: the overlap is over. Copied: this database is a"
             " neutralized copy, and the key belongs to the original.",
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
        index="btree_not_null",  # deleting a key looks up the keys that it replaced
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
        """Add the columns that are not fields, so that no ORM call can read or write them."""
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
        """Return the SQL of ``state`` for rows of ``auth_integration_key`` under ``alias``."""
        return self._key_sql(key_state.STATE_SQL, alias)

    @api.model
    def _key_sql(self, template, alias="k"):
        """Return SQL from ``tools/key/key_state.py`` for rows under ``alias``."""
        return SQL(template.format(k=SQL.identifier(alias).code))

    def _is_live_sql(self, alias):
        return self._key_sql(key_state.LIVE_SQL, alias)

    def _effective_end_sql(self, alias):
        return self._key_sql(key_state.END_SQL, alias)

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

    @api.model
    def _ids_of_digest(self, secret):
        """Return the ids of the keys known to have this secret, newest first."""
        rows = self.env.execute_query(
            SQL(
                "SELECT id FROM auth_integration_key WHERE digest = %s ORDER BY id DESC",
                IdentityCache.digest(secret),
            )
        )
        return [row[0] for row in rows]

    def _state_label(self):
        """Return the label of the state in the user's language."""
        return dict(self._fields["state"]._description_selection(self.env)).get(self.state)

    def action_view_attempts(self):
        """Show the logged attempts with this key, accepted and rejected."""
        self.ensure_one()
        self.check_access("read")
        return self.env["auth.attempt"]._get_records_action(
            name=self.env._("Attempts"),
            views=[(False, "list"), (False, "form")],
            domain=[("key_id", "=", self.id)],
        )

    def _impact_warning(self):
        """Return a text warning that calls with these keys will fail, or False if none works."""
        # Prefetch together with the other keys of a list.
        live = self.filtered("is_live").with_prefetch(self._prefetch_ids)
        if not live:
            return False
        lines = [self.env._("Calls with these API keys will be rejected immediately:")]
        for key in live:
            if key.last_used_at:
                text = self.env._(
                    "%(key)s, last used %(when)s from %(address)s",
                    key=key.display_name,
                    when=moment_text(self.env, key.last_used_at),
                    address=key.last_used_address or self.env._("an unknown address"),
                )
            else:
                text = self.env._("%(key)s, no recorded use", key=key.display_name)
            lines.append(f"• {text}")
        return "\n".join(lines)
