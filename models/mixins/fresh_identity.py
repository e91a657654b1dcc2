"""Actions that a web session may perform only after a recent identity check.

Core's :func:`check_identity` is made for buttons and refuses every call without a browser. Most of
our methods are also called over RPC, where each call carries its credential, and by trusted code.
"""

import time
from functools import wraps

from odoo import SUPERUSER_ID
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import AccessError, UserError
from odoo.http import request

from ...tools.access import enforcement
from ...tools.key import authenticated_key

IDENTITY_SECONDS = 10 * 60  # as in core


class IdentityCheckRequired(UserError):
    """A change that a web session may make only after an identity check.

    ``static/src/js/fresh_identity.js`` asks for the check and then repeats the call.
    """


def fresh_identity(method):
    """Decorate a public method: in a web session it requires a recent identity check.

    Without one, the call returns the action of core's dialog, which repeats the call after the
    confirmation. Other code must therefore call the private method behind it.
    """
    gated = check_identity(method)

    @wraps(gated)
    def wrapped(self, *args, **kwargs):
        if has_fresh_identity(self.env):
            return method(self, *args, **kwargs)
        return gated(self, *args, **kwargs)

    return wrapped


def require_fresh_identity(env):
    """Refuse a change until the identity was checked.

    :raise IdentityCheckRequired: the web session has had no recent identity check
    :raise AccessError: see :func:`require_unlimited_key`
    """
    require_unlimited_key(env)
    if not has_fresh_identity(env):
        raise IdentityCheckRequired(
            env._("Confirm your identity to save this change. Nothing was saved.")
        )


def require_unlimited_key(env, but_key=None, keys_of=None):
    """Prevent a call with a limited key from creating keys or changing rules to gain more access.

    :param but_key: the id of a key that may do it nevertheless
    :param keys_of: the id of the user who gets more keys, or whose keys may do more
    :raise AccessError: the call was made with a key that may do less than its user
    """
    if enforcement.is_limited_call(env, but_key=but_key, keys_of=keys_of):
        raise AccessError(
            env._(
                "This API key is limited in what it can do. It cannot create keys or change rules."
            )
        )


def has_fresh_identity(env):
    """Return whether the current call needs no identity check, or its session has a recent one."""
    if not _is_session_call(env):
        return True
    # Superuser code decides for itself, unless the session itself is that of the superuser.
    if env.su and request.session.uid != SUPERUSER_ID:
        return True
    return request.session.get("identity-check-last", 0) > time.time() - IDENTITY_SECONDS


def _is_session_call(env):
    """Return whether only the cookie of a session identifies the current user.

    RPC services and jobs have no request (``dispatch_rpc`` hides it); bearer keys are noted in
    :mod:`authenticated_key`.
    """
    if not request or not request.session.uid:
        return False
    caller = authenticated_key.current()
    return not caller or (caller.dbname, caller.uid) != (env.cr.dbname, env.uid)
