import base64
import secrets
from contextlib import contextmanager, nullcontext

from odoo import api, models, tools
from odoo.exceptions import AccessDenied, UserError
from odoo.tools import SQL

from ..tools import hook_queries
from ..tools.access import enforcement
from ..tools.attempt import caller, request_state
from ..tools.attempt.redaction import can_be_password, is_key_shaped
from ..tools.fallback import core_fallback, limited_by, observed_by, observing
from ..tools.key.identity_cache import IdentityCache, PasswordMemo, Place
from ..tools.throttle import guess as guesses
from ..tools.throttle.counters import login_text
from .integration.auth_integration import FOLLOWING, Following
from .res_users_apikeys import best_effort

# Queried on every login.
_INTEGRATION_OF_USER = "SELECT id FROM auth_integration WHERE user_id = %(user)s"
_SESSION_ENDS = "SELECT ends FROM auth_integration_session_end WHERE user_id = %(user)s"

_SECOND_FACTORS = ("totp", "totp_mail")
# Credential types that anyone can send from the login page, without the token that they need.
_WITH_TOKEN = (*_SECOND_FACTORS, "oauth_token")
_CHANNEL_OF_CREDENTIAL = {"webauthn": "passkey", "oauth_token": "oauth"}

_password_memo = PasswordMemo()
_accepted_keys = IdentityCache()


class CoreValues(tuple):
    """The values of a session token when this add-on's part could not be read."""

    __slots__ = ()


class TokenNotKept(Exception):
    """Carry a session token past core's cache, which keeps nothing from a call that raises."""

    def __init__(self, token):
        super().__init__()
        self.token = token


