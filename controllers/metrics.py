from odoo import http
from odoo.http import request

from ..tools.attempt.caller import bearer_token
from ..tools.monitoring import openmetrics


class MetricsController(http.Controller):
    """Serve metrics to Prometheus, protected by a token."""

    # Read from the primary: on a replica that lags behind, a counter could decrease.
    @http.route(
        "/auth_integration/metrics",
        type="http",
        auth="public",
        methods=["GET"],
        save_session=False,
        readonly=False,
    )
    def metrics(self, **_ignored):
        """Answer with all metrics, in the OpenMetrics format if the client accepts it.

        A wrong token is not an authentication attempt: nothing is logged for it.

        :return: 401 and always the same text without the token; 503 without the library
        """
        metrics = request.env["auth.integration.metrics"].sudo()
        # A scraper may send white space after the token.
        token = bearer_token(request.httprequest.headers.get("Authorization")).strip()
        if not metrics._is_token(token):
            return request.make_response(
                "Send the metrics token as a bearer token.\n",
                [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")],
                status=401,
            )
        try:
            text, content_type = openmetrics.exposition(
                metrics._metrics(), request.httprequest.headers.get("Accept") or ""
            )
        except openmetrics.LibraryMissingError as error:
            return request.make_response(f"{error}\n", [("Content-Type", "text/plain")], status=503)
        return request.make_response(text, [("Content-Type", content_type)])
