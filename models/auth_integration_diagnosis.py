import hashlib
import hmac
import json
import logging
import secrets
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import file_path

from ..tools import causes, networks, probe
from ..tools.redaction import scrub

_logger = logging.getLogger(__name__)

KEEP_DAYS = 30
RECENT = timedelta(hours=24)
# Of one exchange; all of them together must end within the life of the probe key.
TIMEOUT_SECONDS = 5
NONCE_LIFE = timedelta(minutes=10)
FIX_OF_CAUSE = {
    "user_archived": "restore_user",
    "key_expired": "issue_key",
    "key_revoked": "issue_key",
    "key_superseded": "issue_key",
    "key_unknown": "issue_key",
    "key_wrong_scope": "issue_key",
    "password_not_allowed": "issue_key",
    "address_not_allowed": "add_network",
}
QUESTIONS = Domain("user_agent", "=like", f"{probe.AGENT}%") & Domain(
    "cause", "in", probe.QUESTIONS
)
# On these people log in, from the same addresses too: what they mistype is no integration's.
PEOPLES_CHANNELS = ("web", "totp", "passkey", "oauth")


class AuthIntegrationDiagnosis(models.Model):
    """The checks that an experienced consultant walks through, made for real.

    It runs as a scheduled job: a single HTTP worker could not call itself.  No credential leaves
    before the address has proved to lead to this database, by answering a nonce with a proof that
    only it can make.
    """

    _name = "auth.integration.diagnosis"
    _description = "Diagnosis of an Integration"
    _order = "id desc"
    _rec_name = "integration_id"

    integration_id = fields.Many2one(
        "auth.integration", required=True, ondelete="cascade", index=True
    )
    state = fields.Selection(
        [("draft", "New"), ("waiting", "Waiting"), ("running", "Running"), ("done", "Done"),
         ("failed", "Broken off")],
        default="draft",
        required=True,
        readonly=True,
    )
    requested_by = fields.Many2one("res.users", readonly=True, ondelete="set null")
    requested_at = fields.Datetime(readonly=True)
    finished_at = fields.Datetime(readonly=True)
    progress = fields.Char(readonly=True, help="The check being made.")
    nonce = fields.Char(readonly=True, groups=fields.NO_ACCESS)
    line_ids = fields.One2many("auth.integration.diagnosis.line", "diagnosis_id", readonly=True)
    failed_count = fields.Integer("Found", compute="_compute_counts")

    @api.depends("line_ids.result")
    def _compute_counts(self):
        for diagnosis in self:
            diagnosis.failed_count = len(
                diagnosis.line_ids.filtered(lambda line: line.result == "failed")
            )

    # Asking for one --------------------------------------------------------------------------

    def action_run(self):
        """Have these diagnoses made, by the scheduled job, from now on."""
        self.check_access("read")
        for diagnosis in self:
            diagnosis.integration_id._check_may_operate()
            diagnosis.sudo().line_ids.unlink()
            diagnosis.sudo().write(
                {
                    "state": "waiting",
                    "requested_by": self.env.uid,
                    "requested_at": fields.Datetime.now(),
                    "finished_at": False,
                    "progress": False,
                    "nonce": secrets.token_hex(16),
                }
            )
        self.env.ref("auth_integration.ir_cron_diagnose").sudo()._trigger()
        return True

    @api.model
    def _open_for(self, integration):
        """Ask for a diagnosis of an integration, and show it."""
        integration._check_may_operate()
        diagnosis = self.sudo().create({"integration_id": integration.id}).with_env(self.env)
        diagnosis.action_run()
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": diagnosis.id,
            "views": [(False, "form")],
        }

    # The nonce -------------------------------------------------------------------------------

    @api.model
    def _is_awaited(self, nonce):
        """Whether a diagnosis running now has made this nonce."""
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
    def _proof(self, nonce):
        """What only this database can answer to a nonce."""
        secret = self.env["ir.config_parameter"].sudo().get_param("database.secret")
        return hmac.new(
            f"auth_integration.challenge:{secret}".encode(), nonce.encode(), hashlib.sha256
        ).hexdigest()

    # The job ---------------------------------------------------------------------------------

    @api.model
    def _cron_run(self):
        """Make the diagnoses that wait, each line visible as soon as it is known."""
        self._end_probes(self.env)
        for diagnosis in self.search([("state", "=", "waiting")], order="id"):
            diagnosis = diagnosis.try_lock_for_update()
            if not diagnosis or diagnosis.state != "waiting":
                continue
            diagnosis = diagnosis.with_context(lang=diagnosis.requested_by.lang)
            diagnosis.state = "running"
            self.env["ir.cron"]._commit_progress(1)
            try:
                diagnosis._run()
                state = "done"
            except Exception:
                self.env.cr.rollback()
                _logger.exception("Diagnosis %s was broken off", diagnosis.id)
                state = "failed"
            diagnosis.write(
                {"state": state, "finished_at": fields.Datetime.now(), "progress": False}
            )
            self.env["ir.cron"]._commit_progress()

    def _run(self):
        self.ensure_one()
        for name, check in (
            (self.env._("User and rights"), self._check_user),
            (self.env._("Keys"), self._check_keys),
            (self.env._("Rules"), self._check_rules),
            (self.env._("Recent attempts"), self._check_attempts),
            (self.env._("The way from outside"), self._check_outside),
        ):
            self.progress = name
            self.env["ir.cron"]._commit_progress()
            check()

    def _line(self, result, check, seen, *, record=None, cause=None, meaning=None, remedy=None,
              fix=None, side="inside"):
        """Write down one check.

        :param record: what was read; the line leads to it
        :param fix: name of the button; False for none, where the record is nothing to open
        """
        self.env["auth.integration.diagnosis.line"].create(
            {
                "diagnosis_id": self.id,
                "sequence": len(self.line_ids) + 1,
                "side": side,
                "result": result,
                "check_name": check,
                "cause": cause,
                "seen": seen,
                "meaning": meaning or False,
                "remedy": remedy or False,
                "res_model": record._name if record else False,
                "res_id": record.id if record else False,
                "fix": ("open" if record else False) if fix is None else fix,
            }
        )

    def _cause_line(self, result, check, seen, cause, record, fix=None):
        """Write down a check that found one of the registry's causes."""
        known = causes.get(cause)
        self._line(
            result, check, seen, record=record, cause=cause, fix=fix,
            meaning=self.env._(known.explanation), remedy=self.env._(known.remedy),
        )

    # Inside ----------------------------------------------------------------------------------

    def _check_user(self):
        integration, user = self.integration_id, self.integration_id.user_id
        if not user.active or not integration.active:
            self._cause_line(
                "failed", self.env._("User"),
                self.env._("%(login)s (user %(id)s) is archived", login=user.login, id=user.id),
                "user_archived", user, "restore_user",
            )
        else:
            self._line(
                "ok", self.env._("User"),
                self.env._("%(login)s (user %(id)s) is active", login=user.login, id=user.id),
                record=user,
            )
        groups = ", ".join(user.group_ids.mapped("full_name")[:8])
        if integration._is_privileged():
            self._line(
                "warning", self.env._("Rights"), groups, record=user,
                meaning=self.env._("The user has administration rights: so has every key of it."),
                remedy=self.env._("Give it only the groups that the external system needs."),
            )
        else:
            self._line("ok", self.env._("Rights"), groups, record=user)
        self.env.cr.execute(
            "SELECT COALESCE(password, '') <> '' FROM res_users WHERE id = %s", [user.id]
        )
        if self.env.cr.fetchone()[0]:
            self._line(
                "warning", self.env._("Password"),
                self.env._("%(login)s has a password", login=user.login), record=user,
                meaning=self.env._("It opens nothing: this user is accepted with a key only."),
                remedy=self.env._("Remove it, so that nobody takes it for the way in."),
            )
        else:
            self._line(
                "ok", self.env._("Password"), self.env._("none, as it should be"), record=user
            )
        self._check_second_factor()

    def _check_second_factor(self):
        """What of a second factor stands in the way, and whether ``rotate`` can use its own."""
        integration, user = self.integration_id, self.integration_id.user_id
        name = self.env._("Second factor")
        if "totp_enabled" in user._fields and user.totp_enabled:
            self._line(
                "ok", name,
                self.env._("%(login)s has one, which no key is asked for", login=user.login),
                record=user,
            )
            return
        try:
            seed = integration.sudo().totp_seed
            own = bool(seed and integration._decrypt(seed, "totp"))
        except UserError as error:
            self._line(
                "failed", name, self.env._("the seed of %(name)s", name=integration.name),
                record=integration, cause="seed_unreadable", meaning=str(error),
                remedy=self.env._(
                    "Have the server's encryption key set again, or set up a new second factor."
                ),
            )
            return
        self._line(
            "ok", name,
            self.env._("codes are accepted from it when it rotates its key") if own
            else self.env._("none is needed: a key is asked for no code"),
            record=integration,
        )

    def _check_keys(self):
        keys = self.integration_id.key_ids.filtered(lambda key: key.scope != probe.SCOPE)
        usable = keys.filtered(lambda key: key.is_live and key.scope in (False, "rpc"))
        if not usable:
            last = keys[:1]
            self._line(
                "failed", self.env._("Keys"),
                self.env._("the last one, %(key)s, is %(state)s", key=last.display_name,
                           state=last.state) if last else self.env._("no key was ever issued"),
                record=last or self.integration_id,
                cause="no_valid_key",
                meaning=self.env._("No key of this integration works."),
                remedy=self.env._("Issue a key and set it in the external system."),
                fix="issue_key",
            )
        for key in usable:
            due = key.rotate_after and key.rotate_after <= fields.Datetime.now()
            self._line(
                "warning" if due else "ok", self.env._("Key"),
                self.env._(
                    "%(key)s is %(state)s, ends %(end)s UTC", key=key.display_name,
                    state=key.state, end=key.effective_end or "-",
                ),
                record=key,
                cause="key_expiring" if due else None,
                meaning=due and self.env._("It is due for rotation."),
                remedy=due and self.env._("Rotate it: the old key goes on working meanwhile."),
                fix="rotate" if due and key.state in ("pending", "active") else None,
            )

    def _check_rules(self):
        integration = self.integration_id
        rules = networks.parse(integration.allowed_networks)
        outside = {
            address.address
            for address in integration.key_ids.address_ids
            if address.last_seen > fields.Datetime.now() - timedelta(days=30)
            and not networks.contains(rules, address.address)
        }
        self._line(
            "warning" if outside else "ok", self.env._("Networks"),
            ", ".join(map(str, rules)) or self.env._("any address"), record=integration,
            meaning=outside and self.env._(
                "Keys were used from %(addresses)s, which would be refused now.",
                addresses=", ".join(sorted(outside)[:5]),
            ),
            remedy=outside and self.env._("Add these addresses if they are yours."),
        )
        self._line(
            "ok", self.env._("Protocols"),
            ", ".join(sorted(integration._allowed_channel_set())) or self.env._("all"),
            record=integration,
        )
        policy = integration.policy_id
        self._line(
            "ok", self.env._("Policy"),
            self.env._("%(name)s: keys live %(days)s days", name=policy.name,
                       days=policy.max_age_days),
            record=policy,
        )
        server = self.env["auth.integration.server"]
        if server._is_behind_unknown_proxy():
            state = server._fact("proxy_mode")
            self._line(
                "failed", "proxy_mode",
                self.env._("calls carry X-Forwarded-For, and it is off; last seen on %(when)s UTC",
                           when=state.write_date),
                record=state, fix=False, cause="proxy_mode_off",
                meaning=self.env._("Odoo takes the proxy's address for that of every caller."),
                remedy=self.env._("Set proxy_mode = True in the server's configuration file."),
            )

    def _check_attempts(self):
        """One line per cause of the last day; what has been solved since is a warning only.

        So is what came from an address of this integration and names it in no way.
        """
        # Whoever asked is told of no attempt that he may not see.
        attempts = self.env["auth.attempt"].with_user(self.requested_by or self.env.user)
        integration = self.integration_id
        nobodys = Domain("integration_id", "=", False)
        mine = Domain("integration_id", "=", integration.id) | (
            nobodys & Domain("login", "like", f'"{integration.login}"')
        )
        nearby = nobodys & ~mine & (
            Domain("remote_addr", "in", integration.key_ids.address_ids.mapped("address"))
            & Domain("channel", "not in", PEOPLES_CHANNELS)
        )
        told = [
            self._attempt_line(attempts.browse(last_id), count, last_seen, certain)
            for domain, certain in ((mine, True), (nearby, False))
            for _cause, count, last_seen, last_id in attempts._read_group(
                domain & ~QUESTIONS & Domain("outcome", "=", "failure")
                & Domain("last_seen", ">", fields.Datetime.now() - RECENT),
                ["cause"], ["count:sum", "last_seen:max", "id:max"], order="last_seen:max desc",
            )
        ]
        if not told:
            self._line(
                "ok", self.env._("Attempts"), self.env._("none was refused in the last 24 hours"),
                record=integration,
            )

    def _attempt_line(self, attempt, count, last_seen, certain):
        """Write down one cause of refused attempts.

        :param attempt: the last one, as whoever asked may read it
        :param certain: whether the attempts are this integration's
        """
        solved_at = self.integration_id.last_success
        solved = solved_at and solved_at > last_seen
        details = [
            self.env._(
                "%(count)s × %(cause)s, last on %(when)s UTC from %(address)s",
                count=int(count), cause=self.env._(causes.get(attempt.cause).title),
                when=last_seen, address=attempt.remote_addr or "-",
            )
        ]
        if not certain:
            details.append(
                self.env._(
                    "Nothing in the calls names %(name)s; it calls from the same address.",
                    name=self.integration_id.name,
                )
            )
        if attempt.case_explanation:
            details.append(attempt.case_explanation)
        fix = FIX_OF_CAUSE.get(attempt.cause)
        if solved or not attempt.integration_id or (
            fix == "add_network" and not attempt.fix_add_network
        ):
            fix = None
        self._cause_line(
            "failed" if certain and not solved else "warning",
            self.env._("Attempts"), "\n".join(details), attempt.cause, attempt, fix,
        )

    # Outside ---------------------------------------------------------------------------------

    def _check_outside(self):
        """Call web.base.url as the external system would; with a key only when it is safe."""
        url = self.integration_id.get_base_url().rstrip("/")
        proven, seen = self._challenge(url)
        usable = self.integration_id.active and self.integration_id.user_id.active
        if not proven:
            self._doctor(url, None)
            self._line(
                "failed", self.env._("Identity"), seen, side="outside", cause="not_this_database",
                meaning=self.env._(
                    "The address in web.base.url does not lead to this database, so no key was"
                    " sent there."
                ),
                remedy=self.env._(
                    "Correct web.base.url, the proxy's target or the server's database filter."
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
        """Ask the address for a proof of the nonce.

        :return: whether it is right, and what was seen
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
        right = isinstance(proof, str) and hmac.compare_digest(proof, self._proof(self.nonce))
        proof = self.env._("the right proof") if right else self.env._("a wrong proof")
        return right, f"{text} → 200, {proof}"

    def _doctor(self, url, secret):
        """Walk through the checks of doctor.py, in a process of its own, and keep its steps."""
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
                meaning=self.env._("The checks from outside could not be made."),
                remedy=self.env._("See whether this server may start processes."),
            )
            return
        allowed = self.integration_id._allowed_channel_set()
        for step in steps:
            if step["check"] == "settings":
                continue
            protocol = step["check"].split()[-1]
            unused = allowed and protocol in {"json2", "xmlrpc", "jsonrpc"} - allowed
            result = {True: "ok", False: "failed", None: "warning"}[step["ok"]]
            # Its texts are marked for translation there.
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
        """What people read for a check of doctor.py, such as ``endpoint json2``."""
        labels = {
            "connection": self.env._("Connection"),
            "certificate": self.env._("Certificate"),
            "clock": self.env._("Clock"),
            "database": self.env._("Database"),
            "authorization header": self.env._("Authorization header"),
            "key": self.env._("Key"),
            "address": self.env._("Caller's address"),
        }
        *endpoint, name = check.split()
        protocol = dict(self.env["auth.attempt"]._selection_channel()).get(name)
        if not protocol:
            return labels.get(check, check)
        if endpoint:
            return self.env._("Endpoint of %(protocol)s", protocol=protocol)
        return self.env._("Call over %(protocol)s", protocol=protocol)

    # The probe key ---------------------------------------------------------------------------

    def _issue_probe(self):
        """Make the probe key, in a transaction of its own: others must know it at once.

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
        """End the probe key and leave no trace of it, whatever became of this transaction."""
        with self.env.registry.cursor() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            key = env["auth.integration.key"].browse(key_id).exists()
            if key.is_live:
                key._end("revoked", "Diagnose is over")
            key.unlink()

    @api.model
    def _end_probes(self, env):
        """Remove probe keys whose diagnosis died: they ended by themselves within a minute."""
        keys = env["auth.integration.key"].sudo().search([("scope", "=", probe.SCOPE)])
        for key in keys.filtered(lambda key: not key.is_live):
            key._end("expired", "Diagnose is over")
            key.unlink()

    @api.autovacuum
    def _gc_diagnoses(self):
        """Forget diagnoses after 30 days, and probe keys whose diagnosis died."""
        self._end_probes(self.env)
        old = self.search(
            [("create_date", "<", fields.Datetime.now() - timedelta(days=KEEP_DAYS))], limit=1000
        )
        old.unlink()
        return len(old), len(old) == 1000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is redirected does not count as an answer."""

    def redirect_request(self, *_args, **_kwargs):
        return None
