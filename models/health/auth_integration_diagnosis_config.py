from datetime import timedelta

from odoo import fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain

from ...tools.attempt import causes
from ...tools.health import probe
from ...tools.integration import networks
from ...tools.moment import moment_text

RECENT = timedelta(hours=24)
# People log in over these, maybe from the same addresses: their typos are not the integration's.
INTERACTIVE_CHANNELS = ("web", "totp", "passkey", "oauth")


class AuthIntegrationDiagnosis(models.Model):
    """Diagnose the configuration in Odoo: user, keys, rules and recent attempts."""

    _inherit = "auth.integration.diagnosis"

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
        self._check_rights()
        self._check_password()
        self._check_second_factor()

    def _check_rights(self):
        user = self.integration_id.user_id
        groups = ", ".join(user.group_ids.mapped("full_name")[:8])
        if user._is_administrator():
            self._line(
                "warning", self.env._("Rights"), groups, record=user,
                meaning=self.env._(
                    "The user is an administrator. Every key of this user has the same rights."
                ),
                remedy=self.env._("Remove the groups that the external system does not need."),
            )
        else:
            self._line("ok", self.env._("Rights"), groups, record=user)

    def _check_password(self):
        user = self.integration_id.user_id
        self.env.cr.execute(
            "SELECT COALESCE(password, '') <> '' FROM res_users WHERE id = %s", [user.id]
        )
        if self.env.cr.fetchone()[0]:
            self._line(
                "warning", self.env._("Password"),
                self.env._("%(login)s has a password", login=user.login), record=user,
                meaning=self.env._(
                    "This password cannot be used to sign in. This user needs an API key."
                ),
                remedy=self.env._("Remove it to avoid confusion."),
            )
        else:
            self._line(
                "ok", self.env._("Password"), self.env._("not set, as recommended"), record=user
            )

    def _check_second_factor(self):
        """Record whether the user has a second factor, and whether ``rotate`` can use the seed."""
        integration, user = self.integration_id, self.integration_id.user_id
        name = self.env._("Second factor")
        if "totp_enabled" in user._fields and user.totp_enabled:
            self._line(
                "ok", name,
                self.env._(
                    "%(login)s has a second factor. API keys do not need it.", login=user.login
                ),
                record=user,
            )
            return
        try:
            seed = integration.sudo().totp_seed
            own = bool(seed and integration._decrypt(seed, "totp"))
        except UserError as error:
            self._line(
                "failed", name, self.env._("seed of %(name)s", name=integration.name),
                record=integration, cause="seed_unreadable", meaning=str(error),
                remedy=self.env._(
                    "Ask the server administrator to restore the encryption key, or set up a new "
                    "second factor."
                ),
            )
            return
        self._line(
            "ok", name,
            self.env._("its codes are accepted when the external system rotates its key") if own
            else self.env._("not needed for API keys"),
            record=integration,
        )

    def _check_keys(self):
        keys = self.integration_id.key_ids.filtered(lambda key: key.scope != probe.SCOPE)
        usable = keys.filtered(lambda key: key.is_live and key.scope in (False, "rpc"))
        if not usable:
            last = keys[:1]
            self._line(
                "failed", self.env._("Keys"),
                self.env._("the last key, %(key)s, has the status “%(state)s”",
                           key=last.display_name, state=last._state_label())
                if last else self.env._("no key has been created"),
                record=last or self.integration_id,
                cause="no_valid_key",
                meaning=self.env._("This integration has no working key."),
                remedy=self.env._("Create a key and install it in the external system."),
                fix="issue_key",
            )
        for key in usable:
            self._check_key(key)

    def _check_key(self, key):
        """Record when a key expires, and warn if it is due for replacement."""
        seen = self.env._(
            "%(key)s: status “%(state)s”, expires on %(end)s", key=key.display_name,
            state=key._status_label(),
            end=moment_text(self.env, key.effective_end) if key.effective_end else "-",
        )
        if key.status == "blocked":  # another check says why
            self._line("skipped", self.env._("Key"), seen, record=key)
            return
        if key.replacement_status not in ("due", "overdue"):
            self._line("ok", self.env._("Key"), seen, record=key)
            return
        rotation = self.env["auth.integration.rotation"]._open_of(key)
        self._line(
            "warning", self.env._("Key"), seen,
            record=rotation or key,
            cause="key_expiring",
            meaning=self.env._("This key should be replaced now."),
            remedy=self.env._("Open its rotation to see the next step.") if rotation
            else self.env._(
                "Rotate the key. The old key keeps working for some days after the first call with"
                " the new key."
            ),
            fix=None if rotation else "rotate",
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
            networks.one_line(integration.allowed_networks) or self.env._("any address"),
            record=integration,
            meaning=outside and self.env._(
                "Keys were used from %(addresses)s. Calls from there would now be rejected.",
                addresses=", ".join(sorted(outside)[:5]),
            ),
            remedy=outside and self.env._("If these addresses belong to your system, allow them."),
        )
        self._line(
            "ok", self.env._("Protocols"),
            ", ".join(sorted(integration._allowed_channel_set())) or self.env._("all"),
            record=integration,
        )
        policy = integration.policy_id
        self._line(
            "ok", self.env._("Policy"),
            self.env._("%(name)s: keys are replaced after %(days)s days", name=policy.name,
                       days=policy.max_age_days),
            record=policy,
        )
        self._check_delivery()
        server = self.env["auth.integration.server"]
        if server._is_behind_unknown_proxy():
            state = server._flag("proxy_mode")
            self._line(
                "failed", "proxy_mode",
                self.env._(
                    "off, but calls have an X-Forwarded-For header (last seen on %(when)s)",
                    when=moment_text(self.env, state.write_date),
                ),
                record=state, fix=False, cause="proxy_mode_off",
                meaning=self.env._("Odoo sees the proxy's address for every call."),
                remedy=self.env._("Set proxy_mode = True in the server's configuration file."),
            )

    def _check_delivery(self):
        """Record whether new keys can be sent, before one is due."""
        policy = self.integration_id.policy_id
        method = self.env["auth.integration.delivery"]._all().get(policy.delivery)
        if method is None or not (method._sends and policy.auto_rotate):
            return
        reason = method._blocking_reason(self.integration_id.sudo())
        self._line(
            "warning" if reason else "ok", self.env._("Delivery of new keys"), method._label(),
            record=self.integration_id, meaning=reason,
            remedy=reason and self.env._(
                "Set it up on the tab Delivery of New Keys. No keys can be sent until then."
            ),
        )

    def _check_attempts(self):
        """Record one line per cause of the last day; what has been solved is only a warning.

        So are attempts that came from an address of this integration without naming it.
        """
        # As the requester, so that only attempts that they may read are shown.
        attempts = self._attempts()
        integration = self.integration_id
        nobodys = Domain("integration_id", "=", False)
        mine = Domain("integration_id", "=", integration.id) | (
            nobodys & Domain("login", "like", f'"{integration.login}"')
        )
        nearby = nobodys & ~mine & (
            Domain("remote_addr", "in", integration.key_ids.address_ids.mapped("address"))
            & Domain("channel", "not in", INTERACTIVE_CHANNELS)
        )
        shown = [
            self._attempt_line(attempts.browse(last_id), count, last_seen, certain)
            for domain, certain in ((mine, True), (nearby, False))
            for _cause, count, last_seen, last_id in attempts._read_group(
                domain & Domain("question", "=", False) & Domain("outcome", "=", "failure")
                & Domain("last_seen", ">", fields.Datetime.now() - RECENT),
                ["cause"], ["count:sum", "last_seen:max", "id:max"], order="last_seen:max desc",
            )
        ]
        if not shown:
            self._line(
                "ok", self.env._("Attempts"), self.env._(
                    "no rejected attempts in the last 24 hours"
                ),
                record=integration,
            )

    def _attempt_line(self, attempt, count, last_seen, certain):
        """Record one cause of refused attempts.

        :param attempt: the last attempt, in the environment of the requester
        :param certain: whether the attempts are certainly of this integration
        """
        solved = attempt.has_succeeded_since
        details = [
            self.env._(
                "%(count)s × %(cause)s, last on %(when)s from %(address)s",
                count=int(count), cause=self.env._(causes.get(attempt.cause).title),
                when=moment_text(self.env, last_seen), address=attempt.remote_addr or "-",
            )
        ]
        if not certain:
            details.append(
                self.env._(
                    "These calls do not name %(name)s but come from its address.",
                    name=self.integration_id.name,
                )
            )
        if attempt.case_explanation:
            details.append(attempt.case_explanation)
        fix = attempt.integration_id and not solved and attempt.primary_fix
        remedy = attempt.cause_remedy
        if attempt.is_solved and not solved:
            waiting = self.env._("Fixed, waiting for the next call.")
            remedy = f"{waiting} {attempt.resolution}"
        self._cause_line(
            "failed" if certain and not solved and not attempt.is_solved else "warning",
            self.env._("Attempts"), "\n".join(details), attempt.cause, attempt, fix or None,
            is_solved=solved, remedy=remedy,
        )
