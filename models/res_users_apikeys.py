import binascii
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import timedelta

from odoo import api, fields, models
from odoo.addons.base.models.res_users import API_KEY_SIZE, INDEX_SIZE, KEY_CRYPT_CONTEXT
from odoo.addons.base.models.res_users import ResUsersApikeys as BaseApikeys
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL
from passlib.utils import MAX_PASSWORD_SIZE
from psycopg2.errors import ReadOnlySqlTransaction

from ..tools import hook_queries
from ..tools.access import enforcement
from ..tools.attempt import caller, request_state
from ..tools.attempt.flood_limits import LogLimit
from ..tools.attempt.redaction import is_key_shaped, is_storable, remove_keys
from ..tools.fallback import core_fallback, observing
from ..tools.health import probe
from ..tools.key import stock_verification
from ..tools.key.authenticated_key import AuthenticatedKey
from ..tools.key.identity_cache import IdentityCache
from ..tools.key.key_policy import END_CODES, KeyFacts, KeyIdentity, live_facts, refusal_codes
from ..tools.key.key_state import JOINED_STATE_SQL, STATE_SQL, Dates
from ..tools.key.native_scope import RESTRICTED, RPC, KeyRulesUnreadable
from .mixins.fresh_identity import require_unlimited_key

_logger = logging.getLogger(__name__)

_identities = IdentityCache()

# How many milliseconds a call waits to write the scope of a key; the next call tries again.
RESTRICTING_LOCK_TIMEOUT_MS = 500
_unrestricted = LogLimit(per_minute=10)
_unrecorded = LogLimit(per_minute=10)

# The facts of :func:`live_facts`, queried on every call: four lookups, each by a unique index. They
# are not a join of the four tables, because planning it takes longer than the rest of the query.
# One JSON document is faster to read than three.
_LIVE_FACTS = f"""
    SELECT json_build_array(native.user_id, native.scope,
        native.expiration_date < (clock_timestamp() AT TIME ZONE 'UTC'),
        (SELECT json_build_array(u.login, u.active) FROM res_users u WHERE u.id = native.user_id),
        (SELECT json_build_array(
             k.id, k.scope, {JOINED_STATE_SQL.format(k="k")}, k.ended_at IS NOT NULL,
             k.access, k.access_mode, k.allowed_networks)
         FROM auth_integration_key k
         WHERE k.apikey_id = native.id AND k.hash = native.key ORDER BY k.id DESC LIMIT 1),
        (SELECT json_build_array(i.id, i.active, i.allowed_networks, i.allowed_channels)
         FROM auth_integration i WHERE i.user_id = native.user_id))
    FROM res_users_apikeys native
    WHERE native.id = %(native_id)s AND native.key = %(stored_hash)s
      AND native.index = %(prefix)s
"""
# The facts of :class:`KeyFacts`, in its order.
_ENDED_FACTS = f"""
    SELECT k.user_id, k.login, u.active, k.scope, FALSE,
           k.id, {STATE_SQL.format(k="k")},
           i.id, i.active, i.allowed_networks, i.allowed_channels,
           k.ended_at IS NOT NULL, FALSE, k.access, k.access_mode, k.allowed_networks
    FROM auth_integration_key k
    LEFT JOIN res_users u ON u.id = k.user_id
    LEFT JOIN auth_integration i ON i.id = k.integration_id
    WHERE k.id = %(record_id)s
"""

# What a secret is compared with: the records of all keys, live or ended, and the native keys.
_CANDIDATES = """
    SELECT apikey_id, id, hash, digest FROM auth_integration_key
    WHERE prefix = %(prefix)s AND hash IS NOT NULL
    UNION ALL
    SELECT id, NULL, key, NULL FROM res_users_apikeys WHERE index = %(prefix)s
"""


@contextmanager
def best_effort(env):
    """Record what happens to a native key or a password, without letting our errors prevent it.

    A key that is missed here is found by the next :meth:`auth.integration.key._reconcile`.
    """
    try:
        with env.cr.savepoint():
            yield
    except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
        raise
    except Exception:
        _logger.exception("Could not write down what becomes of a credential; core goes on alone")


def _hash_all(secrets):
    """Hash new keys as core does, in parallel: hashing releases the GIL."""
    if len(secrets) == 1:
        return [KEY_CRYPT_CONTEXT.hash(secrets[0])]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(KEY_CRYPT_CONTEXT.hash, secrets))


