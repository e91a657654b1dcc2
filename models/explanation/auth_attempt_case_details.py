import re
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import MissingError

from ...tools.attempt import causes
from ...tools.health import guide
from ...tools.integration import networks

# How far back to search for the failed authenticate before a call without a user id.
SKIPPED_WITHIN = timedelta(minutes=10)
# The part of a text of ``describe_unknown_login`` that names the most similar login.
NEAREST_LOGIN = re.compile(r'(?:nearest|same as) "(?P<login>(?:[^"\\]|\\.)*)"(?P<how>[^,)]*)')


class AuthAttempt(models.Model):
    """Explain what a rejected attempt means in its specific case.

    Everything is read when the form is opened; the row itself never changes.  Readers get details
    only of keys and integrations that they may see; of others they learn only that they exist.
    """

    _inherit = "auth.attempt"

    case_explanation = fields.Text("Details", compute="_compute_case_explanation")

    @api.depends(
        "cause", "key_id", "user_id", "integration_id", "remote_addr", "last_seen", "operation"
    )
    @api.depends_context("uid", "lang", "tz")
    def _compute_case_explanation(self):
        for row in self:
            row.case_explanation = "\n".join(row._case_lines()) or False

    def _case_lines(self):
        """Return sentences about this attempt: what was found, and what is the case now."""
        self.ensure_one()
        if not self.cause:
            return []
        if self.question == "way":
            return [
                self.env._(
                    "This is a diagnostic request from Diagnose or doctor.py. Nothing is wrong."
                )
            ]
        explain = getattr(self, f"_explain_{self.cause}", None)
        lines = explain() if explain else []
        return [*self._explain_question(), *lines, *self._explain_integration()]

    def _guide_anchor(self):
        """Extend :meth:`auth.integration.guide.link.mixin._guide_anchor`."""
        return guide.cause_anchor(self.cause)

    def _explain_password_not_allowed(self):
        user = self._known_user()
        if not user:
            return []
        integration = self._known_integration()
        if not integration:
            return [
                self.env._(
                    "%(login)s has a second factor, so API calls need an API key.",
                    login=user.login,
                )
            ]
        return [self._user_of_integration(user.login, integration), *self._explain_present_key()]

    def _explain_interactive_not_allowed(self):
        integration = self._known_integration()
        if not integration:
            return []
        return [self._user_of_integration(integration.login, integration)]

    def _user_of_integration(self, login, integration):
        return self.env._(
            "%(login)s is the integration user of %(name)s.", login=login, name=integration.name
        )

    def _explain_user_unknown(self):
        """Suggest the login that was probably meant, and tell its integration."""
        near = self._nearest_login()
        if not near:
            return []
        login, how = near
        lines = [
            self.env._("Did you mean “%(login)s” %(how)s?", login=login, how=how.strip())
            if how.strip()
            else self.env._("Did you mean “%(login)s”?", login=login)
        ]
        integration = self._nearest_integration()
        if integration:
            lines.append(
                self.env._(
                    "It is the integration user of %(name)s.", name=integration.name
                )
            )
        return lines

    def _explain_database_unknown(self):
        """Compare the requested name, of which only a description is kept, with this database's."""
        if not (self.database or "").startswith("unknown database ("):
            return []
        if '"' in self.database:  # a similar name
            text = self.env._(
                "Probably mistyped: the requested name is similar to “%(database)s”, the name of"
                " this database.",
                database=self.env.cr.dbname,
            )
        else:
            text = self.env._(
                "The requested name is not similar to “%(database)s”, the name of this database.",
                database=self.env.cr.dbname,
            )
        return [text]

    def _explain_user_archived(self):
        user = self._known_user()
        if not user:
            return [self.env._("This user has since been deleted.")]
        if user.active:
            return []
        return [
            self.env._(
                "%(login)s is archived. The user was last changed on %(when)s by %(user)s.",
                login=user.login,
                when=self._moment(user.write_date),
                user=user.write_uid.name or "?",
            )
        ]

    def _explain_address_not_allowed(self):
        """Tell the calling address, the allowed networks, and whether it may be a proxy's."""
        integration = self._known_integration()
        if not integration:
            return []
        values = {
            "address": self.remote_addr,
            "name": integration.name,
            "rules": networks.one_line(integration.allowed_networks) or self.env._("any address"),
        }
        lines = [
            self.env._("The call came from %(address)s. %(name)s now allows: %(rules)s.", **values)
            if self.open_cause != self.cause
            else self.env._("The call came from %(address)s. %(name)s allows: %(rules)s.", **values)
        ]
        if self.env["auth.integration.server"]._is_behind_unknown_proxy():
            lines.append(
                self.env._(
                    "This may be a proxy's address: calls arrive through a proxy, but Odoo's"
                    " proxy_mode is off."
                )
            )
        return lines

    def _explain_channel_not_allowed(self):
        integration = self._known_integration()
        if not integration:
            return []
        labels = dict(self._selection_channel())
        allowed = (
            labels.get(channel, channel) for channel in sorted(integration._allowed_channel_set())
        )
        values = {
            "channel": labels.get(self.channel, self.channel),
            "name": integration.name,
            "allowed": ", ".join(allowed) or self.env._("all protocols"),
        }
        return [
            self.env._("The call used %(channel)s. %(name)s now allows: %(allowed)s.", **values)
            if self.open_cause != self.cause
            else self.env._("The call used %(channel)s. %(name)s allows: %(allowed)s.", **values)
        ]

    def _explain_authenticate_skipped(self):
        """Tell which failed authenticate call from the same address was ignored by the client.

        A row collapsed in a flood stands for many addresses, so no other call can be found for it.
        """
        if not networks.normalize(self.remote_addr):
            return []
        before = self.search(
            [
                ("outcome", "=", "failure"),
                ("remote_addr", "=", self.remote_addr),
                ("cause", "not in", ("authenticate_skipped", "secret_missing")),
                ("last_seen", "<=", self.last_seen),
                ("last_seen", ">=", self.first_seen - SKIPPED_WITHIN),
                ("id", "!=", self.id),
            ],
            limit=1,
        )
        if not before:
            return [self.env._(
                "No failed authenticate call was made from this address just before."
            )]
        return [
            self.env._(
                "Just before, at %(when)s, authenticate was rejected for %(login)s: %(cause)s.",
                when=self._moment(before.last_seen),
                login=before.login or "?",
                cause=self.env._(causes.get(before.cause).title),
            )
        ]

    def _explain_integration(self):
        """Tell how the integration was identified, and when its last successful call was."""
        integration = self._known_integration()
        if not integration:
            return []
        lines = []
        if self.attribution == "address":
            lines.append(
                self.env._(
                    "The call does not name an integration. Only %(name)s recently made successful"
                    " calls from %(address)s.",
                    name=integration.name,
                    address=self.remote_addr,
                )
            )
        used = integration.key_ids.filtered("last_used_at").sorted("last_used_at")[-1:]
        if used:
            lines.append(
                self.env._(
                    "The last successful call of %(name)s was on %(when)s, from %(address)s with"
                    " the key %(key)s.",
                    name=integration.name,
                    when=self._moment(used.last_used_at),
                    address=used.last_used_address or self.env._("an unknown address"),
                    key=used.display_name,
                )
            )
        return lines

    # What it reads ---------------------------------------------------------------------------

    def _known_key(self):
        """Return the key of this attempt; empty if deleted, as the log has no foreign keys."""
        return self._unless_gone(self.sudo().key_id)

    def _known_user(self):
        return self._unless_gone(self.sudo().user_id)

    def _known_integration(self):
        integration = self._unless_gone(self.sudo().integration_id)
        return integration if integration and self._may_see(integration) else integration.browse()

    @staticmethod
    def _unless_gone(record):
        """Like ``exists``, but with one query for all prefetched rows."""
        try:
            record.mapped("create_date")
        except MissingError:
            return record.browse()
        return record

    def _nearest_login(self):
        """Return the login most similar to the unknown one, and how they differ; or None."""
        found = NEAREST_LOGIN.search(self.login or "")
        if not found:
            return None
        how = found["how"].replace("at distance", "").strip()
        if how.isdigit():
            how = self.env._("(%(count)s different characters)", count=how)
        elif how:
            how = self.env._("(different capitalization or spaces)")
        return found["login"], how

    def _nearest_integration(self):
        """Return the integration of the login most similar to the unknown one."""
        near = self._nearest_login()
        integrations = self.env["auth.integration"].with_context(active_test=False)
        return near and integrations.sudo().search([("login", "=", near[0])], limit=1).filtered(
            self._may_see
        )
