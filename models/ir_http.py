import re

from odoo import models
from odoo.exceptions import AccessDenied
from odoo.http import SessionExpiredException, request
from werkzeug.exceptions import HTTPException

from ..tools.redaction import is_key_shaped

# Methods that look at no credential of an API caller.
_WITHOUT_CREDENTIAL = ("none", "public", "user")


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _authenticate_explicit(cls, auth, *args):
        """Extend :meth:`ir.http._authenticate_explicit`: every ``_auth_method_*`` that takes a
        credential is one attempt, and so is an API call on an ended session.

        Called once per request and again on each retry; later Odoo versions pass ``routing``.
        """
        authenticate = super()._authenticate_explicit
        if not getattr(request.env.registry, "auth_integration_ready", False):
            return authenticate(auth, *args)
        if auth in _WITHOUT_CREDENTIAL:
            return cls._authenticate_session(authenticate, auth, *args)
        with request.env["auth.attempt"]._open(auth_type=auth) as attempt:
            if auth == "bearer":
                cls._note_bearer_header(attempt)
            try:
                result = authenticate(auth, *args)
            except AccessDenied:
                if attempt.key_user_id:
                    attempt.note("session_mismatch")
                raise
            except HTTPException as error:
                # Not a refusal: a ready-made answer, such as a redirect.
                attempt.discarded = error.code is None
                raise
            attempt.user_id = attempt.user_id or request.env.uid
            return result

    @classmethod
    def _authenticate_session(cls, authenticate, auth, *args):
        had_session = request.session.uid is not None
        try:
            return authenticate(auth, *args)
        except SessionExpiredException:
            if had_session or request.httprequest.cookies.get("session_id"):
                cls._record_ended_session(auth)
            raise

    @classmethod
    def _record_ended_session(cls, auth):
        """Record an API call on a session that has ended; a browser page just asks to log in."""
        if request.dispatcher.routing_type != "jsonrpc":
            return
        attempts = request.env["auth.attempt"]
        attempt = attempts._new_attempt(auth_type=auth)
        attempt.channel = "session"
        attempt.outcome = "failure"
        attempt.note("session_expired")
        attempts._emit(attempt)

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