class ResUsers(models.Model):
    """Record authentication of users as attempts, and require API keys of integration users.

    Each hook of core's is one attempt. Other features of integration users are in ``models/users/``
    and ``models/integration/``.
    """

    _inherit = "res.users"

    # Authentication: each hook calls core once; our code around it observes or decides -----------

    def _auth_integration_ready(self):
        """Return whether the hooks may use our schema; see :meth:`auth.attempt._register_hook`."""
        return getattr(self.env.registry, "auth_integration_ready", False)

    def authenticate(self, credential, user_agent_env):
        """Extend :meth:`res.users.authenticate`: record one attempt, however it is refused."""
        if not self._auth_integration_ready():
            return super().authenticate(credential, user_agent_env)
        interactive = (user_agent_env or {}).get("interactive", True)
        login = credential.get("login")
        with observed_by(self.env["auth.attempt"]._open, login=login) as attempt:
            with observing():
                self._note_login(attempt, credential)
                self._recognize_key(attempt, credential, interactive)
            told = user_agent_env
            with observing():
                told = self._told_of_caller(attempt, credential, user_agent_env)
            try:
                # Before anything looks up the user of the login.
                with (
                    limited_by(self._limit_login, attempt, credential) as guess,
                    self._holding_to_access("common"),
                ):
                    with core_fallback():
                        if self._is_malformed(credential):
                            self._refuse_like_core(login)
                    auth_info = super().authenticate(credential, told)
                    with observing():
                        self._note_second_factor(guess, interactive, auth_info)
            except AccessDenied:
                with observing():
                    if credential.get("type") == "webauthn" and not attempt.codes:
                        attempt.note("user_unknown")  # refused before any user was checked
                raise
            with core_fallback():
                user = self.sudo().browse(auth_info["uid"])
                self._require_api_key(attempt, user, interactive)
            return auth_info

    @api.model
    def _check_uid_passwd(self, uid, passwd):
        """Override :meth:`res.users._check_uid_passwd`, whose cache outlives keys.

        An unknown uid is refused like a wrong key, so that the response does not reveal that it is
        unknown. Called by :func:`odoo.service.model.dispatch` for every XML-RPC and /jsonrpc object
        call.

        :raise AccessDenied: as core
        """
        if not self._auth_integration_ready():
            return super()._check_uid_passwd(uid, passwd)
        with self._holding_to_access("object"):
            self._authenticate_call(uid, passwd)
        if request_state.is_limited():
            with enforcement.failing_closed():
                enforcement.hold(self.env)

    def _authenticate_call(self, uid, passwd):
        """Do the work of :meth:`_check_uid_passwd`: authenticate a call and record one attempt."""
        with observed_by(self.env["auth.attempt"]._open, uid=uid) as attempt:
            with observing():
                self._note_rpc_credential(attempt, uid, passwd)
            if not passwd:
                raise AccessDenied()
            is_accepted_key = False
            with core_fallback():
                is_accepted_key = self._is_accepted_key(uid, passwd)
            # Core would accept it from its cache, without checking that the key is still valid.
            natives = self.env["res.users.apikeys"]
            if is_accepted_key and natives._check_credentials(scope="rpc", key=passwd) == uid:
                return None
            with self._assert_can_auth(user=uid):
                user = None
                try:
                    with core_fallback():
                        user, login, state = self._rpc_user(attempt, uid)
                        if _password_memo.get(self._memo_place(uid), passwd, state):
                            return None
                    if user is None:
                        user, login, state = self._rpc_user_of_core(uid)
                except AccessDenied:
                    with limited_by(self._limit_user_id, attempt, uid, passwd):
                        raise
                credential = {"login": login, "password": passwd, "type": "password"}
                with limited_by(self._limit_user_id, attempt, uid, passwd) as guess:
                    auth_info = user._check_credentials(credential, {"interactive": False})
                    with core_fallback():
                        self._require_api_key(attempt, user)
                with core_fallback():
                    self._remember_acceptance(attempt, uid, passwd, state, auth_info, guess)

    def _check_credentials(self, credential, env):
        """Extend :meth:`res.users._check_credentials`: require keys of integration users.

        It also notes why a credential was refused. It opens its own attempt when called outside of
        a login: for the second factor, for identity checks, or by other code.
        """
        if not self._auth_integration_ready():
            return super()._check_credentials(credential, env)
        interactive = (env or {}).get("interactive", True)
        # Core checks the environment's user, but a second factor is checked before that is set.
        is_second_factor = credential.get("type") in _SECOND_FACTORS
        user = self if is_second_factor and len(self) == 1 else self.env.user
        with observed_by(self.env["auth.attempt"]._open, uid=user.id) as attempt:
            with observing():
                self._note_checked_user(attempt, user, credential)
                self._recognize_key(attempt, credential, interactive)
            with core_fallback():
                self._refuse_interactive(attempt, user, interactive)
            try:
                with limited_by(self._limit_check, attempt, user, credential, interactive):
                    with core_fallback():
                        if self._is_malformed(credential):
                            raise AccessDenied()
                    return super()._check_credentials(credential, env)
            except AccessDenied:
                with observing():
                    codes = self._refusal_codes(attempt, user, credential, interactive)
                    attempt.note(*codes)
                    if "cooldown" in attempt.codes:
                        guesses.do_not_count()  # core did not check the credential
                raise

    @contextmanager
    def _assert_can_auth(self, user=None):
        """Extend :meth:`res.users._assert_can_auth`: limit guesses of a second factor.

        The page that asks for it calls this method on the user. Which module checks the code, and
        whether that module calls our hooks, is unknown.
        """
        with super()._assert_can_auth(user=user):
            if len(self) != 1 or user != self.id or not self._auth_integration_ready():
                yield
                return
            with limited_by(self._limit_second_factor):
                yield

    def _crypt_context(self):
        """Extend :meth:`res.users._crypt_context`: note that core will compare a password."""
        with observing():
            guesses.note_comparison(self.env.uid)
        return super()._crypt_context()

    def _rpc_api_keys_only(self):
        """Extend :meth:`res.users._rpc_api_keys_only` for integration users and known API keys.

        Core then skips the password check and only checks for an API key.
        """
        self.ensure_one()
        with core_fallback():
            if self._requires_api_key():
                return True
        return super()._rpc_api_keys_only()

    def _session_token_get_values(self):
        """Extend :meth:`res.users._session_token_get_values`: end sessions at a takeover.

        The sessions of other users stay valid. Core caches the result until the caches are cleared,
        which happens when a user becomes an integration user.
        """
        values = super()._session_token_get_values()
        if not (values and self._auth_integration_ready()):
            return values
        with core_fallback():
            return (*values, *self._session_token_of_integration())
        return CoreValues(values)

    def _session_token_hash_compute(self, sid, field_values):
        """Extend :meth:`res.users._session_token_hash_compute`, which core calls within a cache."""
        token = super()._session_token_hash_compute(sid, field_values)
        if isinstance(field_values, CoreValues):
            raise TokenNotKept(token)
        return token

    def _compute_session_token(self, sid):
        """Extend :meth:`res.users._compute_session_token`: do not cache tokens without our part.

        Such a token is used for this call only. If it were cached, sessions that a takeover has
        ended would be accepted long after.
        """
        try:
            return super()._compute_session_token(sid)
        except TokenNotKept as made:
            return made.token

    def _on_login_cooldown(self, failures, previous):
        """Extend :meth:`res.users._on_login_cooldown` to note the cause."""
        is_refused = super()._on_login_cooldown(failures, previous)
        if is_refused:
            with observing():
                request_state.note("cooldown")
                guesses.do_not_count()
        return is_refused

    def _totp_rate_limit(self, limit_type):
        """Extend :meth:`res.users._totp_rate_limit` of ``auth_totp`` to note the cause."""
        try:
            return super()._totp_rate_limit(limit_type)
        except AccessDenied:
            if limit_type == "code_check":
                with observing():
                    request_state.note("cooldown")
            raise

    # Observing hooks -------------------------------------------------------------------------

    def _note_login(self, attempt, credential):
        """Note how somebody logs in, and what is missing or malformed in the credential."""
        kind, secret = credential.get("type"), credential.get("password")
        attempt.channel = _CHANNEL_OF_CREDENTIAL.get(kind, attempt.channel)
        attempt.key_shaped = is_key_shaped(secret)
        if kind == "webauthn":
            pass  # the passkey itself identifies the user
        elif not credential.get("login"):
            attempt.note("login_missing")
        elif not isinstance(credential["login"], str):
            attempt.note("malformed_request")
        if self._is_malformed(credential):
            attempt.note("malformed_request")
        elif kind == "password" and not secret:
            attempt.note("secret_missing")

    def _note_rpc_credential(self, attempt, uid, secret):
        """Note what is missing or malformed in the credential of an object call."""
        attempt.key_shaped = is_key_shaped(secret)
        if not uid:
            attempt.note("authenticate_skipped")
        if not secret:
            attempt.note("secret_missing")
        elif not can_be_password(secret):
            attempt.note("malformed_request")

    def _note_checked_user(self, attempt, user, credential):
        """Note whose credential is checked."""
        attempt.user_id = user.id
        if credential.get("type") in _SECOND_FACTORS:
            attempt.channel = "totp"

    def _recognize_key(self, attempt, credential, interactive):
        """Note whether the password given over RPC is an API key, live or ended.

        If it is, core need not hash it as a password first, which takes a hundred times as long.
        """
        secret = credential.get("password")
        if interactive or credential.get("type") != "password" or not is_key_shaped(secret):
            attempt.secret_is_key = attempt.secret_digest = None
            return
        digest = IdentityCache.digest(secret)
        if digest != attempt.secret_digest:
            attempt.secret_is_key = attempt.secret_digest = None
            attempt.secret_is_key = self.env["res.users.apikeys"]._is_known(secret)
            attempt.secret_digest = digest

    def _refusal_codes(self, attempt, user, credential, interactive):
        """Return the causes of a refusal that the API key check has not noted itself."""
        if self._is_malformed(credential):
            return ["malformed_request"]
        kind = credential.get("type")
        if kind in _SECOND_FACTORS:
            return self._second_factor_codes(attempt, user, credential)
        if kind == "oauth_token":
            return ["provider_error"]
        if kind != "password":
            return ["password_wrong"]
        if not credential.get("password"):
            return ["secret_missing"]
        if attempt.accepted_key_of == user.id:
            return ["provider_error"]  # another module refused the key after our check
        if not interactive and user._rpc_api_keys_only():
            return ["password_not_allowed"]
        if "provider_error" in attempt.codes:
            # The provider of the password was not asked, so not being a key says nothing.
            if not attempt.key_shaped:
                attempt.codes.discard("key_unknown")
            return []
        return ["password_wrong"]

    def _second_factor_codes(self, attempt, user, credential):
        """Return why ``auth_totp`` refused a code: its texts are translated, so check the code."""
        if "cooldown" in attempt.codes:
            return []
        if credential["type"] == "totp" and user._is_totp_code(credential.get("token")):
            return ["second_factor_replayed"]
        return ["second_factor_wrong"]

    def _is_totp_code(self, code):
        """Return whether a code is a current one of the authenticator app, used before or not."""
        if "totp_secret" not in self._fields:
            return False
        from odoo.addons.auth_totp.models.totp import TOTP  # only if auth_totp is installed

        secret = base64.b32decode(self.sudo().totp_secret)
        return TOTP(secret).match(code) is not None

    # Deciding hooks --------------------------------------------------------------------------

    def _is_malformed(self, credential):
        """Return whether this credential cannot belong to any user.

        For such a secret, core raises a different error than for a wrong one, but only if the user
        exists. For such a login, core may find a user with another login.
        """
        if login_text(credential.get("login")) is None:
            return True
        kind, secret = credential.get("type"), credential.get("password")
        if kind == "password":
            return bool(secret) and not can_be_password(secret)
        return kind in _WITH_TOKEN and "token" not in credential

    def _refuse_interactive(self, attempt, user, interactive):
        """Refuse integration users everywhere but over RPC."""
        if interactive and user._integration_id():
            attempt.note("interactive_not_allowed")
            raise AccessDenied()

    def _require_api_key(self, attempt, user, interactive=False):
        """Complete an accepted attempt; integration users must have presented an API key.

        :raise AccessDenied: another module accepted an integration user by other means, such as
            ``auth_ldap`` if the login is typed in capitals
        """
        if attempt is not request_state.attempt():
            return  # no attempt could be opened: how the user was accepted is unknown
        if attempt.user_id != user.id:
            attempt.user_id, attempt.known_login = user.id, user.login
        if attempt.accepted_key_of == user.id:
            return
        if integration_id := user._integration_id():
            attempt.attribute(integration_id, "login")
            attempt.note("interactive_not_allowed" if interactive else "password_not_allowed")
            raise AccessDenied()

    @staticmethod
    def _holding_to_access(service):
        """Return a context manager in which an RPC service enforces the access of an accepted key.

        The service either looks up what the key may call, or learns only a user's id. Other callers
        of the hooks are unknown and get no such context, except during the request in which this
        add-on is imported.
        """
        state = request_state.current()
        called = state.service_call[0] if state.service_call else None
        if called == service or not (called or state.is_wrapped):
            return request_state.holding_to_access()
        return nullcontext()

    def _told_of_caller(self, attempt, credential, user_agent_env):
        """Return ``user_agent_env`` for core, without ``base_location`` if given an API key.

        From an administrator's login, core would store that address as ``web.base.url``.
        """
        facts = user_agent_env or {}
        if not facts.get("base_location") or facts.get("interactive", True):
            return user_agent_env
        is_key, secret = attempt.secret_is_key, credential.get("password")
        if is_key is None and isinstance(secret, str):
            is_key = self.env["res.users.apikeys"]._is_known(secret)
        return {**facts, "base_location": None} if is_key else user_agent_env

    def _requires_api_key(self):
        """Return whether core should ask for an API key only."""
        attempt = request_state.attempt()
        if attempt and attempt.secret_is_key:
            return True
        return bool(self._auth_integration_ready() and self._integration_id())

    def _session_token_of_integration(self):
        """Yield this add-on's values of a session token.

        These are the user's integration and how many times the user's sessions were ended. The
        count makes sure that ended sessions stay ended after the user is released from the
        integration.
        """
        if found := self._integration_id():
            yield "auth_integration_id", found
        if rows := hook_queries.query(self.env, _SESSION_ENDS, {"user": self.id}):
            yield "auth_integration_session_ends", rows[0][0]

    # Lookups, once per call -------------------------------------------------------------------

    def _integration_id(self):
        """Return the id of this integration user's integration, or None; queried on every login."""
        self.ensure_one()
        attempt = request_state.attempt()
        if attempt and attempt.integration_user and attempt.integration_user[0] == self.id:
            return attempt.integration_user[1]
        rows = hook_queries.query(self.env, _INTEGRATION_OF_USER, {"user": self.id})
        integration_id = rows[0][0] if rows else None
        if attempt:
            attempt.integration_user = self.id, integration_id
        return integration_id

    def _rpc_user(self, attempt, uid):
        """Return the active user of an RPC call, and what an accepted password depends on.

        That is the values whose change ends the user's sessions
        (:meth:`_get_session_token_fields`), and the current life of the caches: core forgets
        accepted passwords when they are cleared.

        :return: the user in their own environment, the login, and an opaque text; None instead of
            the text while guesses of the password from this address are refused, even a right one
        :raise AccessDenied: unknown or archived
        """
        user = self.with_user(uid).env.user
        row = self._session_state(user.sudo()) if 0 < uid < 2**31 else None
        if not row:
            attempt.note("user_unknown")
            raise AccessDenied()
        attempt.user_id = uid
        attempt.known_login, active, integration_id, is_full = row[:4]
        attempt.integration_user = uid, integration_id
        attempt.attribute(integration_id, "login")
        if not active:
            attempt.note("user_archived")
            raise AccessDenied()
        state = None if is_full else f"{self._acceptance_epoch()}:{row}"
        return user, attempt.known_login, state

    def _rpc_user_of_core(self, uid):
        """Do as :meth:`_rpc_user` without our code, after it failed; nothing is remembered."""
        user = self.with_user(uid).env.user
        if not (0 < uid < 2**31 and user.sudo().exists() and user.active):
            raise AccessDenied()
        return user, user.login, None

    def _session_state(self, user):
        """Return the facts about a user for an RPC call, in one query; None without such a user.

        The row has the login, whether the user is active, the id of the integration, whether
        guesses of a password remembered from this address are refused, and then the values of the
        session token.

        Mirrors :meth:`res.users._session_token_get_values`, which clears the caches of all workers
        for an unknown user.
        """
        pair = _password_memo.counter(self._memo_place(user.id))
        lock, is_full = self.env["auth.throttle"]._is_full(pair)
        rows = hook_queries.query(
            self.env,
            SQL(
                "%(lock)s SELECT res_users.login, res_users.active,"
                " (SELECT id FROM auth_integration WHERE user_id = %(uid)s),"
                " %(is_full)s, %(select)s"
                " FROM %(from)s %(joins)s WHERE %(where)s GROUP BY %(group_by)s",
                uid=user.id,
                lock=lock,
                is_full=is_full,
                **user._get_session_token_query_params(),
            ),
        )
        return rows[0] if rows else None

    @tools.ormcache()
    def _acceptance_epoch(self):
        """Return a value that changes whenever core would have forgotten accepted passwords."""
        return secrets.token_hex(8)

    def _memo_place(self, uid):
        return Place(self.env.cr.dbname, uid, caller.current().remote_addr)

    def _remember_acceptance(self, attempt, uid, secret, state, auth_info, guess):
        """Remember that the :meth:`_check_credentials` of all modules have accepted a secret."""
        if attempt is not request_state.attempt():
            return  # no attempt, see :meth:`_require_api_key`: check it again next time
        if attempt.accepted_key_of:
            if attempt.key_shaped:
                digest = IdentityCache.digest(secret)
                _accepted_keys.set(self.env.cr.dbname, digest, uid, self._acceptance_epoch())
        elif state and guess and isinstance(secret, str) and auth_info["auth_method"] != "apikey":
            _password_memo.set(self._memo_place(uid), secret, state, guess.counters.pair.key)

    def _is_accepted_key(self, uid, secret):
        """Return whether all modules' :meth:`_check_credentials` have accepted this user's key."""
        if not is_key_shaped(secret):
            return False
        known = _accepted_keys.get(self.env.cr.dbname, IdentityCache.digest(secret))
        return known == (uid, self._acceptance_epoch())

    # Records and passwords -----------------------------------------------------------------

    @property
    def SELF_READABLE_FIELDS(self):
        return [*super().SELF_READABLE_FIELDS, "api_key_record_ids", "has_api_key_records"]

    def write(self, vals):
        """Extend :meth:`res.users.write`: archive and restore integrations with their users.

        The groups of an integration user are changed by those who could grant all of them.
        """
        if not self._auth_integration_ready():
            return super().write(vals)
        following = "active" in vals and not Following.is_said_in(self.env)
        if "group_ids" in vals or (following and vals["active"]):
            self.check_access("write")  # before an error reveals anything about an integration
        appointed = self._integration_if("group_ids" in vals)
        appointed._check_may_grant()
        archived = self._archived_integrations() if following else self.env["auth.integration"]
        if following and vals["active"]:
            archived.with_env(self.env)._check_may_restore_integration()
        result = super().write(vals)
        appointed._check_may_grant()
        if following:
            restored = {"active": True} if vals["active"] else {}
            with archived.with_env(self.env)._checking_change():
                archived.with_context(**FOLLOWING).write({**restored, "user_archived_along": False})
            if vals["active"] and (integrations := self._all_integrations()):
                integrations._close_activities_of_fixed()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_integration_user(self):
        """Prevent deletion, which would leave an integration without a user to authenticate as."""
        if self._auth_integration_ready() and (technical := self._integration_users()):
            raise UserError(
                self.env._(
                    "%(users)s: this is an integration user. Archive the user, or delete the"
                    " integration first.",
                    users=", ".join(technical.mapped("name")),
                )
            )

    def unlink(self):
        """Extend :meth:`res.users.unlink`: record the ends of native keys, deleted by cascade."""
        if self._auth_integration_ready():
            natives = self.env["res.users.apikeys"].sudo().search([("user_id", "in", self.ids)])
            with best_effort(self.env):
                self.env["auth.integration.key"]._record_removal(
                    natives, "revoked", self.env._("The user was deleted")
                )
        return super().unlink()

    def _set_password(self):
        """Extend :meth:`res.users._set_password`: record when, to explain wrong passwords.

        Core does not call this to store a stronger hash of the same password.
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
