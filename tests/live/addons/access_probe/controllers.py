from odoo import http
from odoo.http import request


class ProbeController(http.Controller):
    @http.route("/access_probe/bearer/<name>", type="http", auth="bearer", save_session=False)
    def bearer(self, name, **_marker):
        return str(request.env["access.probe"].create({"name": name}).id)

    @http.route("/access_probe/read", type="http", auth="bearer", readonly=True)
    def read(self, **_marker):
        return str(request.env["access.probe"].search_count([]))

    @http.route("/access_probe/own_key", type="http", auth="probe_key", save_session=False)
    def own_key(self, **_marker):
        return str(request.env["access.probe"].create({"name": "own key"}).id)

    @http.route("/access_probe/public", type="http", auth="public", save_session=False)
    def public(self, link=None, **_marker):
        """Verify a key without any ``_auth_method_*``.

        :param link: a path whose route is looked up first
        """
        if link:
            request.env["ir.http"]._match(link)
        secret = request.httprequest.headers.get("X-Probe-Key", "")
        uid = request.env["res.users.apikeys"]._check_credentials(scope="rpc", key=secret)
        if not uid:
            return "refused"
        return str(request.env["access.probe"].with_user(uid).create({"name": "public"}).id)
