import binascii
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict

from odoo import models
from odoo.addons.base.models.res_users import API_KEY_SIZE, INDEX_SIZE, KEY_CRYPT_CONTEXT
from odoo.addons.base.models.res_users import ResUsersApikeys as BaseApikeys
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL
from passlib.utils import MAX_PASSWORD_SIZE

from ..tools import attempt as attempt_context
from ..tools import caller, calling_key, hook_queries, key_in_use, probe
from ..tools.calling_key import CallingKey
from ..tools.core_decision import CoreDecision
from ..tools.identity_cache import IdentityCache
from ..tools.key_rules import KeyFacts, KeyIdentity, refusal_codes
from ..tools.redaction import is_key_shaped, is_storable
from .auth_integration_key import JOINED_STATE_SQL, STATE_SQL

_logger = logging.getLogger(__name__)

_identities = IdentityCache()

# Milliseconds that the first call with a key we do not know may wait for another one like it.
ADOPTION_LOCK_TIMEOUT_MS = 5000

# The facts of :class:`KeyFacts`, asked on every call.
_LIVE_FACTS = f"""
    SELECT native.user_id, u.login, u.active, native.scope,
           native.expiration_date < (clock_timestamp() AT TIME ZONE 'UTC'),
           k.id, {JOINED_STATE_SQL.format(k="k")},
           i.id, i.active, i.allowed_networks, i.allowed_channels
    FROM res_users_apikeys native
    JOIN res_users u ON u.id = native.user_id
    LEFT JOIN auth_integration_key k ON k.apikey_id = native.id AND k.hash = native.key
    LEFT JOIN auth_integration i ON i.user_id = native.user_id
    WHERE native.id = %(native_id)s AND native.key = %(stored_hash)s
    ORDER BY k.id DESC LIMIT 1
"""
_ENDED_FACTS = f"""
    SELECT k.user_id, k.login, u.active, k.scope, FALSE,
           k.id, {STATE_SQL.format(k="k")},
           i.id, i.active, i.allowed_networks, i.allowed_channels
    FROM auth_integration_key k
    LEFT JOIN res_users u ON u.id = k.user_id
    LEFT JOIN auth_integration i ON i.id = k.integration_id
    WHERE k.id = %(record_id)s
"""

# What a secret is verified against: native keys, and what we know of all that ever were.
_CANDIDATES = """
    SELECT id, NULL, key, NULL FROM res_users_apikeys WHERE index = %(prefix)s
    UNION ALL
    SELECT NULL, id, hash, digest FROM auth_integration_key
    WHERE prefix = %(prefix)s AND hash IS NOT NULL
"""


