from contextlib import nullcontext

from odoo import models
from odoo.exceptions import AccessDenied
from odoo.http import request
from odoo.tools.translate import get_translation

from ...tools import hook_queries
from ...tools.attempt.redaction import is_storable
from ...tools.throttle import guess as guesses
from ...tools.throttle.counters import login_text

_SECOND_FACTORS = ("totp", "totp_mail")
# If users of several websites share a login, all of them must be integration users.
_TAKES_KEYS_ONLY = """
    SELECT bool_and(i.id IS NOT NULL)
    FROM res_users u LEFT JOIN auth_integration i ON i.user_id = u.id
    WHERE u.login = %(login)s
"""


class ResUsers(models.Model):
    """Limit guesses of passwords and second factors, but not API keys, in the login hooks.

    Each ``_limit_*`` returns a context manager for ``tools.fallback.limited_by``; see
    :meth:`auth.throttle._guarded`.
    """

    _inherit = "res.users"

    def _limit_login(self, attempt, credential):
        """Limit guesses of a password."""
        login = login_text(credential.get("login"))
        if not login or not self._may_be_guess(attempt, credential, login):
            return nullcontext()
        return self.env["auth.throttle"]._guarded(
            login, credential["password"], refuse=self._refuse_like_core
        )

    def _limit_user_id(self, attempt, uid, secret):
        """Limit guesses of the password of a user id, like those of its login."""
        login = attempt.known_login or f"user id {uid}"
        credential = {"type": "password", "login": login, "password": secret}
        self._recognize_key(attempt, credential, interactive=False)
        return self._limit_login(attempt, credential)

    def _limit_check(self, attempt, user, credential, interactive):
        """Limit guesses not limited by a login yet: at identity checks and of second factors."""
        if guesses.current() is not None:
            if not interactive and attempt.key_shaped and user._rpc_api_keys_only():
                guesses.do_not_count()  # it is never compared with a password
            return nullcontext()
        login = user.sudo().login
        if credential.get("type") in _SECOND_FACTORS:
            return self._limit_code(login, credential.get("token"))
        return self._limit_login(attempt, {**credential, "login": login})

    def _limit_second_factor(self):
        """Limit guesses on the page that asks for a second factor."""
        return self._limit_code(
            self.sudo().login, request.params.get("totp_token") if request else None
        )

    def _limit_code(self, login, code):
        return self.env["auth.throttle"]._guarded(
            login, code, is_password=False, refuse=self._refuse_second_factor
        )

    def _may_be_guess(self, attempt, credential, login):
        """Return whether the credential is a password to be checked that may be a guess."""
        if attempt.secret_is_key or credential.get("type") != "password":
            return False
        if not credential.get("password"):
            return False
        if not attempt.key_shaped:
            return True
        if attempt.integration_user:
            return not attempt.integration_user[1]
        return not self._takes_keys_only(login)

    def _takes_keys_only(self, login):
        """Return whether a login is an integration user's, which has no password to guess."""
        if not is_storable(login):
            return False
        [(takes_keys_only,)] = hook_queries.query(self.env, _TAKES_KEYS_ONLY, {"login": login})
        return bool(takes_keys_only)

    def _note_second_factor(self, guess, interactive, auth_info):
        """Note whether a second factor follows, whose success makes the address known."""
        if guess and interactive and auth_info.get("mfa") != "skip":
            guess.complete = not self.sudo().browse(auth_info["uid"])._mfa_type()

    def _refuse_like_core(self, login):
        """Refuse like a wrong password in core, whose own cooldown comes first and counts it."""
        with self._assert_can_auth(user=login):
            raise AccessDenied

    def _refuse_second_factor(self, _login):
        """Refuse like a wrong code in core."""
        text = "Verification failed, please double-check the 6-digit code"
        raise AccessDenied(get_translation("auth_totp", self.env.lang or "en_US", text, ()))
