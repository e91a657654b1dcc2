import logging
import threading
import time
from contextlib import contextmanager

from odoo import SUPERUSER_ID, api, models
from odoo.addons.base.models import res_users as base_users
from odoo.exceptions import AccessDenied

from ...tools import hook_queries
from ...tools.attempt import caller, request_state
from ...tools.attempt.flood_limits import LogLimit
from ...tools.throttle import dummy_hash
from ...tools.throttle import guess as guesses
from .auth_throttle import BUSY, IN_PASSING, OUT_OF_ORDER

_logger = logging.getLogger(__name__)
_missing = LogLimit(per_minute=1)
_notices = LogLimit(per_minute=1)

# Seconds to wait for the outcome of other tries: with many correct logins at once, the last ones
# wait until the first ones have been hashed.
PATIENCE = 20.0
# Seconds between two checks, at first and later: waiting must not take processor time from hashing.
PAUSE, MAX_PAUSE = 0.03, 0.25
# Some expired counters are removed after this many failures in a process.
EXPIRE_EVERY = 16
# Maximum number of tries to record an outcome. Until that succeeds, the try stays pending.
WRITE_TRIES = 3

# Rounds of the hash with which a password was compared; 0 if the user has no such hash.
_STORED_ROUNDS = """
    SELECT CASE WHEN starts_with(password, '$pbkdf2-sha512$')
                THEN split_part(password, '$', 3)::integer ELSE 0 END
    FROM res_users WHERE id = %(user)s
"""


class _Passing:
    """Count the failures in this process, and tell at every ``EXPIRE_EVERY``-th one."""

    def __init__(self):
        self._lock, self._count = threading.Lock(), 0

    def is_due(self):
        with self._lock:
            self._count += 1
            return self._count % EXPIRE_EVERY == 0


_passing = _Passing()


def _refuse(_login):
    raise AccessDenied


class AuthThrottle(models.AbstractModel):
    """Limit guesses for the login hooks."""

    _inherit = "auth.throttle"

    @contextmanager
    def _guarded(self, login, secret, is_password=True, refuse=_refuse):
        """Let the block check a password or second factor, if the limits allow another guess.

        Nothing is limited inside another such block or outside an HTTP request.  If this add-on
        fails, core decides alone; if a counter stays busy, the guess is refused.

        :param login: the login as sent
        :param secret: what is checked; used to recognize a retried request and to spend time
        :param is_password: whether core compares it with a slow hash
        :param refuse: called with the login to refuse the guess; it raises ``AccessDenied``
        :return: the guess, or None if it is not limited
        """
        guess = self._admit(login, secret, refuse)
        if guess is None:
            yield None
            return
        try:
            with guesses.being_checked(guess):
                yield guess
        except AccessDenied:
            if not guess.counts:
                self._decide(self._release, guess)
                raise
            if is_password:
                self._decide(self._spend_time, guess, secret)
            self._decide(self._count_failure, guess, login, secret)
            raise
        except BaseException:
            self._decide(self._release, guess)
            raise
        self._decide(self._release, guess, True)

    def _admit(self, login, secret, refuse):
        """Reserve a try.

        :return: a guess, or None if it is not limited
        :raise AccessDenied: over the limit
        """
        if guesses.current() is not None:
            return None
        try:
            who = caller.current()
            if not who.is_http or _identity(login, secret) in _counted_in_request():
                return None
            guess = self._guess(login, who.remote_addr)
            admitted = self._reserve_patiently(guess)
        except Exception as error:
            if not _is_busy(error):
                self._log_missing()
                return None
            _logger.info("A counter of guesses is busy: %s", type(error).__name__)
            admitted, guess = False, None
        if admitted:
            return guess
        request_state.note("throttled")
        if guess and guess.counters.login.key in guess.keys:
            self._trigger_notice()
        refuse(login)
        raise AccessDenied  # in case ``refuse`` did not raise

    def _reserve_patiently(self, guess):
        deadline, pause = time.monotonic() + PATIENCE, PAUSE
        while (admitted := self._reserve(guess)) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(1.5 * pause, MAX_PAUSE)
        return admitted

    @staticmethod
    def _log_missing():
        if _missing.admit() is not None:
            _logger.exception("Guesses of passwords are not limited: core decides alone")

    @staticmethod
    def _decide(method, *arguments):
        """Record the outcome of a try; a failure to do so changes nothing for the caller."""
        for _turn in range(WRITE_TRIES):
            try:
                return method(*arguments)
            except Exception as error:
                if not _is_busy(error):
                    return AuthThrottle._log_missing()
                _logger.info("A counter of guesses is busy: %s", type(error).__name__)
        return None

    def _count_failure(self, guess, login, secret):
        self._fail(guess)
        _counted_in_request().add(_identity(login, secret))
        if _passing.is_due():
            self._expire(IN_PASSING)

    def _spend_time(self, guess, secret):
        """Spend the rest of the time that a wrong password takes, so that timing tells nothing.

        Less time was spent so far for a login that does not exist, for a user who has no password
        or may not use one, and for a user whose hash has fewer rounds.
        """
        wanted, stored = self._password_rounds(), 0
        if guess.user_id:
            rows = hook_queries.query(self.env, _STORED_ROUNDS, {"user": guess.user_id})
            stored = rows[0][0] or 0 if rows else 0
        if stored < wanted and not dummy_hash.spend(secret, wanted - stored):
            guess.looked_at = False
            attempt = request_state.attempt()
            if attempt and not attempt.codes:
                attempt.note("throttled")

    def _password_rounds(self):
        """Return the hash rounds of a new password; mirrors :meth:`res.users._crypt_context`."""
        rounds = self.env["ir.config_parameter"].sudo().get_param("password.hashing.rounds", 0)
        return max(base_users.MIN_ROUNDS, int(rounds))

    def _trigger_notice(self):
        """Trigger the job that notifies users of attacked logins; see :meth:`_notify_users`."""
        if _notices.admit() is None:
            return
        try:
            with self.env.registry.cursor() as cr:
                env = api.Environment(cr, SUPERUSER_ID, {})
                env.ref("auth_integration.ir_cron_throttle_notice")._trigger()
        except Exception:
            _logger.exception("The users of attacked logins are notified later")


def _is_busy(error):
    return isinstance(error, BUSY) and not isinstance(error, OUT_OF_ORDER)


def _identity(login, secret):
    return hash((login, str(secret)))


def _counted_in_request():
    """Return the guesses that this request has counted; :func:`retrying` may run it again."""
    request = caller.current_request()
    if request is None:
        return set()
    return request.__dict__.setdefault("_auth_integration_guesses", set())
