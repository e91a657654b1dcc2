import re
import traceback
from collections.abc import Mapping

from odoo import models
from odoo.exceptions import AccessDenied, UserError
from odoo.http import SessionExpiredException, request
from psycopg2.errors import ReadOnlySqlTransaction
from werkzeug.exceptions import HTTPException

from ..tools.attempt import attempt as attempt_context
from ..tools.attempt.redaction import is_key_shaped
from ..tools.attempt.tracebacks import strip_addon_frames, without_hooks
from ..tools.fallback import CoreDecision
from .attempt.auth_attempt_recorder import REFUSALS

# Methods that look at no credential of an API caller, but at most at the session of a browser.
_OF_SESSIONS = ("public", "user")
_CREDENTIAL_HEADER = re.compile(r"auth|api.?key|token|secret|signature", re.IGNORECASE)


def auth_method_name(auth):
    """The name of the ``_auth_method_*`` that a route is for.

    :param auth: the name, or the routing of which it is the ``auth``
    """
    return auth["auth"] if isinstance(auth, Mapping) else auth


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _authenticate_explicit(cls, auth, *args):
        """Extend :meth:`ir.http._authenticate_explicit`: every ``_auth_method_*`` that takes a
        credential is one attempt, and so is an API call on an ended session.

        Called once per request and again on each retry.

        :param auth: the name of the method; since 19.4 what is known of the route, a dictionary
        """
        core = CoreDecision(super()._authenticate_explicit, auth, *args)
        auth = auth_method_name(auth)
        if not getattr(request.env.registry, "auth_integration_ready", False):
            return core()
        if auth == "none":
            return core()
        if auth in _OF_SESSIONS:
            return core.with_our_part(cls._authenticate_session, auth)
        return core.with_our_part(cls._authenticate_in_attempt, auth)

    @classmethod
    def _handle_error(cls, exception):
        """Extend :meth:`ir.http._handle_error`: the answer to a refusal tells nothing of us."""
        core = CoreDecision(super()._handle_error, exception)
        return core.with_our_part(cls._answer_like_core, exception)

    @classmethod
    def _answer_like_core(cls, core, exception):
        if isinstance(exception, REFUSALS):
            strip_addon_frames(exception)
        else:
            without_hooks(exception)
        return core()

    @classmethod
    def _authenticate_in_attempt(cls, core, auth):
        with request.env["auth.attempt"]._open(auth_type=auth) as attempt:
            if auth == "bearer":
                cls._note_bearer_header(attempt)
            try:
                result = core()
            except AccessDenied as error:
                if isinstance(error.__context__, ReadOnlySqlTransaction):
                    # Core takes it for a refusal, and it asks for the primary.
                    raise error.__context__ from None
                if auth == "bearer" and attempt.key_user_id:
                    attempt.note("session_mismatch")
                cls._note_unexplained(attempt, error)
                raise
            except HTTPException as error:
                # Not a refusal: a ready-made answer, such as a redirect.
                attempt.discarded = error.code is None
                cls._note_unexplained(attempt, error)
                raise
            attempt.user_id = attempt.user_id or request.env.uid
            return result

    @classmethod
    def _authenticate_session(cls, core, auth):
        owner_id = request.session.uid
        try:
            return core()
        except SessionExpiredException:
            # A page just sends the browser to the login.
            if request.dispatcher.routing_type == "jsonrpc":
                cls._record_ended_session(auth, owner_id)
            raise

    @classmethod
    def _record_ended_session(cls, auth, owner_id):
        """Record an API call on a session that has ended, or without any.

        :param owner_id: whose session it was, if the server still knows
        """
        attempt = attempt_context.of_caller(request.db, auth_type=auth, channel="session")
        attempt.user_id = owner_id or None
        attempt.outcome = "failure"
        had_session = owner_id or request.httprequest.cookies.get("session_id")
        attempt.note("session_expired" if had_session else "authenticate_skipped")
        request.env["auth.attempt"]._emit(attempt)

    @classmethod
    def _note_unexplained(cls, attempt, error):
        """Find a cause for a refusal by an authentication method that we know nothing of."""
        if attempt.codes:
            return
        if attempt.accepted_key_of:
            attempt.note("provider_error")  # a module above ours has its own opinion
            return
        frame = traceback.extract_tb(error.__traceback__, limit=-1)[0]
        # Core makes an AccessDenied of whatever else was raised; many methods refuse that way.
        replaced = error.__context__ if frame.name == "_authenticate_explicit" else None
        if replaced and not isinstance(replaced, UserError):
            attempt.note("internal_error")
        elif any(
            value and _CREDENTIAL_HEADER.search(name)
            for name, value in request.httprequest.headers.items()
        ):
            attempt.note("key_unknown")
        else:
            attempt.note("header_missing")

    @classmethod
    def _note_bearer_header(cls, attempt):
        """Note what is wrong with the Authorization header, as core reads it."""
        header = request.httprequest.headers.get("Authorization")
        if not header:
            attempt.note("header_missing")
            # A browser on a route made for keys, with a session that is good: no API attempt.
            attempt.discarded = request.session.uid is not None
            return
        token = re.match(r"^bearer\s+(.+)$", header, re.IGNORECASE)
        if not token:
            attempt.note("header_malformed")
        else:
            attempt.key_shaped = is_key_shaped(token.group(1))
            if not attempt.key_shaped:
                attempt.note("header_malformed")