@contextmanager
def recording(env):
    """Write down what happens to a native key or a password; a failure of ours does not keep it
    from happening.

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
    """Hash new keys as core does, on all processors: hashing leaves the interpreter to others."""
    if len(secrets) == 1:
        return [KEY_CRYPT_CONTEXT.hash(secrets[0])]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(KEY_CRYPT_CONTEXT.hash, secrets))


class Issuing:
    """Says to :meth:`ResUsersApikeys._generate` that the end is settled and the key recorded.

    An object in the context, which no caller over RPC can send.
    """


class ResUsersApikeys(models.Model):
    _inherit = "res.users.apikeys"

    # Trusted 2FA devices (``auth_totp.device``) inherit this model by prototype, and so these
    # methods: each of them first asks whether it is really about API keys.

    def _auth_integration_applies(self):
        return self._name == "res.users.apikeys" and getattr(
            self.env.registry, "auth_integration_ready", False
        )

    # Verification ----------------------------------------------------------------------------

    def _check_credentials(self, *, scope, key):
        """Narrow :meth:`res.users.apikeys._check_credentials`: fast, and up to date.

        A key that was fully verified once in this process is recognised by its SHA-256; whether
        it may be used is asked of the database on every call.  When another module verifies keys
        too, it is called as ever and we only narrow what it accepts.  When our code fails before
        it has decided, core decides alone: every end is also written to the native row.

        :return: the user's id, or None
        """
        below = CoreDecision(super()._check_credentials, scope=scope, key=key)
        if not self._auth_integration_applies() or not (scope and key):
            return below()
        return below.with_our_part(self._check_and_note, scope, key)

    def _check_and_note(self, below, scope, key):
        uid = below.with_our_part(self._check_narrowed, scope, key)
        if attempt := attempt_context.current():
            attempt.accepted_key_of = uid
        return uid

    def _check_narrowed(self, below, scope, key):
        """Decide alone where only core is below us, else narrow what is decided there.

        :param below: the verification below us
        :type below: CoreDecision
        """
        if self._is_only_core_below():
            return self._decide_secret(scope, key)
        uid = below()
        allowed = self._decide_secret(scope, key)
        # A credential that only the other module knows is the other module's business.
        if allowed == uid or not self._is_known(key):
            return uid
        if allowed:
            attempt_context.note("provider_error")
        return None

    def _is_only_core_below(self):
        """Whether no other module overrides the verification below us; above us it runs anyway."""
        mro = type(self).mro()
        below = mro[mro.index(ResUsersApikeys) + 1 :]
        definers = [cls for cls in below if "_check_credentials" in vars(cls)]
        return definers == [BaseApikeys]

    def _decide_secret(self, scope, secret):
        """Identify a secret and decide about it.

        :return: the user's id, or None
        """
        if attempt := attempt_context.current():
            attempt.key_shaped = is_key_shaped(secret)
        identity = self._recall(secret)
        if identity:
            decided, uid = self._decide(identity, scope)
            if decided:
                return uid
            # Its native row is gone or holds another key now.
            _identities.forget(self.env.cr.dbname, IdentityCache.digest(secret))
        # Looked for a moment ago, before it was tried as a password: no need to look again.
        identity = None if key_in_use.verdict(secret) is False else self._identify(secret)
        if identity:
            decided, uid = self._decide(identity, scope)
            if decided:
                return uid
        attempt_context.note("key_unknown")
        return None

    def _recall(self, secret):
        """The identity of a key this process has fully verified before, or None."""
        if not is_key_shaped(secret):
            return None
        known = _identities.recall(self.env.cr.dbname, IdentityCache.digest(secret))
        return known and KeyIdentity(native_id=known[0], stored_hash=known[1])

    def _is_known(self, secret):
        """Whether a secret is an API key, live or ended, whoever's it is."""
        return bool(self._recall(secret) or self._identify(secret))

    def _identify(self, secret):
        """Verify a secret against every key of its prefix, live ones first, then the ended.

        Mirrors how :meth:`res.users.apikeys._check_credentials` verifies, but for the conditions
        that change with time; they are asked of the present facts.

        :rtype: KeyIdentity | None
        """
        if not is_storable(secret) or len(secret) > MAX_PASSWORD_SIZE:
            return None  # PostgreSQL or the hash takes no such text
        digest = IdentityCache.digest(secret) if is_key_shaped(secret) else None
        candidates = hook_queries.query(
            self.env, _CANDIDATES, {"prefix": secret[:INDEX_SIZE]}
        )
        # A live row and its record share their hash, which is then verified once.
        seen = set()
        for native_id, record_id, stored_hash, known_digest in sorted(
            candidates, key=lambda row: (row[0] is None, -(row[0] or row[1]))
        ):
            if stored_hash in seen:
                continue
            seen.add(stored_hash)
            if (digest and known_digest == digest) or KEY_CRYPT_CONTEXT.verify(
                secret, stored_hash
            ):
                if native_id and digest:
                    _identities.remember(self.env.cr.dbname, digest, native_id, stored_hash)
                    self._note_learned(digest, candidates)
                return KeyIdentity(native_id, record_id, stored_hash)
        return None

    @staticmethod
    def _note_learned(digest, candidates):
        """Have the SHA-256 of a key that was made elsewhere written to its record, with its use."""
        attempt = attempt_context.current()
        if attempt and all(known_digest != digest for *_facts, known_digest in candidates):
            attempt.learned_digest = digest

    def _decide(self, identity, scope):
        """Decide about a recognised key by its present facts.

        :return: whether it could be decided, and the user's id or None
        :rtype: tuple[bool, int | None]
        """
        facts = self._live_facts(identity)
        if facts is None:
            return False, None
        who = caller.current()
        if self._refusal_codes(facts, scope, who):
            return True, None
        if facts.key_id:
            calling_key.remember(
                CallingKey(
                    dbname=self.env.cr.dbname,
                    uid=facts.user_id,
                    key_id=facts.key_id,
                    channel=who.channel,
                    remote_addr=who.remote_addr,
                )
            )
        return True, facts.user_id

    def _refusal_codes(self, facts, scope, who):
        probing = facts.scope == probe.SCOPE and self._may_probe()
        if probing:
            # It proves the way to Odoo, from Odoo's own address: no rule on callers is meant.
            facts = facts._replace(scope=None, allowed_networks=None, allowed_channels=None)
        codes = refusal_codes(facts, scope=scope, channel=who.channel, address=who.remote_addr)
        self._annotate(facts, codes)
        if probing and not codes and (attempt := attempt_context.current()):
            attempt.discarded = True  # no call of the integration's own
        return codes

    def _may_probe(self):
        request = caller.current_request()
        return request is not None and probe.may_pass(request.httprequest.path)

    def _codes_of_presented(self, secret):
        """Why a presented key would be refused now, without letting anybody in.

        :return: a set of causes, empty for a good key; None when it is no key we know
        :rtype: set[str] | None
        """
        identity = self._identify(secret)
        facts = identity and self._live_facts(identity)
        if not facts:
            return None
        return self._refusal_codes(facts, "rpc", caller.current())

    def _annotate(self, facts, codes):
        attempt = attempt_context.current()
        if not attempt:
            return
        attempt.key_shaped = True
        attempt.key_id = facts.key_id
        attempt.key_user_id = facts.user_id
        if attempt.user_id is None:
            attempt.user_id, attempt.known_login = facts.user_id, facts.login
        if facts.user_id and facts.user_id != attempt.user_id:
            attempt.note("key_user_mismatch")
        elif facts.integration_id:
            attempt.integration_id = facts.integration_id
            attempt.attribution = "key"
        attempt.note(*codes)

    def _live_facts(self, identity):
        """The present facts of a recognised key, in one query; None when it is another key now.

        A live key that has no record of ours yet (made by plain SQL, a restored backup) gets one.
        """
        facts = self._fetch_facts(identity)
        if facts is not None and facts.key_id is None:
            return self._adopt(identity) or facts._replace(state=None)
        return facts

    def _adopt(self, identity):
        """Give every key its record and return the facts of this one.

        :return: None when that was impossible; the native row then decides about this call
        """
        try:
            return self.env["auth.integration.key"]._reconcile_apart(
                ADOPTION_LOCK_TIMEOUT_MS,
                then=lambda env: self.with_env(env)._fetch_facts(identity),
            )
        except Exception:
            _logger.exception("Could not record an API key that was made elsewhere")
            return None

    def _fetch_facts(self, identity):
        query = _LIVE_FACTS if identity.native_id else _ENDED_FACTS
        rows = hook_queries.query(self.env, query, asdict(identity))
        return KeyFacts(*rows[0]) if rows else None

    # Birth and end ---------------------------------------------------------------------------

    def _generate(self, scope, name, expiration_date):
        """Extend :meth:`res.users.apikeys._generate`: hold the end to policy, record the key."""
        if not self._auth_integration_applies():
            return super()._generate(scope, name, expiration_date)
        if isinstance(self.env.context.get("auth_integration_issuing"), Issuing):
            return super()._generate(scope, name, expiration_date)
        keys = self.env["auth.integration.key"].sudo()
        expiration_date = keys._allowed_end(self.env.user, expiration_date) or None
        secret = super()._generate(scope, name, expiration_date)
        with recording(self.env):
            keys._record_generated([(self.env.uid, secret, None)])
        return secret

    def _generate_all(self, wanted):
        """Make several global keys whose ends are settled; the caller records them.

        Mirrors :meth:`res.users.apikeys._generate`, with one statement for all. When another
        module makes keys too, it is called for each.

        :param wanted: of each its user, its description and its end
        :return: the secrets, in the same order
        """
        definers = [cls for cls in type(self).mro() if "_generate" in vars(cls)]
        if definers != [ResUsersApikeys, BaseApikeys]:
            natives = self.with_context(auth_integration_issuing=Issuing())
            return [
                natives.with_user(user).sudo()._generate(None, name, end)
                for user, name, end in wanted
            ]
        secrets = [binascii.hexlify(os.urandom(API_KEY_SIZE)).decode() for _ in wanted]
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO res_users_apikeys (name, user_id, expiration_date, key, index)
                SELECT * FROM unnest(
                    %s::varchar[], %s::integer[], %s::timestamp[], %s::varchar[], %s::varchar[])
                """,
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
        """Extend ``unlink``: every way of removing a key by ORM passes here."""
        if self._auth_integration_applies():
            with recording(self.env):
                self.env["auth.integration.key"]._record_removal(
                    self, "revoked", self.env._("Removed by %(user)s", user=self.env.user.name)
                )
        return super().unlink()

    def _gc_user_apikeys(self):
        """Extend :meth:`res.users.apikeys._gc_user_apikeys`: write the ends down before the
        vacuum deletes the rows."""
        if self._auth_integration_applies():
            with recording(self.env):
                self.env["auth.integration.key"].sudo()._reconcile()
        return super()._gc_user_apikeys()
