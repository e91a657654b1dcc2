from odoo import api, fields, models
from odoo.http import request
from odoo.tools import lazy
from werkzeug.exceptions import Unauthorized

_seen = set()


class AccessProbe(models.Model):
    _name = "access.probe"
    _description = "Methods that write in every way"

    name = fields.Char()

    @api.model
    @api.readonly
    def read_name(self):
        """Read, and return whether the transaction is read-only."""
        self.env.cr.execute("SHOW transaction_read_only")
        return self.env.cr.fetchone()[0]

    @api.model
    def write_plainly(self):
        return self.create({"name": "plainly"}).id

    @api.model
    @api.readonly
    def write_as_reader(self):
        """Write in a method that is marked read-only, so that a replica may serve it."""
        return self.create({"name": "as reader"}).id

    @api.model
    def write_after_commit(self):
        self.search([], limit=1)
        self.env.cr.commit()
        return self.create({"name": "after commit"}).id

    @api.model
    def write_after_rollback(self):
        self.env.cr.rollback()
        return self.create({"name": "after rollback"}).id

    @api.model
    def write_in_savepoint(self):
        with self.env.cr.savepoint():
            self.search([], limit=1)
        with self.env.cr.savepoint():
            return self.create({"name": "in savepoint"}).id

    @api.model
    def write_on_own_cursor(self):
        with self.env.registry.cursor() as cr:
            self.with_env(self.env(cr=cr)).create({"name": "own cursor"})
            cr.commit()
            self.with_env(self.env(cr=cr)).create({"name": "own cursor, second"})
        return True

    @api.model
    def write_at_flush(self):
        """Leave the write to the end of the call."""
        self.env.cr.precommit.add(lambda: self.create({"name": "at flush"}))
        return True

    @api.model
    def write_after_retry(self):
        """Fail the first time as if another transaction had written first, so that Odoo retries."""
        if self.env.uid not in _seen:
            _seen.add(self.env.uid)
            self.env.cr.execute("DO 'BEGIN RAISE serialization_failure; END'", log_exceptions=False)
        return self.create({"name": "after retry"}).id

    @api.model
    def write_lazily(self):
        return {"name": lazy(lambda: self.create({"name": "lazily"}).name)}

    @api.model
    def lock(self):
        self.env.cr.execute("SELECT id FROM res_partner LIMIT 1 FOR UPDATE")
        return True

    @api.model
    def swallow(self):
        """Continue after the database has rejected a change."""
        try:
            with self.env.cr.savepoint():
                self.create({"name": "swallowed"})
        except Exception:
            return "swallowed"
        return "written"

    @api.model
    def swallow_badly(self):
        try:
            self.env.cr.execute("INSERT INTO access_probe (name) VALUES ('badly')")
        except Exception:
            self.env.cr.execute("SELECT 1")

    @api.model
    def clear_caches_of_all(self):
        self.env.registry.clear_cache()
        return True

    @api.model
    def call_another(self):
        """Within a call, call a method that is looked up as for a remote caller."""
        from odoo.service.model import call_kw

        return call_kw(self.env["access.probe"], "read_name", [], {})


class AccessProbeChild(models.Model):
    _name = "access.probe.child"
    _inherit = ["access.probe"]
    _table = "access_probe_child"
    _description = "A model with the methods of others"


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _auth_method_probe_key(cls):
        secret = request.httprequest.headers.get("X-Probe-Key", "")
        uid = request.env["res.users.apikeys"]._check_credentials(scope="rpc", key=secret)
        if not uid:
            raise Unauthorized()
        request.update_env(user=uid)
