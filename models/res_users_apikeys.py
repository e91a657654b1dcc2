import logging
from contextlib import contextmanager

from odoo import models
from odoo.addons.base.models.res_users import KEY_CRYPT_CONTEXT
from odoo.addons.base.models.res_users import ResUsersApikeys as BaseApikeys
from odoo.tools import SQL
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from ..tools import attempt as attempt_context
from ..tools import caller, calling_key
from ..tools.calling_key import CallingKey
from ..tools.identity_cache import IdentityCache
from ..tools.key_rules import KeyFacts, KeyIdentity, refusal_codes
from ..tools.redaction import is_key_shaped

_logger = logging.getLogger(__name__)

_identities = IdentityCache()


@contextmanager
def protected(cr):
    """Run SQL of ours in the caller's transaction so that an error of ours leaves it usable."""
    if cr._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE:
        # Nothing has happened in it yet: a rollback loses nothing and costs nothing.
        try:
            yield
        except Exception:
            cr.rollback()
            raise
    else:
        with cr.savepoint(flush=False):
            yield


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
        it may be used is asked of the database on every call.  When our code fails before it has
        decided, core decides alone: every end is also written to the native row.

        :return: the user's id, or None
        """
        if not self._auth_integration_applies():
            return super()._check_credentials(scope=scope, key=key)
        try:
            decided, uid = self._decide_fast(scope, key)
        except Exception:
            _logger.exception("Fast verification of an API key failed; core decides alone")
            decided = False
        if decided:
            return uid
        uid = super()._check_credentials(scope=scope, key=key)
        try:
            return self._narrow(uid, scope, key)
        except Exception:
            _logger.exception("Verification of an API key failed; core has decided alone")
            return uid

    def _decide_fast(self, scope, secret):
        """Decide about a key this process has verified before, without hashing it again.

        :return: as :meth:`_decide`
        """
        identity = self._recall(secret)
        if identity is None:
            return False, None
        if not self._is_only_core_below():
            return False, None
        decided, uid = self._decide(identity, scope)
        if not decided:
            # Its native row is gone or holds another key now.
            _identities.forget(self.env.cr.dbname, IdentityCache.digest(secret))
        return decided, uid

    def _is_only_core_below(self):
        """Whether no other module overrides the verification below us; above us it runs anyway."""
        mro = type(self).mro()
        below = mro[mro.index(ResUsersApikeys) + 1 :] if ResUsersApikeys in mro else mro
        definers = [cls for cls in below if "_check_credentials" in vars(cls)]
        return definers == [BaseApikeys]

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
        """Find out which key a secret is, live or ended, whoever's it is.

        :rtype: KeyIdentity | None
        """
        if not is_key_shaped(secret):
            return None
        return self._identify_live(secret) or self._identify_ended(secret)

    def _identify_live(self, secret):
        for native_id, stored_hash in self._query(
            SQL("SELECT id, key FROM res_users_apikeys WHERE index = %s", secret[:8])
        ):
            if KEY_CRYPT_CONTEXT.verify(secret, stored_hash):
                _identities.remember(
                    self.env.cr.dbname, IdentityCache.digest(secret), native_id, stored_hash
                )
                return KeyIdentity(native_id=native_id, stored_hash=stored_hash)
        return None

    def _identify_ended(self, secret):
        digest = IdentityCache.digest(secret)
        for record_id, stored_hash, known_digest in self._query(
            SQL(
                "SELECT id, hash, digest FROM auth_integration_key"
                " WHERE prefix = %s ORDER BY digest = %s DESC NULLS LAST, id DESC",
                secret[:8],
                digest,
            )
        ):
            if known_digest == digest or (
                known_digest is None
                and stored_hash
                and KEY_CRYPT_CONTEXT.verify(secret, stored_hash)
            ):
                return KeyIdentity(record_id=record_id, stored_hash=stored_hash)
        return None

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
        codes = refusal_codes(facts, scope=scope, channel=who.channel, address=who.remote_addr)
        self._annotate(facts, codes)
        return codes

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

    def _narrow(self, uid, scope, secret):
        """Refuse what core accepted and our rules do not; say why core refused."""
        attempt = attempt_context.current()
        if attempt:
            attempt.key_shaped = is_key_shaped(secret)
        identity = self._identify(secret)
        if identity is None:
            attempt_context.note("key_unknown")
            return uid
        decided, allowed = self._decide(identity, scope)
        if not decided:
            attempt_context.note("key_unknown")
            return uid
        return uid if uid and uid == allowed else None

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
            attempt.attribution = attempt.attribution or "key"
        attempt.note(*codes)

    def _live_facts(self, identity):
        """The present facts of a recognised key, in one query; None when it is another key now.

        A live key that has no record of ours yet (made by plain SQL, a restored backup) gets one.
        """
        facts = self._fetch_facts(identity)
        if facts is not None and facts.key_id is None:
            with self.env.registry.cursor() as cr:
                keys = self.with_env(self.env(cr=cr, su=True))
                keys.env["auth.integration.key"]._reconcile()
                facts = keys._fetch_facts(identity)
        return facts

    def _fetch_facts(self, identity):
        if identity.native_id:
            source = SQL(
                """
                FROM res_users_apikeys n
                LEFT JOIN auth_integration_key k ON k.apikey_id = n.id AND k.hash = n.key
                JOIN res_users u ON u.id = n.user_id
                LEFT JOIN auth_integration i ON i.user_id = n.user_id
                WHERE n.id = %s AND n.key = %s
                ORDER BY k.id DESC LIMIT 1
                """,
                identity.native_id,
                identity.stored_hash,
            )
            native = SQL("n.scope, n.expiration_date <= (clock_timestamp() AT TIME ZONE 'UTC')")
            user_id, login = SQL("n.user_id"), SQL("u.login")
        else:
            source = SQL(
                """
                FROM auth_integration_key k
                LEFT JOIN res_users u ON u.id = k.user_id
                LEFT JOIN auth_integration i ON i.id = k.integration_id
                WHERE k.id = %s
                """,
                identity.record_id,
            )
            native = SQL("k.scope, FALSE")
            user_id, login = SQL("k.user_id"), SQL("k.login")
        rows = self._query(
            SQL(
                "SELECT %s, %s, u.active, %s, k.id, %s,"
                " i.id, i.active, i.allowed_networks, i.allowed_channels %s",
                user_id,
                login,
                native,
                self.env["auth.integration.key"]._state_sql("k"),
                source,
            )
        )
        return KeyFacts(*rows[0]) if rows else None

    def _query(self, query):
        """Run a query on the primary: a replica may not know yet that a key has ended."""
        if self.env.cr.readonly:
            with self.env.registry.cursor() as cr:
                cr.execute(query)
                return cr.fetchall()
        with protected(self.env.cr):
            self.env.cr.execute(query)
            return self.env.cr.fetchall()

    # Birth and end ---------------------------------------------------------------------------

    def _generate(self, scope, name, expiration_date):
        """Extend :meth:`res.users.apikeys._generate`: hold the end to policy, record the key."""
        if not self._auth_integration_applies():
            return super()._generate(scope, name, expiration_date)
        keys = self.env["auth.integration.key"].sudo()
        expiration_date = keys._allowed_end(self.env.user, expiration_date) or None
        secret = super()._generate(scope, name, expiration_date)
        keys._record_generated(self.env.user, secret)
        return secret

    def unlink(self):
        """Extend ``unlink``: every way of removing a key by ORM passes here."""
        if self._auth_integration_applies():
            self.env["auth.integration.key"]._record_removal(
                self, "revoked", self.env._("Removed by %(user)s", user=self.env.user.name)
            )
        return super().unlink()

    def _gc_user_apikeys(self):
        """Extend :meth:`res.users.apikeys._gc_user_apikeys`: write the ends down before the
        vacuum deletes the rows."""
        if self._auth_integration_applies():
            self.env["auth.integration.key"].sudo()._reconcile()
        return super()._gc_user_apikeys()
