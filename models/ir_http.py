import re
from collections.abc import Mapping

from odoo import models
from odoo.exceptions import AccessDenied, UserError
from odoo.http import SessionExpiredException, request
from psycopg2.errors import ReadOnlySqlTransaction
from werkzeug.exceptions import HTTPException

from ..tools.access import enforcement, operations
from ..tools.attempt import caller, request_state
from ..tools.attempt.redaction import is_key_shaped
from ..tools.attempt.tracebacks import strip_addon_frames, without_hooks
from ..tools.fallback import observed_by, observing
from .attempt.auth_attempt_recorder import REFUSALS

# Authentication methods that check no API credential, but at most the session of a browser.
_OF_SESSIONS = ("public", "user")
_CREDENTIAL_HEADER = re.compile(r"auth|api.?key|token|secret|signature", re.IGNORECASE)


def auth_method_name(auth):
    """Return the name of the ``_auth_method_*`` of a route.

    :param auth: the name, or the routing dictionary that has it under ``auth``
    """
    return auth["auth"] if isinstance(auth, Mapping) else auth


class IrHttp(models.AbstractModel):
    """Record calls over HTTP routes as attempts.

    A bearer key itself is verified by :meth:`res.users.apikeys._check_credentials`.
    """

    _inherit = "ir.http"

    @classmethod
    def _authenticate_explicit(cls, auth, *args):
        """Extend :meth:`ir.http._authenticate_explicit` to record attempts.

        Every ``_auth_method_*`` that takes a credential is one attempt, and so is an API call on an
        ended session. This is called once per request and again on each retry.

        :param auth: the name of the method; since 19.4 a dictionary about the route
        """
        name = auth_method_name(auth)
        if name == "none" or not getattr(request.env.registry, "auth_integration_ready", False):
            return super()._authenticate_explicit(auth, *args)
        if name in _OF_SESSIONS:
            owner_id = request.session.uid
            try:
                return super()._authenticate_explicit(auth, *args)
            except SessionExpiredException:
                with observing():
                    cls._record_ended_session(name, owner_id)
                raise
        with observed_by(request.env["auth.attempt"]._open, auth_type=name) as attempt:
            with observing():
                cls._note_bearer_header(attempt)
            try:
                with request_state.holding_to_access():
                    result = super()._authenticate_explicit(auth, *args)
            except (AccessDenied, HTTPException) as error:
                replaced = error.__context__
                if isinstance(error, AccessDenied) and isinstance(replaced, ReadOnlySqlTransaction):
                    # Core has turned a request for the primary database into a refusal.
                    raise replaced from None
                with observing():
                    cls._note_refusal(attempt, error)
                raise
            attempt.user_id = attempt.user_id or request.env.uid
        request_state.note_route()
        if request_state.current().operation is not None:
            with observing():
                operations.watch()
        if request_state.is_limited():
            with enforcement.failing_closed():
                enforcement.hold(request.env)
        return result

    @classmethod
    def _match(cls, path_info):
        """Extend :meth:`ir.http._match`: remember the route, to check whether the key may call it.

        Only the first match and the request's own path count: pages that are rendered in several
        languages also match the routes of their links.
        """
        rule, args = super()._match(path_info)
        state = request_state.current()
        if state.route is None or path_info == request.httprequest.path:
            state.route = rule.rule
            state.is_reading_route = rule.endpoint.routing.get("readonly") is True
        return rule, args

    @classmethod
    def _handle_error(cls, exception):
        """Extend :meth:`ir.http._handle_error`: hide our hooks in tracebacks sent to callers."""
        with observing():
            if isinstance(exception, REFUSALS):
                strip_addon_frames(exception)
            else:
                without_hooks(exception)
        return super()._handle_error(exception)

    @classmethod
    def _record_ended_session(cls, auth, owner_id):
        """Record an API call on a session that has ended, or without any session.

        :param owner_id: the user of the session, if the server still knows
        """
        if request.dispatcher.routing_type != "jsonrpc":
            return  # a page, which only redirects the browser to the login
        attempt = caller.new_attempt(request.db, auth_type=auth, channel="session")
        attempt.user_id = owner_id or None
        attempt.outcome = "failure"
        had_session = owner_id or request.httprequest.cookies.get("session_id")
        attempt.note("session_expired" if had_session else "authenticate_skipped")
        request.env["auth.attempt"]._emit(attempt)

    @classmethod
    def _note_refusal(cls, attempt, error):
        """Note why an authentication method refused, even one unknown to this add-on."""
        if isinstance(error, HTTPException):
            # A ready-made response, such as a redirect, is not a refusal.
            attempt.discarded = error.code is None
        elif attempt.auth_type == "bearer" and attempt.key_user_id:
            attempt.note("session_mismatch")
        if attempt.codes:
            return
        if attempt.accepted_key_of:
            attempt.note("provider_error")  # refused by another module after our check
        elif cls._is_replaced(error):
            attempt.note("internal_error")
        elif any(
            value and _CREDENTIAL_HEADER.search(name)
            for name, value in request.httprequest.headers.items()
        ):
            attempt.note("key_unknown")
        else:
            attempt.note("header_missing")

    @classmethod
    def _is_replaced(cls, error):
        """Return whether core has replaced another error with this refusal.

        Many methods also refuse by a ``UserError``, which core turns into an AccessDenied. An
        AccessDenied that a method raises itself has a text or a cause.
        """
        replaced = error.__context__
        return (
            type(error) is AccessDenied
            and error.args == AccessDenied().args
            and replaced is not None
            and not isinstance(replaced, (UserError, HTTPException, SessionExpiredException))
        )

    @classmethod
    def _note_bearer_header(cls, attempt):
        """Note what is wrong with the Authorization header, as core reads it."""
        if attempt.auth_type != "bearer":
            return
        header = request.httprequest.headers.get("Authorization")
        if not header:
            attempt.note("header_missing")
            # A browser with a valid session on a route made for keys is no API attempt.
            attempt.discarded = request.session.uid is not None
            return
        attempt.key_shaped = is_key_shaped(caller.bearer_token(header))
        if not attempt.key_shaped:
            attempt.note("header_malformed")
