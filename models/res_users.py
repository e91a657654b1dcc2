import logging
import secrets
from collections.abc import Hashable

from odoo import api, fields, models, tools
from odoo.exceptions import AccessDenied, UserError
from odoo.fields import Command, Domain
from odoo.tools import SQL
from passlib.exc import PasswordSizeError

from ..tools import hook_queries
from ..tools.attempt import attempt as attempt_context
from ..tools.attempt.redaction import is_key_shaped
from ..tools.fallback import CoreDecision
from ..tools.key import key_in_use
from ..tools.key.identity_cache import IdentityCache, PasswordMemo
from .integration.auth_integration import FOLLOWING, Following
from .res_users_apikeys import best_effort

_logger = logging.getLogger(__name__)

# Asked on every login.
_INTEGRATION_OF_USER = "SELECT id FROM auth_integration WHERE user_id = %(user)s"
_SESSION_ENDS = "SELECT ends FROM auth_integration_session_end WHERE user_id = %(user)s"

_password_memo = PasswordMemo()
_accepted_keys = IdentityCache()


def _second_factor_code(error):
    """Why ``auth_totp`` refused a code; its texts are translated, so its variables have to tell."""
    frame = error.__traceback__
    while frame.tb_next:
        frame = frame.tb_next
    if "rate_limit" in frame.tb_frame.f_code.co_name:
        return "cooldown"
    replayed = frame.tb_frame.f_locals.get("match") is not None
    return "second_factor_replayed" if replayed else "second_factor_wrong"


