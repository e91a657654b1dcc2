from odoo import http
from odoo.http import request
from werkzeug.exceptions import TooManyRequests, Unauthorized

from ..tools.attempt import caller
from ..tools.attempt.caller import bearer_token
from ..tools.attempt.flood_limits import RateLimit

_limit = RateLimit(per_minute=30)


class VerifyController(http.Controller):
    """Tell the holder of an API key its state, even if the key has ended."""

    # auth='public', because auth='bearer' would refuse ended keys, for which this route exists.
    @http.route(
        "/auth_integration/verify",
        type="http",
        auth="public",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def verify(self, **_ignored):
        """Answer with the state of the key in the ``Authorization: Bearer`` header.

        :return: 200 and JSON ``{valid, cause, state, prefix, integration, expires_at, reference}``
            for the correct secret of any key, live or ended
        :raise Unauthorized: no such key; the same answer as for an unknown key everywhere else
        :raise TooManyRequests: more than 30 requests from this address in a minute
        """
        if not _limit.admits(caller.current().remote_addr or ""):
            raise TooManyRequests("Too many requests. Please wait a minute.")
        header = request.httprequest.headers.get("Authorization")
        state = request.env["auth.integration.key"]._verify_presented(
            bearer_token(header), header_sent=bool(header)
        )
        if state is None:
            raise Unauthorized("Invalid apikey")
        return request.make_json_response(state)