class IssuingContext:
    """Context marker: the caller of :meth:`ResUsersApikeys._generate` handles end and record.

    The marker is an object, which no caller over RPC can send.
    """


class ResUsersApikeys(models.Model):
    """Verify, create and remove Odoo's own keys, each with a record of this add-on."""

    _inherit = "res.users.apikeys"

    # Trusted 2FA devices (``auth_totp.device``) inherit this model by prototype, and so these
    # methods: each of them first checks whether it is called for API keys.

    def _auth_integration_applies(self):
        return self._name == "res.users.apikeys" and getattr(
            self.env.registry, "auth_integration_ready", False
        )

    # Verification ----------------------------------------------------------------------------

    def _check_credentials(self, *, scope, key):
        """Extend :meth:`res.users.apikeys._check_credentials`: fast, up to date, and stricter.

        A key that was fully verified once in this process is recognised by its SHA-256; whether it
        may be used is queried from the database on every call. If another module verifies keys too,
        it is called as usual, and its result is only narrowed. If our code fails before it has
        decided, core decides alone; this is safe because every end is also written to the native
        row.

        :return: the user's id, or None
        """
        if self._name != stock_verification.MODEL or not (scope and key):
            return super()._check_credentials(scope=scope, key=key)
        if not self._auth_integration_applies():
            uid = super()._check_credentials(scope=scope, key=key)
            return self._refuse_unreadable(uid, key)
        is_decided = False
        with core_fallback():
            allowed = self._authorize_secret(scope, key)
            if self._is_only_core_below():
                return self._accepted(allowed)
            is_decided = True
        if not is_decided:
            self._require_primary()
            uid = super()._check_credentials(scope=scope, key=key)
            return self._accepted(self._refuse_unreadable(uid, key))
        with self._vouching(allowed, scope, key):
            uid = super()._check_credentials(scope=scope, key=key)
        with core_fallback():
            return self._accepted(self._narrowed(uid, allowed, key))
        self._require_primary()
        return self._accepted(uid)

    @staticmethod
    def _accepted(uid):
        """Note the user of an accepted key, if any, and return the user's id."""
        with observing():
            if attempt := request_state.attempt():
                attempt.accepted_key_of = uid
        return uid

    def _vouching(self, allowed, scope, key):
        """Make stock Odoo and other modules ignore the native scope of a key that we accept."""
        if not allowed:
            return nullcontext()
        return request_state.vouching_for(self.env.cr.dbname, scope, key)

    def _narrowed(self, uid, allowed, key):
        """Return what remains of the result of another module.

        :param uid: that result
        :param allowed: our result
        """
        # A credential that only the other module knows is not for this add-on to decide.
        if allowed == uid or not self._is_known(key):
            return uid
        if allowed:
            request_state.current().authenticated_key = None
            request_state.note("provider_error")
        return None

    def _require_primary(self):
        """Refuse to verify keys on a replica, which may not know yet of a key's end or rules.

        :raise ReadOnlySqlTransaction: makes Odoo serve the whole request again, on the primary
        """
        if self.env.cr.readonly:
            raise ReadOnlySqlTransaction("API keys are verified on the primary")

    def _refuse_unreadable(self, uid, key):
        """Return the result of stock Odoo, unless it refused a good key only because it has rules.

        :param uid: the result
        :raise KeyRulesUnreadable: it did; the caller may try again
        """
        if uid is None and self._has_native_rules(key):
            with observing():
                request_state.note("internal_error")
            raise KeyRulesUnreadable()
        return uid

    def _has_native_rules(self, key):
        """Return whether this is the secret of a key with rules that is otherwise valid."""
        try:
            return bool(BaseApikeys._check_credentials(self, scope=RESTRICTED, key=key))
        except Exception:
            return False

    def _is_only_core_below(self):
        """Return whether no module below ours overrides the verification; others run anyway."""
        below = super()._check_credentials.__func__
        return below is BaseApikeys._check_credentials

    def _authorize_secret(self, scope, secret):
        """Identify a secret and decide whether to accept it.

        :return: the user's id, or None
        """
        if attempt := request_state.attempt():
            attempt.key_shaped = is_key_shaped(secret)
        identity = self._recall(secret)
        if identity:
            decided, uid = self._authorize(identity, scope)
            if decided:
                return uid
            # The native row is gone, or it holds another key now.
            _identities.discard(self.env.cr.dbname, IdentityCache.digest(secret))
        identity = None if self._is_known_to_be_none(attempt, secret) else self._identify(secret)
        if identity:
            decided, uid = self._authorize(identity, scope)
            if decided:
                return uid
        request_state.note("key_unknown")
        return None

    @staticmethod
    def _is_known_to_be_none(attempt, secret):
        """Return whether a lookup before the password check has just found no such key."""
        if attempt is None or attempt.secret_is_key is not False:
            return False
        return is_key_shaped(secret) and attempt.secret_digest == IdentityCache.digest(secret)

    def _recall(self, secret):
        """Return the identity of a key that this process has fully verified before, or None."""
        if not is_key_shaped(secret):
            return None
        known = _identities.get(self.env.cr.dbname, IdentityCache.digest(secret))
        return known and KeyIdentity(known[0], None, known[1], secret[:INDEX_SIZE])

    def _is_known(self, secret):
        """Return whether a secret is an API key of any user, live or ended."""
        return bool(self._recall(secret) or self._identify(secret))

    def _identify(self, secret):
        """Verify a secret against every key with its prefix.

        Recorded keys come first, in the order of their creation, then native rows without a record.
        Mirrors how :meth:`res.users.apikeys._check_credentials` verifies, except for conditions
        that change with time: those are checked with the current facts. The first key of a secret
        remains its key: a copy of the row, or another hash of the secret, is not another key.

        :rtype: KeyIdentity | None
        """
        if not is_storable(secret) or len(secret) > MAX_PASSWORD_SIZE:
            return None  # PostgreSQL or the hash cannot process it
        digest = IdentityCache.digest(secret) if is_key_shaped(secret) else None
        candidates = hook_queries.query(
            self.env, _CANDIDATES, {"prefix": secret[:INDEX_SIZE]}
        )
        natives = {(row[0], row[2]) for row in candidates if row[1] is None}
        # A live row and its record have the same hash, which is then verified only once.
        seen = set()
        for native_id, record_id, stored_hash, known_digest in sorted(
            candidates, key=lambda row: (row[1] is None, row[1] or -row[0])
        ):
            if stored_hash in seen:
                continue
            seen.add(stored_hash)
            if (digest and known_digest == digest) or KEY_CRYPT_CONTEXT.verify(
                secret, stored_hash
            ):
                if (native_id, stored_hash) not in natives:
                    native_id = None
                if native_id and digest:
                    _identities.set(self.env.cr.dbname, digest, native_id, stored_hash)
                    self._note_learned(digest, candidates)
                return KeyIdentity(native_id, record_id, stored_hash, secret[:INDEX_SIZE])
        self._note_similar(candidates)
        return None

    @staticmethod
    def _note_similar(candidates):
        """Note the newest key with the prefix of an unknown secret, which was probably mistyped."""
        records = [record_id for _native, record_id, *_hashes in candidates if record_id]
        if records and (attempt := request_state.attempt()):
            attempt.similar_key_id = max(records)

    @staticmethod
    def _note_learned(digest, candidates):
        """Have the SHA-256 of a key made elsewhere stored along with its use."""
        attempt = request_state.attempt()
        if attempt and all(known_digest != digest for *_facts, known_digest in candidates):
            attempt.learned_digest = digest

    def _authorize(self, identity, scope):
        """Decide about an identified key by its current facts.

        :return: whether it could be decided, and the user's id or None
        :rtype: tuple[bool, int | None]
        """
        facts = self._live_facts(identity)
        if facts is None:
            return False, None
        who = caller.current()
        if self._refusal_codes(facts, scope, who, identity):
            return True, None
        if facts.key_id:
            request_state.current().authenticated_key = self._authenticated_key(facts, who)
            is_held = request_state.current().is_access_held or not request_state.is_limited()
            if who.is_http and not is_held and not enforcement.may_be_held(self.env):
                request_state.current().authenticated_key = None
                return True, None
        return True, facts.user_id

    def _authenticated_key(self, facts, who):
        attempt = request_state.attempt()
        return AuthenticatedKey(
            dbname=self.env.cr.dbname,
            uid=facts.user_id,
            key_id=facts.key_id,
            channel=who.channel,
            remote_addr=who.remote_addr,
            address_trusted=who.address_trusted,
            access=facts.access,
            access_mode=facts.access_mode,
            login=facts.login,
            integration_id=facts.integration_id,
            auth_type=attempt.auth_type if attempt else None,
            has_networks=bool(facts.own_networks),
        )

    def _refusal_codes(self, facts, scope, who, identity):
        probing = facts.scope == probe.SCOPE and self._may_probe()
        if probing:
            # It tests the way to Odoo from Odoo's own address: rules about callers do not apply.
            facts = facts._replace(
                scope=None, allowed_networks=None, allowed_channels=None, own_networks=None
            )
        codes = refusal_codes(facts, scope=scope, channel=who.channel, address=who.remote_addr)
        if identity.native_id is None and not codes:
            codes = {"key_revoked"}  # stock Odoo has no row that accepts this secret
        self._annotate(facts, codes)
        if codes & END_CODES and facts.key_id and not facts.is_end_recorded:
            self._record_end(facts.key_id)
        if probing and not codes and (attempt := request_state.attempt()):
            attempt.discarded = True  # not a call of the external system
        return codes

    def _record_end(self, key_id):
        """Record the end of a key before its caller learns of it.

        From then on, no change of the native row revives the key.
        """
        try:
            self.env["auth.integration.key"]._record_end_apart(key_id)
        except Exception:
            if (suppressed := _unrecorded.admit()) is not None:
                _logger.exception(
                    "Could not write down the end of an API key (%s more not shown)", suppressed
                )

    def _may_probe(self):
        request = caller.current_request()
        return request is not None and probe.may_pass(request.httprequest.path)

    def _denial_causes(self, secret):
        """Return why a presented key would be refused now, without authenticating anybody.

        :return: a set of causes, empty for a valid key; None if no such key is known
        :rtype: set[str] | None
        """
        identity = self._identify(secret)
        facts = identity and self._live_facts(identity)
        if not facts:
            return None
        return self._refusal_codes(facts, "rpc", caller.current(), identity)

    def _annotate(self, facts, codes):
        attempt = request_state.attempt()
        if not attempt:
            return
        attempt.key_shaped = True
        attempt.key_id = facts.key_id
        attempt.key_user_id = facts.user_id
        if attempt.user_id is None:
            attempt.user_id, attempt.known_login = facts.user_id, facts.login
        if facts.user_id and facts.user_id != attempt.user_id:
            attempt.note("key_user_mismatch")
        else:
            attempt.attribute(facts.integration_id, "key")
        attempt.note(*codes)

    def _live_facts(self, identity):
        """Return the current facts of a key, in one query; None if the row is another key now.

        A live key without a record (made by plain SQL or restored from a backup) gets one.
        """
        facts = self._fetch_facts(identity)
        if facts is not None and facts.key_id is None:
            facts = self._import(identity) or facts._replace(state=None)
        if facts is not None and facts.lacks_native_rules:
            self._restrict_natively(facts)
        return facts

    def _restrict_natively(self, facts):
        """Make a key whose rules were set by SQL fail closed; our check decides about this call."""
        try:
            with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
                cr.execute("SET LOCAL lock_timeout = %s", [f"{RESTRICTING_LOCK_TIMEOUT_MS}ms"])
                keys = self.env(cr=cr, su=True)["auth.integration.key"]
                keys._import_missing()
                keys._write_native_scopes(SQL("n.user_id = %s", facts.user_id))
        except Exception:
            if (suppressed := _unrestricted.admit()) is not None:
                _logger.exception(
                    "Odoo alone would not hold an API key to its rules (%s more not shown)",
                    suppressed,
                )

    def _import(self, identity):
        """Create the record of a native key and return the key's facts.

        :return: None if that was impossible; the native row then decides about this call
        """
        try:
            return self.env["auth.integration.key"]._import_apart(
                identity.native_id, then=lambda env: self.with_env(env)._fetch_facts(identity)
            )
        except Exception:
            _logger.exception("Could not record an API key that was made elsewhere")
            return None

    def _fetch_facts(self, identity):
        query = _LIVE_FACTS if identity.native_id else _ENDED_FACTS
        rows = hook_queries.query(self.env, query, identity._asdict())
        if not rows:
            return None
        return live_facts(rows[0][0]) if identity.native_id else KeyFacts(*rows[0])

    # Creation and end --------------------------------------------------------------------------

    def _generate(self, scope, name, expiration_date):
        """Extend :meth:`res.users.apikeys._generate`: apply the policy and record the key."""
        if not self._auth_integration_applies():
            return super()._generate(scope, name, expiration_date)
        if isinstance(self.env.context.get("auth_integration_issuing"), IssuingContext):
            return super()._generate(scope, name, expiration_date)
        require_unlimited_key(self.env, keys_of=self.env.uid)
        keys = self.env["auth.integration.key"].sudo()
        keys._hold_calling_key([self.env.uid])
        if isinstance(name, str):
            name = remove_keys(name)
        dates = keys._allowed_dates(self.env.user, expiration_date)
        if dates.replace_by and not expiration_date:
            dates = self._within_core_limit(dates)
        secret = super()._generate(scope, name, dates.expires_at)
        # A key that should have rules must not be created without them.
        has_rules = self.env.user._integration()._has_rules_for_new_keys()
        with nullcontext() if has_rules else best_effort(self.env):
            keys._record_generated([(self.env.uid, secret, None, dates.replace_by, None)])
        return secret

    def _within_core_limit(self, dates):
        """Limit the dates of a policy to the longest duration that core allows the current user.

        Mirrors :meth:`res.users.apikeys._check_expiration_date`, which would refuse later dates.
        """
        if self.env.is_system():
            return dates
        days = max(group.api_key_duration for group in self.env.user.all_group_ids) or 1.0
        longest = fields.Datetime.now() + timedelta(days=days)
        return Dates(*(min(date, longest) for date in dates))

    def _generate_all(self, wanted):
        """Create several RPC keys whose ends are already set; the caller records them.

        Mirrors :meth:`res.users.apikeys._generate`, with one statement for all keys. If another
        module also overrides the creation of keys, its method is called for each.

        :param wanted: for each key its user, its description and its end
        :return: the secrets, in the same order
        """
        definers = [cls for cls in type(self).mro() if "_generate" in vars(cls)]
        if definers != [ResUsersApikeys, BaseApikeys]:
            natives = self.with_context(auth_integration_issuing=IssuingContext())
            return [
                natives.with_user(user).sudo()._generate(RPC, name, end)
                for user, name, end in wanted
            ]
        secrets = [binascii.hexlify(os.urandom(API_KEY_SIZE)).decode() for _ in wanted]
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO res_users_apikeys (scope, name, user_id, expiration_date, key, index)
                SELECT %s, * FROM unnest(
                    %s::varchar[], %s::integer[], %s::timestamp[], %s::varchar[], %s::varchar[])
                """,
                RPC,
                [name for _user, name, _end in wanted],
                [user.id for user, _name, _end in wanted],
                [end or None for _user, _name, end in wanted],
                _hash_all(secrets),
                [secret[:INDEX_SIZE] for secret in secrets],
            )
        )
        for user, _name, _end in wanted:
            _logger.info("%s generated: for '%s' (#%s)", self._description, user.login, user.id)
        return secrets

    def unlink(self):
        """Extend ``unlink``, which every deletion of a key through the ORM calls.

        It revokes the key, and the keys that were obtained with it. If no other key of the
        integration works, the overlap of the key that it had replaced is cancelled.
        """
        if not self._auth_integration_applies():
            return super().unlink()
        natives, revoked = self, self.env["auth.integration.key"].sudo()
        with best_effort(self.env):
            removed = revoked.search([("apikey_id", "in", self.ids), ("ended_at", "=", False)])
            others = (removed._lock_keys_to_revoke() - removed).filtered("is_live")
            natives |= others.apikey_id.with_env(self.env)
            revoked = revoked._record_removal(
                natives, "revoked", self.env._("Removed by %(user)s", user=self.env.user.name)
            )
            removed._notify_of_obtained(others)
        result = super(ResUsersApikeys, natives).unlink()
        if revoked:
            with best_effort(self.env):
                revoked._take_back_overlaps()
        return result

    @api.autovacuum
    def _gc_user_apikeys(self):
        """Extend :meth:`res.users.apikeys._gc_user_apikeys`: record ends before deletion."""
        if self._auth_integration_applies():
            with best_effort(self.env):
                self.env["auth.integration.key"].sudo()._reconcile()
        return super()._gc_user_apikeys()