class ResUsers(models.Model):
    _inherit = "res.users"

    # Employees read users without any right on integrations: the groups keep that working. And
    # core compares such a field with an id or with nothing as superuser: whoever may filter by it
    # finds out whose the hidden records are.
    integration_ids = fields.One2many(
        "auth.integration",
        "user_id",
        context={"active_test": False},
        groups="auth_integration.auth_integration_group_manager",
    )
    # Computed: owners are named on the integration only, where it is checked who may.
    owned_integration_ids = fields.Many2many(
        "auth.integration",
        string="Owned integrations",
        compute="_compute_owned_integration_ids",
        search="_search_owned_integration_ids",
        groups="auth_integration.auth_integration_group_owner",
    )
    # Everybody reads their own: see SELF_READABLE_FIELDS.
    api_key_record_ids = fields.One2many(
        "auth.integration.key",
        "user_id",
        "API key records",
        groups="auth_integration.auth_integration_group_manager",
    )
    has_live_api_key = fields.Boolean(
        "Live API key",
        compute="_compute_has_live_api_key",
        compute_sudo=True,
        search="_search_has_live_api_key",
        groups="base.group_erp_manager",
        help="Holds an API key that has not ended. While the user is archived it is refused.",
    )
    api_key_flag = fields.Selection(
        [("live", "Live key"), ("refused", "Archived with a live key")],
        "API key",
        compute="_compute_has_live_api_key",
        compute_sudo=True,
        groups="base.group_erp_manager",
    )
    archive_warning = fields.Text(
        compute="_compute_archive_warning",
        compute_sudo=True,
        groups="base.group_erp_manager",
        help="Which systems are refused once this user is archived.",
    )
    needs_handover = fields.Boolean(
        compute="_compute_needs_handover",
        compute_sudo=True,
        groups="auth_integration.auth_integration_group_manager",
        help="This user is the only active owner of an integration.",
    )

    @property
    def SELF_READABLE_FIELDS(self):
        return [*super().SELF_READABLE_FIELDS, "api_key_record_ids"]

    def _compute_owned_integration_ids(self):
        integrations = self.env["auth.integration"].search([("owner_ids", "in", self.ids)])
        for user in self:
            user.owned_integration_ids = integrations.filtered(
                lambda integration, owner=user._origin: owner in integration.owner_ids
            )

    def _search_owned_integration_ids(self, operator, value):
        if operator not in ("in", "any"):
            return NotImplemented
        integrations = self.env["auth.integration"]
        if operator == "in" and False in value:  # those who own none
            owned = integrations.search([("owner_ids", "!=", False)])
            return ~Domain("id", "in", owned.owner_ids.ids)
        found = integrations.search(value if operator == "any" else [("id", "in", list(value))])
        return Domain("id", "in", found.owner_ids.ids)

    @api.depends("api_key_record_ids", "active")
    def _compute_has_live_api_key(self):
        groups = self.env["auth.integration.key"]._read_group(
            [("user_id", "in", self.ids), ("is_live", "=", True)], ["user_id"]
        )
        holders = {user.id for [user] in groups}
        for user in self:
            user.has_live_api_key = user._origin.id in holders
            user.api_key_flag = user.has_live_api_key and ("live" if user.active else "refused")

    def _search_has_live_api_key(self, operator, value):
        # Core does not ask for the groups of a field that is searched by a method; and a path
        # through other models may come here as superuser.
        as_user = self.with_env(self.env(su=False))
        as_user._check_field_access(self._fields["has_live_api_key"], "read")
        if operator not in ("in", "not in"):
            return NotImplemented
        live = self.env["auth.integration.key"].sudo()._search([("is_live", "=", True)])
        holders = Domain("id", "in", live.subselect("user_id"))
        wanted = (holders if True in value else Domain.FALSE) | (
            ~holders if False in value else Domain.FALSE
        )
        return wanted if operator == "in" else ~wanted

    @api.depends("api_key_record_ids")
    def _compute_archive_warning(self):
        for user in self:
            user.archive_warning = user.api_key_record_ids._impact_warning()

    @api.depends("active")
    def _compute_needs_handover(self):
        """Whether some integration would have no active owner without this user."""
        owned = self.env["auth.integration"].sudo().search([("owner_ids", "in", self.ids)])
        owners = [integration.owner_ids.filtered("active") for integration in owned]
        alone = self.browse().union(*(users for users in owners if len(users) == 1))
        for user in self:
            user.needs_handover = user.active and user._origin in alone

    # Integration users -----------------------------------------------------------------------

    def _integration(self):
        """The integration whose technical user this is, archived ones included; or none."""
        return (
            self.env["auth.integration"]
            .sudo()
            .with_context(active_test=False)
            .search([("user_id", "in", self.ids)], limit=1)
        )

    def _integration_id(self):
        """Id of the integration whose technical user this is, or None; asked on every login."""
        self.ensure_one()
        attempt = attempt_context.current()
        if attempt and attempt.integration_user and attempt.integration_user[0] == self.id:
            return attempt.integration_user[1]
        rows = hook_queries.query(self.env, _INTEGRATION_OF_USER, {"user": self.id})
        integration_id = rows[0][0] if rows else None
        if attempt:
            attempt.integration_user = self.id, integration_id
        return integration_id

    def _integration_users(self):
        """Those of these users that are technical users of an integration."""
        return (
            self.env["auth.integration"]
            .sudo()
            .with_context(active_test=False)
            .search([("user_id", "in", self.ids)])
            .user_id
        )

    def _takeover_blocking_reason(self):
        """Why this user can never be an integration's technical user, or False.

        :rtype: str | bool
        """
        self.ensure_one()
        protected = self.browse(self.env.ref("base.user_root").id)
        for xml_id in ("base.public_user", "base.template_portal_user_id", "base.default_user"):
            protected |= self.env.ref(xml_id, raise_if_not_found=False) or self.browse()
        if self in protected:
            return self.env._(
                "%(user)s belongs to Odoo itself and cannot be an integration's user.",
                user=self.name,
            )
        if owned := self._owned_integrations():
            return self.env._(
                "%(user)s is an owner of %(integrations)s. An owner cannot be an integration user:"
                " replace this owner first.",
                user=self.name,
                integrations=", ".join(owned.mapped("name")),
            )
        if not self._other_interactive_administrators():
            return self.env._(
                "%(user)s is the last administrator who can log in. An integration user cannot"
                " log in: make another administrator first.",
                user=self.name,
            )
        return False

    def _owned_integrations(self):
        """The integrations that these users are owners of, archived ones included."""
        integrations = self.env["auth.integration"].sudo().with_context(active_test=False)
        return integrations.search([("owner_ids", "in", self.ids)])

    def _integrations_left_behind(self):
        """Active integrations that have no active owner besides these users, as superuser."""
        integrations = self.env["auth.integration"].sudo().search([("owner_ids", "in", self.ids)])
        return integrations.filtered(
            lambda integration: not integration.owner_ids.filtered("active") - self
        )

    def _is_person(self):
        """Whether somebody may log in as this user, or has done so: not only an integration."""
        self.ensure_one()
        self.env.flush_all()
        return bool(
            self.env.execute_query(
                SQL(
                    "SELECT FROM res_users u WHERE u.id = %s AND (COALESCE(u.password, '') <> ''"
                    " OR EXISTS (SELECT FROM res_users_log l WHERE l.create_uid = u.id))",
                    self.id,
                )
            )
        )

    def _end_sessions(self):
        """End the sessions of these users for good: see :meth:`_session_token_get_values`."""
        self.env.cr.execute(
            SQL(
                "INSERT INTO auth_integration_session_end (user_id, ends)"
                " SELECT unnest(%s::integer[]), 1 ON CONFLICT (user_id)"
                " DO UPDATE SET ends = auth_integration_session_end.ends + 1",
                self.ids,
            )
        )
        self.env.registry.clear_cache()

    def _other_interactive_administrators(self):
        """Active administrators besides these users who are no integration's users."""
        administrators = (
            self.env.ref("base.group_system").sudo().all_user_ids.filtered("active")
            - self.browse(self.env.ref("base.user_root").id)
            - self
        )
        return administrators - administrators._integration_users()

    def _remove_owner_group(self):
        """Take the owners' group from those who own no integration any more."""
        group = self.env.ref("auth_integration.auth_integration_group_owner").sudo()
        for user in self.sudo() - self._owned_integrations().owner_ids:
            if group in user.group_ids:
                user.group_ids = [Command.unlink(group.id)]

    # CRUD ------------------------------------------------------------------------------------

    def write(self, vals):
        """Extend :meth:`res.users.write`: an integration follows its technical user's archiving,
        and the groups of an owned integration's user are an administrator's business."""
        if not self._auth_integration_ready():
            return super().write(vals)
        appointed = self._integration_if("group_ids" in vals)
        appointed._check_may_change()
        following = "active" in vals and not Following.is_said_in(self.env)
        archived = self._archived_integrations() if following else self.env["auth.integration"]
        if following and vals["active"]:
            self.check_access("write")  # before anything is told of an integration
            archived.with_env(self.env)._check_may_restore_integration()
        result = super().write(vals)
        appointed._check_may_change()
        if following:
            restored = {"active": True} if vals["active"] else {}
            archived.with_context(**FOLLOWING).write({**restored, "user_archived_along": False})
        return result

    def _archived_integrations(self):
        """The archived integrations whose users these are, as superuser."""
        integrations = self.env["auth.integration"].sudo().with_context(active_test=False)
        return integrations.search([("user_id", "in", self.ids), ("active", "=", False)])

    def _integration_if(self, wanted):
        """The integrations of these users, when wanted; read as the current user would be."""
        integrations = self.env["auth.integration"]
        if not wanted or self.env.su:
            return integrations
        found = integrations.sudo().with_context(active_test=False)
        return found.search([("user_id", "in", self.ids)]).with_env(self.env)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_integration_user(self):
        """An integration would be left without anybody to authenticate as."""
        if self._auth_integration_ready() and (technical := self._integration_users()):
            raise UserError(
                self.env._(
                    "%(users)s: technical user of an integration. Archive it, or delete the"
                    " integration first.",
                    users=", ".join(technical.mapped("name")),
                )
            )

    def unlink(self):
        """Extend :meth:`res.users.unlink`: the native keys go by cascade, their ends are kept."""
        if self._auth_integration_ready():
            natives = self.env["res.users.apikeys"].sudo().search([("user_id", "in", self.ids)])
            with best_effort(self.env):
                self.env["auth.integration.key"]._record_removal(
                    natives, "revoked", self.env._("Its user was deleted")
                )
        return super().unlink()

    # Authentication --------------------------------------------------------------------------

    def _auth_integration_ready(self):
        """Whether the hooks may touch our schema; see :meth:`auth.attempt._register_hook`."""
        return getattr(self.env.registry, "auth_integration_ready", False)

    def authenticate(self, credential, user_agent_env):
        """Extend :meth:`res.users.authenticate`: one attempt, whichever way it is refused."""
        core = CoreDecision(super().authenticate, credential, user_agent_env)
        if not self._auth_integration_ready():
            return core()
        interactive = (user_agent_env or {}).get("interactive", True)
        return core.with_our_part(self._authenticate_in_attempt, credential, interactive)

    def _authenticate_in_attempt(self, core, credential, interactive):
        with self.env["auth.attempt"]._open(login=credential.get("login")) as attempt:
            attempt.channel = {"webauthn": "passkey", "oauth_token": "oauth"}.get(
                credential.get("type"), attempt.channel
            )
            secret = credential.get("password")
            attempt.key_shaped = is_key_shaped(secret)
            if credential.get("type") == "webauthn":
                pass  # the passkey itself says whose it is
            elif not credential.get("login"):
                attempt.note("login_missing")
            elif not isinstance(credential["login"], str):
                attempt.note("malformed_request")
            if credential.get("type") == "password":
                if not secret:
                    attempt.note("secret_missing")
                elif not isinstance(secret, str):
                    attempt.note("malformed_request")
            try:
                known = self._is_key_over_rpc(credential, interactive)
                with key_in_use.presented(secret, known):
                    auth_info = core()
            except AccessDenied:
                if credential.get("type") == "webauthn" and not attempt.codes:
                    attempt.note("user_unknown")  # refused before any user was asked
                raise
            user = self.sudo().browse(auth_info["uid"])
            self._require_api_key(attempt, user, interactive)
            return auth_info

    @api.model
    def _check_uid_passwd(self, uid, passwd):
        """Replace the cached :meth:`res.users._check_uid_passwd`, whose cache outlives keys.

        Called by :func:`odoo.service.model.dispatch` for every XML-RPC and /jsonrpc object call.

        :raise AccessDenied: as core
        """
        if not self._auth_integration_ready():
            return super()._check_uid_passwd(uid, passwd)
        decide = self._check_uid_passwd_uncached
        if not isinstance(passwd, Hashable):  # core's cache refuses it, whoever the user is
            decide = super()._check_uid_passwd
        core = CoreDecision(decide, uid, passwd)
        return core.with_our_part(self._check_uid_passwd_in_attempt, uid, passwd)

    def _check_uid_passwd_uncached(self, uid, passwd):
        """The body of core's method; an unknown uid is refused like a wrong key instead of
        telling that it is unknown.  For when our own way fails."""
        if not passwd:
            raise AccessDenied()
        with self._assert_can_auth(user=uid):
            user = self.with_user(uid).env.user
            if not (0 < uid < 2**31 and user.sudo().exists() and user.active):
                raise AccessDenied()
            credential = {"login": user.login, "password": passwd, "type": "password"}
            user._check_credentials(credential, {"interactive": False})

    def _check_uid_passwd_in_attempt(self, core, uid, passwd):
        with self.env["auth.attempt"]._open(uid=uid) as attempt:
            attempt.key_shaped = is_key_shaped(passwd)
            if not uid:
                attempt.note("authenticate_skipped")
            if not passwd:
                attempt.note("secret_missing")
                raise AccessDenied()
            if not isinstance(passwd, str):
                attempt.note("malformed_request")
                return core()
            if self._is_accepted_key(uid, passwd):
                return
            with self._assert_can_auth(user=uid):
                user, state = self._rpc_user(uid, attempt)
                if _password_memo.get(self.env.cr.dbname, uid, passwd, state):
                    return
                credential = {"login": attempt.known_login, "password": passwd, "type": "password"}
                # Whatever it raises, core would only have it raised once more.
                auth_info = core.instead(
                    user._check_credentials, credential, {"interactive": False}
                )
                self._require_api_key(attempt, user)
                if attempt.accepted_key_of or auth_info["auth_method"] != "apikey":
                    self._remember_acceptance(attempt, uid, passwd, state)

    def _rpc_user(self, uid, attempt):
        """The active user of an RPC call, and all on which the acceptance of his password hangs.

        That is what logs his sessions out when it changes (:meth:`_get_session_token_fields`),
        and the caches' present life: core forgets an accepted password when they are cleared.

        :return: the user with his own rights, and an opaque text
        :raise AccessDenied: unknown or archived
        """
        user = self.with_user(uid).env.user
        row = self._session_state(user.sudo()) if 0 < uid < 2**31 else None
        if not row:
            attempt.note("user_unknown")
            raise AccessDenied()
        attempt.user_id = uid
        attempt.known_login, active, integration_id = row[:3]
        attempt.integration_user = uid, integration_id
        if integration_id:
            attempt.integration_id, attempt.attribution = integration_id, "login"
        if not active:
            attempt.note("user_archived")
            raise AccessDenied()
        return user, f"{self._acceptance_epoch()}:{row}"

    def _session_state(self, user):
        """A user's login, whether he is active, the id of his integration, and then the values of
        his session token; or None.

        Mirrors :meth:`res.users._session_token_get_values`, which clears the caches of all
        workers for an unknown user.
        """
        rows = hook_queries.query(
            self.env,
            SQL(
                "SELECT res_users.login, res_users.active,"
                " (SELECT id FROM auth_integration WHERE user_id = %(uid)s), %(select)s"
                " FROM %(from)s %(joins)s WHERE %(where)s GROUP BY %(group_by)s",
                uid=user.id,
                **user._get_session_token_query_params(),
            ),
        )
        return rows[0] if rows else None

    def _session_token_get_values(self):
        """Extend :meth:`res.users._session_token_get_values`: the sessions of a user end when he
        becomes an integration's; those of others stay as they are.

        Core keeps what it makes of them until the caches are cleared: taking a user over does so.
        """
        core = CoreDecision(super()._session_token_get_values)
        return core.with_our_part(self._session_token_with_integration)

    def _session_token_with_integration(self, core):
        values = core()
        if not values or not self._auth_integration_ready():
            return values
        if found := self._integration_id():
            values = (*values, ("auth_integration_id", found))
        # Of those released from an integration too: what ended then does not begin anew.
        if rows := hook_queries.query(self.env, _SESSION_ENDS, {"user": self.id}):
            values = (*values, ("auth_integration_session_ends", rows[0][0]))
        return values

    @tools.ormcache()
    def _acceptance_epoch(self):
        """A value that is another one whenever core would have forgotten accepted passwords."""
        return secrets.token_hex(8)

    def _remember_acceptance(self, attempt, uid, secret, state):
        """Remember that every module's :meth:`_check_credentials` has accepted a secret."""
        dbname = self.env.cr.dbname
        if not attempt.accepted_key_of:
            _password_memo.set(dbname, uid, secret, state)
        elif attempt.key_shaped:
            _accepted_keys.set(
                dbname, IdentityCache.digest(secret), uid, self._acceptance_epoch()
            )

    def _is_accepted_key(self, uid, secret):
        """Whether every module's :meth:`_check_credentials` has accepted this key of this user
        before, and it is still good.

        Core would answer the same from the cache of :meth:`res.users._check_uid_passwd`, without
        asking whether the key is still good.
        """
        if not is_key_shaped(secret):
            return False
        known = _accepted_keys.get(self.env.cr.dbname, IdentityCache.digest(secret))
        if known != (uid, self._acceptance_epoch()):
            return False
        return self.env["res.users.apikeys"]._check_credentials(scope="rpc", key=secret) == uid

    def _check_credentials(self, credential, env):
        """Extend :meth:`res.users._check_credentials`: hold integration users to their key, and
        say why a credential was refused.

        It opens an attempt of its own when called outside of a login: the second factor's step,
        identity checks, other code.
        """
        core = CoreDecision(super()._check_credentials, credential, env)
        if not self._auth_integration_ready():
            return core()
        return core.with_our_part(self._check_credentials_in_attempt, credential, env)

    def _check_credentials_in_attempt(self, core, credential, env):
        # Core checks the environment's user, but a second factor is checked before there is one.
        is_second_factor = credential.get("type") in ("totp", "totp_mail")
        user = self if is_second_factor and len(self) == 1 else self.env.user
        with self.env["auth.attempt"]._open(uid=user.id) as attempt:
            attempt.user_id = user.id
            if is_second_factor:
                attempt.channel = "totp"
            interactive = (env or {}).get("interactive", True)
            if interactive and user._integration_id():
                attempt.note("interactive_not_allowed")
                raise AccessDenied()
            try:
                known = self._is_key_over_rpc(credential, interactive)
                with key_in_use.presented(credential.get("password"), known):
                    return core()
            except AccessDenied as error:
                attempt.note(*self._refusal_codes(credential, interactive, error))
                raise
            except (PasswordSizeError, UnicodeEncodeError):
                attempt.note("malformed_request")  # no password can be that
                raise

    def _is_key_over_rpc(self, credential, interactive):
        """Whether the password given over RPC is an API key, live or ended.

        Then core is spared hashing it as a password first, which takes a hundred times as long.

        :return: None when that was not looked at
        """
        secret = credential.get("password")
        if interactive or credential.get("type") != "password" or not is_key_shaped(secret):
            return None
        if (verdict := key_in_use.verdict(secret)) is not None:
            return verdict
        try:
            return self.env["res.users.apikeys"]._is_known(secret)
        except Exception:
            _logger.exception("Could not identify an API key; core decides alone")
            return None

    def _refusal_codes(self, credential, interactive, error):
        """Causes of a refusal that the API-key check has not noted itself."""
        if credential.get("type") in ("totp", "totp_mail"):
            return [_second_factor_code(error)]
        if credential.get("type") == "oauth_token":
            return ["provider_error"]
        if credential.get("type") != "password":
            return ["password_wrong"]
        if not credential.get("password"):
            return ["secret_missing"]
        attempt = attempt_context.current()
        if attempt and attempt.accepted_key_of == self.env.uid:
            return ["provider_error"]  # a module above ours has its own opinion on keys
        if not interactive and self.env.user._rpc_api_keys_only():
            return ["password_not_allowed"]
        if attempt and "provider_error" in attempt.codes:
            # Whoever could say whether it is right was not asked; that it is no key says nothing.
            if not attempt.key_shaped:
                attempt.codes.discard("key_unknown")
            return []
        return ["password_wrong"]

    def _require_api_key(self, attempt, user, interactive=False):
        """Complete an accepted attempt; an integration user must have presented a key.

        :raise AccessDenied: another module accepted an integration user by other means, such as
            ``auth_ldap`` when his login is typed in capitals
        """
        if attempt.user_id != user.id:
            attempt.user_id, attempt.known_login = user.id, user.login
        if attempt.accepted_key_of == user.id:
            return
        integration_id = user._integration_id()
        if integration_id:
            attempt.integration_id, attempt.attribution = integration_id, "login"
            attempt.note("interactive_not_allowed" if interactive else "password_not_allowed")
            raise AccessDenied()

    def _rpc_api_keys_only(self):
        """Extend :meth:`res.users._rpc_api_keys_only` for integration users, and for a secret
        that is known to be an API key: core then skips the password and asks for the key."""
        self.ensure_one()
        core = CoreDecision(super()._rpc_api_keys_only)
        return core.with_our_part(self._requires_api_key)

    def _requires_api_key(self, core):
        if key_in_use.is_presented():
            return True
        if self._auth_integration_ready() and self._integration_id():
            return True
        return core()

    def _on_login_cooldown(self, failures, previous):
        """Extend :meth:`res.users._on_login_cooldown` to name the cause."""
        core = CoreDecision(super()._on_login_cooldown, failures, previous)
        return core.with_our_part(self._note_cooldown)

    def _note_cooldown(self, core):
        if core():
            attempt_context.note("cooldown")
        return core()

    def _set_password(self):
        """Extend :meth:`res.users._set_password`: remember when, to explain a wrong password.

        A stronger hash of the same password does not pass here.
        """
        super()._set_password()
        if not self._auth_integration_ready():
            return
        with best_effort(self.env):
            self.env.cr.execute(
                SQL(
                    "INSERT INTO auth_integration_password_change (user_id, changed_at)"
                    " SELECT unnest(%s), clock_timestamp() AT TIME ZONE 'UTC'"
                    " ON CONFLICT (user_id) DO UPDATE SET changed_at = EXCLUDED.changed_at",
                    self.ids,
                )
            )

    # Actions ---------------------------------------------------------------------------------

    def action_restore_archived(self):
        """Unarchive, from the list of archived users who still hold live keys."""
        if not self.env.user.has_group("base.group_erp_manager"):
            raise UserError(self.env._("Only an administrator may restore a user."))
        return self.action_unarchive()
