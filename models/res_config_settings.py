from odoo import api, fields, models
from odoo.addons.base.models.res_users import check_identity
from odoo.exceptions import AccessError, ValidationError

from ..tools import settings
from ..tools.incident import quiet_hours
from ..tools.integration import networks
from .incident.auth_integration_alert_recipients import QUIET_DEFAULT

HOURS = [(str(hour), f"{hour:02}:00") for hour in range(24)]
PARAMETERS = "auth_integration."
EXEMPT_NETWORKS = f"{PARAMETERS}throttle_exempt_networks"


class ResConfigSettings(models.TransientModel):
    """The settings of this app; their defaults and limits are in ``tools/settings.py``."""

    _inherit = "res.config.settings"

    auth_integration_attempt_keep_failures_days = fields.Integer(
        "Keep rejected attempts (days)",
        config_parameter="auth_integration.attempt_keep_failures_days",
        default=settings.DEFAULTS["attempt_keep_failures_days"],
    )
    auth_integration_attempt_keep_successes_days = fields.Integer(
        "Keep accepted attempts (days)",
        config_parameter="auth_integration.attempt_keep_successes_days",
        default=settings.DEFAULTS["attempt_keep_successes_days"],
    )
    auth_integration_attempt_max_rows = fields.Integer(
        "Maximum log size (rows)",
        config_parameter="auth_integration.attempt_max_rows",
        default=settings.DEFAULTS["attempt_max_rows"],
        help=(
            "When the log exceeds this size, the oldest rows are deleted first, regardless of age."
        ),
    )
    auth_integration_attempt_new_rows_per_minute = fields.Integer(
        "New rows per minute",
        config_parameter="auth_integration.attempt_new_rows_per_minute",
        default=settings.DEFAULTS["attempt_new_rows_per_minute"],
        help="Log rows added per minute, a quarter of them for one address. Beyond this limit,"
             " similar rejected attempts are grouped.",
    )
    auth_integration_max_active_keys = fields.Integer(
        "Active keys per integration",
        config_parameter="auth_integration.max_active_keys",
        default=settings.DEFAULTS["max_active_keys"],
        help="Maximum number of active keys per integration. A key and its replacement count as"
        " one.",
    )
    auth_integration_key_keep_ended_days = fields.Integer(
        "Keep inactive keys (days)",
        config_parameter="auth_integration.key_keep_ended_days",
        default=settings.DEFAULTS["key_keep_ended_days"],
        help="Calls made with an inactive key can be traced back to that key during this period.",
    )
    auth_integration_is_copy = fields.Boolean(
        "Copied database", compute="_compute_auth_integration_is_copy"
    )

    def _compute_auth_integration_is_copy(self):
        self.auth_integration_is_copy = self.env["auth.integration.database"].sudo()._is_copy()

    @check_identity
    def action_auth_integration_confirm_move(self):
        """Confirm that this database was moved, not copied, so that it rotates keys.

        :raise AccessError: not a Settings administrator
        """
        if not self.env.is_system():
            raise AccessError(self.env._("Only a Settings administrator can confirm a move."))
        self.env["auth.integration.database"].sudo()._confirm_move()
        return {"type": "ir.actions.client", "tag": "reload"}
    auth_integration_throttle_failures = fields.Integer(
        "Failed sign-in attempts",
        config_parameter="auth_integration.throttle_failures",
        default=settings.DEFAULTS["throttle_failures"],
    )
    auth_integration_throttle_minutes = fields.Integer(
        "Pause (minutes)",
        config_parameter="auth_integration.throttle_minutes",
        default=settings.DEFAULTS["throttle_minutes"],
    )
    # ``config_parameter`` does not support multi-line text fields.
    auth_integration_throttle_exempt_networks = fields.Text("Shared addresses")

    @api.constrains("auth_integration_throttle_failures", "auth_integration_throttle_minutes")
    def _check_throttle_bounds(self):
        names = {
            "throttle_failures": self.env._("Failed sign-in attempts"),
            "throttle_minutes": self.env._("Pause (minutes)"),
        }
        for name, label in names.items():
            smallest, largest = settings.BOUNDS[name]
            for record in self:
                if not smallest <= record[f"auth_integration_{name}"] <= largest:
                    raise ValidationError(
                        self.env._(
                            "%(setting)s: enter a number from %(smallest)s to %(largest)s.",
                            setting=label,
                            smallest=smallest,
                            largest=largest,
                        )
                    )

    @api.constrains("auth_integration_throttle_exempt_networks")
    def _check_throttle_exempt_networks(self):
        for record in self:
            try:
                networks.parse(record.auth_integration_throttle_exempt_networks)
            except networks.NetworkError as error:
                raise ValidationError(
                    self.env._("Shared addresses, %(problem)s", problem=str(error))
                ) from error

    @api.model
    def _get_classified_fields(self, fnames=None):
        """Extend :meth:`res.config.settings._get_classified_fields`: hide our parameters.

        Only Settings administrators may read or write them. Core's :meth:`default_get` and
        :meth:`set_values` take the parameters from here. Both are public, and on an empty recordset
        the latter removes every parameter without a default.
        """
        classified = super()._get_classified_fields(fnames)
        if not self.env.is_system():
            classified["config"] = [
                (name, parameter) for name, parameter in classified["config"]
                if not parameter.startswith(PARAMETERS)
            ]
        return classified

    @api.model
    def get_values(self):
        """Extend :meth:`res.config.settings.get_values` with the list of networks."""
        if not self.env.is_system():
            return super().get_values()
        parameters = self.env["ir.config_parameter"].sudo()
        return super().get_values() | {
            "auth_integration_throttle_exempt_networks": parameters.get_param(EXEMPT_NETWORKS)
        }

    def set_values(self):
        """Extend :meth:`res.config.settings.set_values` with the list of networks."""
        result = super().set_values()
        if self.env.is_system():
            self.env["ir.config_parameter"].sudo().set_param(
                EXEMPT_NETWORKS, self.auth_integration_throttle_exempt_networks
            )
        return result

    # Incidents and alerts
    auth_integration_incident_threshold = fields.Integer(
        "Rejected calls before an incident opens",
        config_parameter="auth_integration.incident_threshold",
        default=settings.DEFAULTS["incident_threshold"],
    )
    auth_integration_escalation_hours = fields.Integer(
        "Notify administrators after (hours)",
        config_parameter="auth_integration.escalation_hours",
        default=settings.DEFAULTS["escalation_hours"],
    )
    auth_integration_alert_quiet_hours = fields.Char(
        "Quiet hours",
        config_parameter="auth_integration.alert_quiet_hours",
        default=QUIET_DEFAULT,
    )
    auth_integration_has_quiet_hours = fields.Boolean(
        "Use quiet hours", compute="_compute_quiet_hours",
        inverse="_inverse_quiet_hours",
    )
    auth_integration_quiet_from = fields.Selection(
        HOURS, "Start Time", compute="_compute_quiet_hours", inverse="_inverse_quiet_hours"
    )
    auth_integration_quiet_to = fields.Selection(
        HOURS, "Until", compute="_compute_quiet_hours", inverse="_inverse_quiet_hours"
    )
    auth_integration_weekly_summary_mail = fields.Boolean(
        "Also send the weekly summary by email",
        config_parameter="auth_integration.weekly_summary_mail",
    )
    auth_integration_alert_url = fields.Char(related="company_id.alert_url", readonly=False)
    auth_integration_alert_secret_set_at = fields.Datetime(
        related="company_id.alert_secret_set_at"
    )

    @api.constrains("auth_integration_alert_quiet_hours")
    def _check_auth_integration_alert_quiet_hours(self):
        for record in self:
            text = record.auth_integration_alert_quiet_hours
            try:
                quiet_hours.parse("" if text == "off" else text)
            except ValueError as error:
                raise ValidationError(
                    self.env._("Enter quiet hours as two hours of the day, such as 20-7, or off.")
                ) from error

    @api.depends("auth_integration_alert_quiet_hours")
    def _compute_quiet_hours(self):
        """Show the parameter, such as ``20-7``, as two hours of a day."""
        for record in self:
            text = record.auth_integration_alert_quiet_hours
            try:
                hours = quiet_hours.parse("" if text == "off" else text)
            except ValueError:
                hours = None
            start, end = hours or quiet_hours.parse(QUIET_DEFAULT)
            record.auth_integration_has_quiet_hours = bool(hours)
            record.auth_integration_quiet_from, record.auth_integration_quiet_to = (
                str(start), str(end),
            )

    def _inverse_quiet_hours(self):
        for record in self:
            start, end = record.auth_integration_quiet_from, record.auth_integration_quiet_to
            is_set = record.auth_integration_has_quiet_hours and start and end
            record.auth_integration_alert_quiet_hours = f"{start}-{end}" if is_set else "off"

    def action_send_test_alert(self):
        """Send a test alert to the current user and the company's webhook; show the results."""
        result = self.env["auth.integration.alert"]._send_test()
        texts = [
            self.env._("Email: %s", result["mail"] or self.env._("sent to %s", self.env.user.email))
        ]
        if result["webhook"] is not False:
            texts.append(self.env._("Webhook: %s", result["webhook"] or self.env._("sent")))
        failed = bool(result["mail"] or result["webhook"])
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Test alert"),
                "message": "\n".join(texts),
                "type": "danger" if failed else "success",
                "sticky": failed,
            },
        }

    def action_new_alert_secret(self):
        """Open the dialog that creates the signing secret of the company's alerts."""
        self.check_access("write")
        return self.env.company._new_secret_action("auth.integration.alert.secret", "company_id")
