"""Acts that a web session may do only when the person before it has just shown who they are.

Core's :func:`check_identity` gates buttons, and refuses every call without a browser.  Most of our
methods are called over RPC too, where each call carries its credential, and by trusted code.
"""

import time
from functools import wraps

from odoo import SUPERUSER_ID
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import AccessError, UserError
from odoo.http import request

from ...tools.access import enforcement
from ...tools.key import authenticated_key

IDENTITY_SECONDS = 10 * 60  # as core's


class IdentityCheckRequired(UserError):
    """A change that a web session may make only after an identity check.

    ``static/src/js/fresh_identity.js`` asks for the check and then repeats the call.
    """


def fresh_identity(method):
    """Gate a public method: over a web session it asks for an identity check first.

    The call then returns the action of core's dialog, which repeats the call once it is confirmed;
    other code therefore calls the private worker of the method, never the method itself.
    """
    gated = check_identity(method)

    @wraps(gated)
    def wrapped(self, *args, **kwargs):
        if has_fresh_identity(self.env):
            return method(self, *args, **kwargs)
        return gated(self, *args, **kwargs)

    return wrapped


def require_fresh_identity(env):
    """Refuse what is about to be saved until the identity was checked.

    :raise IdentityCheckRequired: it is called over a web session that was not asked lately
    :raise AccessError: see :func:`require_unlimited_key`
    """
    require_unlimited_key(env)
    if not has_fresh_identity(env):
        raise IdentityCheckRequired(
            env._("Confirm your identity to save this change. Nothing was saved.")
        )


def require_unlimited_key(env, but_key=None, keys_of=None):
    """Keep a key that may do less than its user from getting more: by another key, or other rules.

    :param but_key: the id of a key that may do it nevertheless
    :param keys_of: the id of the user whose keys become more, or may do more
    :raise AccessError: such a key made this call
    """
    if enforcement.is_limited_call(env, but_key=but_key, keys_of=keys_of):
        raise AccessError(
            env._(
                "This API key is limited in what it can do. It cannot create keys or change rules."
            )
        )


def has_fresh_identity(env):
    """Whether the current call needs no identity check, or its session has just passed one."""
    if not _is_session_call(env):
        return True
    # What code does as superuser is its own decision, unless the session itself is superuser's.
    if env.su and request.session.uid != SUPERUSER_ID:
        return True
    return request.session.get("identity-check-last", 0) > time.time() - IDENTITY_SECONDS


def _is_session_call(env):
    """Whether the current user is known by a session's cookie only.

    RPC services and jobs have no request (``dispatch_rpc`` hides it); a bearer's key is noted.
    """
    if not request or not request.session.uid:
        return False
    caller = authenticated_key.current()
    return not caller or (caller.dbname, caller.uid) != (env.cr.dbname, env.uid)
