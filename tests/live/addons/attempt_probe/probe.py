from odoo import fields, http, models
from odoo.exceptions import AccessDenied, UserError
from odoo.http import request
from psycopg2.pool import PoolError
from werkzeug.exceptions import Unauthorized

_seen = set()
_borrowed = []


def fail_once(cr, name):
    """Fail once as if another transaction had written first, so that the request is retried."""
    if name not in _seen:
        _seen.add(name)
        cr.execute("DO 'BEGIN RAISE serialization_failure; END'", log_exceptions=False)


class AttemptProbe(models.Model):
    _name = "attempt.probe"
    _description = "Calls that go wrong on purpose"

    name = fields.Char()

    def write_and(self, what, name):
        """Write, and then fail or make Odoo repeat the call."""
        self.create({"name": name})
        if what == "fail":
            raise UserError("It was meant to fail.")
        if what == "repeat":
            fail_once(self.env.cr, name)
        return self.search_count([("name", "=", name)])


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _auth_method_probe_token(cls):
        token = request.httprequest.headers.get("X-Probe-Token")
        if not token:
            raise Unauthorized()
        if token == "error":
            raise ZeroDivisionError
        if token != "right":
            raise AccessDenied()
        request.update_env(user=request.env.ref("base.user_admin").id)


class ProbeController(http.Controller):
    @http.route("/probe/token", type="http", auth="probe_token", save_session=False)
    def token(self, **_marker):
        return str(request.env.uid)

    @http.route("/probe/read_only/<name>", type="http", auth="bearer", readonly=True)
    def read_only(self, name, **_marker):
        """Write although the route is marked read-only, so that the request is retried."""
        return str(request.env["attempt.probe"].create({"name": name}).search_count([]))

    @http.route("/probe/repeat/<name>", type="http", auth="bearer")
    def repeat(self, name, **_marker):
        return str(request.env["attempt.probe"].write_and("repeat", name))

    @http.route("/probe/borrow/<int:left>", type="http", auth="none", readonly=True)
    def borrow(self, left, **_marker):
        """Borrow all but ``left`` of the connections this process may have, as slow calls do."""
        try:
            while True:
                _borrowed.append(request.env.registry.cursor())
        except PoolError:
            for _number in range(left):
                _borrowed.pop().close()
        return str(len(_borrowed))

    @http.route("/probe/give_back", type="http", auth="none", readonly=True)
    def give_back(self, **_marker):
        while _borrowed:
            _borrowed.pop().close()
        return ""
