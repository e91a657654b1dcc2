import re

from odoo import http
from odoo.http import request


class ChallengeController(http.Controller):
    """Prove to a running diagnosis that its URL leads to this database."""

    @http.route(
        "/auth_integration/challenge", type="http", auth="public", readonly=True,
        save_session=False,
    )
    def challenge(self, nonce="", **_ignored):
        """Respond to a nonce that a diagnosis running in this database has created.

        :raise NotFound: no diagnosis is waiting for this nonce
        """
        diagnoses = request.env["auth.integration.diagnosis"].sudo()
        if not re.fullmatch(r"[0-9a-f]{32}", nonce) or not diagnoses._is_pending_nonce(nonce):
            raise request.not_found()
        return request.make_json_response({"proof": diagnoses._challenge_response(nonce)})
