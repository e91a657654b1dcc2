import logging
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from odoo import api, models
from odoo.tools import SQL
from psycopg2 import OperationalError
from psycopg2.errors import DiskFull, OutOfMemory
from psycopg2.pool import PoolError

from ...tools import settings
from ...tools.integration import networks
from ...tools.throttle import counters_sql
from ...tools.throttle.counters import address_keys, counters_of, login_key
from ...tools.throttle.guess import Guess

_logger = logging.getLogger(__name__)

# A counter exists but is not available: others have locked it, or use all connections, for longer
# than a call may wait.
BUSY = (OperationalError, PoolError)
# Neither a counter nor anything else can be written.
OUT_OF_ORDER = (DiskFull, OutOfMemory)
# Maximum number of rows that one run of the autovacuum removes, and that a call removes in passing.
# A guess adds up to four rows. Calls remove more than guesses add, so that even in a flood the
# table does not grow for longer than a window.
BATCH = 2000
IN_PASSING = 100
# In the unit of the numbers of tries, which contain their time.
_LONGEST = 2 * counters_sql.PENDING_SECONDS * 1_000_000 * 1024


class AuthThrottle(models.AbstractModel):
    """Counters in the database of guesses of passwords and second factors.

    A separate transaction reserves a try before it is checked, and another one records the outcome.
    Therefore the limits are exact across all workers and servers of a database, and they outlast a
    restart. See :mod:`~odoo.addons.auth_integration.tools.throttle.counters_sql`.
    """

    _name = "auth.throttle"
    _description = "Limits on Guessing Passwords"

    def init(self):
        self.env.cr.execute(counters_sql.TABLE)

    def _register_hook(self):
        super()._register_hook()
        secret = self.env["ir.config_parameter"].sudo().get_param("database.secret") or ""
        self.env.registry.auth_integration_throttle_key = (
            f"auth_integration.throttle:{secret}".encode()
        )

    # Counting --------------------------------------------------------------------------------

    @api.model
    def _guess(self, login, address):
        """Return a guess of the password or second factor of a login, not reserved yet."""
        return Guess(
            counters_of(
                self.env.registry.auth_integration_throttle_key,
                login,
                address,
                settings.number(self.env, "throttle_failures"),
                self._exempt_networks(),
            )
        )

    @api.model
    def _exempt_networks(self):
        """Return the networks without a limit of their own; none if the setting is invalid."""
        name = "auth_integration.throttle_exempt_networks"
        try:
            return networks.parse_cached(self.env["ir.config_parameter"].sudo().get_param(name))
        except networks.NetworkError as error:
            _logger.warning("%s is ignored: %s", name, error)
            return ()

    @api.model
    def _window(self):
        return timedelta(minutes=settings.number(self.env, "throttle_minutes"))

    @api.model
    def _reserve(self, guess):
        """Reserve a try in all counters of a guess, or in none.

        :return: True if reserved; False to refuse; None while only pending tries prevent it
        """
        counters = guess.counters
        every = (counters.pair, *counters.wide)
        with self._counting() as cr:
            cr.execute(
                counters_sql.RESERVE,
                {
                    "keys": [counter.key for counter in every],
                    "maxima": [counter.maximum for counter in every],
                    **self._params(guess),
                },
                log_exceptions=False,
            )
            [(number, full, is_reserved, keys)] = cr.fetchall()
            if not is_reserved:
                cr.rollback()
                guess.keys = [bytes(key) for key in full or ()]
                return False if full else None
        guess.number, guess.keys = number, [bytes(key) for key in keys]
        return True

    @api.model
    def _fail(self, guess):
        """Count a reserved try as failed; only for its address if no password was checked.

        Tries that are refused without computing a hash can be very fast, with many logins.
        """
        if not guess.looked_at:
            addresses = {counter.key for counter in guess.counters.addresses}
            others = [key for key in guess.keys if key not in addresses]
            self._release(replace(guess, keys=others))
            guess.keys = [key for key in guess.keys if key in addresses]
        with self._counting() as cr:
            cr.execute(
                counters_sql.FAIL,
                {"maxima": guess.maxima, **self._reserved_params(guess)},
                log_exceptions=False,
            )

    @api.model
    def _release(self, guess, succeeded=False):
        """Release a reserved try, because it was right or its failure does not count."""
        params = {
            "succeeded": succeeded,
            "complete": guess.complete,
            "known": timedelta(days=counters_sql.KNOWN_DAYS),
            **self._reserved_params(guess),
        }
        with self._counting() as cr:
            cr.execute(counters_sql.RELEASE, params, log_exceptions=False)
            cr.execute(counters_sql.CLEAR, params, log_exceptions=False)

    @contextmanager
    def _counting(self):
        """Open an independent cursor with short waits for locks and none for the disk."""
        registry = self.env.registry
        with registry["auth.attempt"]._own_cursor(registry) as cr:
            cr.execute("SET LOCAL synchronous_commit = off")
            yield cr

    def _params(self, guess):
        return {
            "pair": guess.counters.pair.key,
            "login": guess.counters.login.key,
            "window": self._window(),
            "longest": _LONGEST,
        }

    def _reserved_params(self, guess):
        return {"keys": guess.keys, "number": guess.number, **self._params(guess)}

    @api.model
    def _is_full(self, pair):
        """Return SQL that tells whether a login may currently not be tried from an address.

        :param pair: key of their counter; None if there is none
        :return: SQL to put before a query, and SQL for a column of that query
        """
        if pair is None:
            return SQL(), SQL("FALSE")
        is_full = SQL(counters_sql.IS_FULL, pair=pair, window=self._window(), longest=_LONGEST)
        return SQL(counters_sql.DO_NOT_WAIT), is_full

    # Unlocking -------------------------------------------------------------------------------

    @api.model
    def _unlock(self, login, addresses=()):
        """Clear the failures of a login and those of some addresses."""
        secret = self.env.registry.auth_integration_throttle_key
        keys = {key for address in addresses for key in address_keys(secret, address)}
        own = login_key(secret, login)
        with self._counting() as cr:
            cr.execute(counters_sql.UNLOCK, {"keys": sorted({own, *keys}), "login": own})

    @api.model
    def _full_logins(self, logins):
        """Return those of some logins that are refused, at least from some addresses."""
        secret = self.env.registry.auth_integration_throttle_key
        by_key = {login_key(secret, login): login for login in logins if login}
        if not by_key:
            return set()
        self.env.cr.execute(
            counters_sql.FULL_LOGINS,
            {"logins": list(by_key), "window": self._window()},
        )
        return {by_key[bytes(key)] for (key,) in self.env.cr.fetchall() if bytes(key) in by_key}

    # Vacuum ----------------------------------------------------------------------------------

    @api.model
    def _expire(self, most):
        """Remove expired counters.

        :return: number of removed rows
        """
        with self._counting() as cr:
            cr.execute(counters_sql.EXPIRE, {"most": most}, log_exceptions=False)
            return cr.rowcount

    @api.autovacuum
    def _gc_throttle(self):
        """Remove the expired counters of quiet times; otherwise failed guesses remove them."""
        count = len(self.env.execute_query(SQL("SELECT FROM auth_throttle LIMIT 1"))) and (
            self._expire(BATCH)
        )
        return count, int(count == BATCH)
