import hashlib
import hmac
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import file_path

from ...tools.attempt.redaction import scrub
from ...tools.health import probe

# For one request; all of them together must end within the lifetime of the probe key.
TIMEOUT_SECONDS = 5
NONCE_LIFE = timedelta(minutes=10)


class AuthIntegrationDiagnosis(models.Model):
    """Diagnose the HTTP connection by calls like those of the external system.

    No credential is sent before the URL has been proven to lead to this database: it must answer a
    nonce with a proof that only this database can make.
    """

    _inherit = "auth.integration.diagnosis"

    # The nonce -------------------------------------------------------------------------------

    @api.model
    def _is_pending_nonce(self, nonce):
        """Return whether this nonce was made by a diagnosis that is running now."""
        return bool(
            self.sudo().search_count(
                [
                    ("nonce", "=", nonce),
                    ("state", "=", "running"),
                    ("requested_at", ">", fields.Datetime.now() - NONCE_LIFE),
                ],
                limit=1,
            )
        )

    @api.model
    def _challenge_response(self, nonce):
        """Return the answer to a nonce that only this database can give."""
        secret = self.env["ir.config_parameter"].sudo().get_param("database.secret")
        return hmac.new(
            f"auth_integration.challenge:{secret}".encode(), nonce.encode(), hashlib.sha256
        ).hexdigest()

    # The calls --------------------------------------------------------------------------------

    def _check_outside(self):
        """Call web.base.url as the external system would, with a key only if that is safe."""
        url = self.integration_id.get_base_url().rstrip("/")
        proven, seen = self._challenge(url)
        usable = self.integration_id.active and self.integration_id.user_id.active
        if not proven:
            self._doctor(url, None)
            self._line(
                "failed", self.env._("Identity"), seen, side="outside", cause="not_this_database",
                meaning=self.env._(
                    "The address in web.base.url does not lead to this database. No key was sent"
                    " there."
                ),
                remedy=self.env._(
                    "Check web.base.url, the proxy's target and the server's database filter."
                ),
            )
            return
        self._line("ok", self.env._("Identity"), seen, side="outside")
        if not usable:
            self._doctor(url, None)
            return
        secret, probe_id = self._issue_probe()
        try:
            self._doctor(url, secret)
        finally:
            self._end_probe(probe_id)

    def _challenge(self, url):
        """Request a proof for the nonce from the URL.

        :return: whether the proof is correct, and what was seen
        """
        path = "/auth_integration/challenge?" + urllib.parse.urlencode({"nonce": self.nonce})
        request = urllib.request.Request(
            url + path, headers={"X-Odoo-Database": self.env.cr.dbname}
        )
        text = f"GET {url}/auth_integration/challenge"
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                proof = json.loads(answer.read(1000)).get("proof")
        except urllib.error.HTTPError as error:
            return False, f"{text} → {error.code}"
        except (OSError, ValueError, AttributeError) as error:
            return False, f"{text} → {scrub(str(error), 200)}"
        expected = self._challenge_response(self.nonce)
        right = isinstance(proof, str) and hmac.compare_digest(proof, expected)
        proof = self.env._("the correct answer") if right else self.env._("an incorrect answer")
        return right, f"{text} → 200, {proof}"

    def _doctor(self, url, secret):
        """Run the checks of doctor.py in a separate process, and record its steps."""
        command = [
            *(sys.executable, "-I", file_path("auth_integration/static/doctor.py"), "--json"),
            *("--timeout", str(TIMEOUT_SECONDS), "--db", self.env.cr.dbname),
            *("--login", self.integration_id.login, "--key-stdin" if secret else "--no-key", url),
        ]
        try:
            done = subprocess.run(
                command, input=secret or "", capture_output=True, text=True,
                timeout=probe.LIFETIME_SECONDS,
            )
            steps = json.loads(done.stdout)["steps"]
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self._line(
                "failed", "doctor.py", f"doctor.py {url} → {type(error).__name__}",
                side="outside", cause="doctor_failed",
                meaning=self.env._("The connection checks could not run."),
                remedy=self.env._("Check that this server can start processes."),
            )
            return
        allowed = self.integration_id._allowed_channel_set()
        for step in steps:
            # Its key is the probe key, which always expires within a minute.
            if step["check"] == "settings" or step["cause"] == "key_ending":
                continue
            protocol = step["check"].split()[-1]
            unused = allowed and protocol in {"json2", "xmlrpc", "jsonrpc"} - allowed
            result = {True: "ok", False: "failed", None: "warning"}[step["ok"]]
            # The texts of doctor.py are marked for translation there.
            meaning, remedy = (
                step[name] and self.env._(step[name]) for name in ("meaning", "remedy")
            )
            self._line(
                "skipped" if unused else result, self._outside_check_label(step["check"]),
                "\n".join(filter(None, [step["seen"], step["exchange"]])), side="outside",
                cause=step["cause"], meaning=meaning, remedy=remedy,
            )

    @api.model
    def _outside_check_label(self, check):
        """Return the label of a check of doctor.py, such as ``endpoint json2``."""
        labels = {
            "connection": self.env._("Connection"),
            "certificate": self.env._("Certificate"),
            "clock": self.env._("Clock"),
            "database": self.env._("Database"),
            "authorization header": self.env._("Authorization header"),
            "key": self.env._("Test key"),
            "address": self.env._("Address"),
        }
        *endpoint, name = check.split()
        protocol = dict(self.env["auth.attempt"]._selection_channel()).get(name)
        if not protocol:
            return labels.get(check, check)
        if endpoint:
            return self.env._("Endpoint of %(protocol)s", protocol=protocol)
        return self.env._("Test call through %(protocol)s", protocol=protocol)

    # The probe key ---------------------------------------------------------------------------

    def _issue_probe(self):
        """Create the probe key in its own transaction, so that other workers see it at once.

        :return: the secret, and the id of its record
        """
        with self.env.registry.cursor() as cr:
            env = api.Environment(cr, self.env.uid, {})
            user = env["res.users"].browse(self.integration_id.user_id.id)
            natives = env["res.users.apikeys"].with_user(user).sudo()
            secret = natives._generate(
                probe.SCOPE, "Diagnose",
                fields.Datetime.now() + timedelta(seconds=probe.LIFETIME_SECONDS),
            )
            keys = env["auth.integration.key"].sudo()
            return secret, keys._ids_of_digest(secret)[0]

    def _end_probe(self, key_id):
        """End and delete the probe key in its own transaction, whatever happens to this one."""
        with self.env.registry.cursor() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            key = env["auth.integration.key"].browse(key_id).exists()
            if key.is_live:
                key._end("revoked", "Diagnose is over")
            key.unlink()

    @api.model
    def _end_probes(self, env):
        """Delete the expired probe keys of killed diagnoses; a probe key lives for one minute."""
        keys = env["auth.integration.key"].sudo().search([("scope", "=", probe.SCOPE)])
        for key in keys.filtered(lambda key: not key.is_live):
            key._end("expired", "Diagnose is over")
            key.unlink()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Do not follow redirects: a redirected answer does not count."""

    def redirect_request(self, *_args, **_kwargs):
        return None
