import re
from datetime import datetime, time, timedelta
from math import ceil

import pytz
from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ...tools.integration import rotate_command
from ...tools.key.key_state import Lifetime


class AuthIntegrationPolicy(models.Model):
    """How long keys live, when they are replaced and how the new secret is delivered."""

    _name = "auth.integration.policy"
    _description = "API Key Policy"
    _order = "name, id"
    _allow_sudo_commands = False

    _inherit = ["auth.integration.free.text.mixin", "auth.integration.defaults.mixin"]
    _free_texts = {"name": 200, "notice_days": 200}

    name = fields.Char(required=True, translate=True)
    active = fields.Boolean(default=True)
    max_age_days = fields.Integer(
        "Key Lifetime (Days)",
        default=90,
        required=True,
        help="Keys should be replaced after this many days. Reminders count down to this date.",
    )
    overlap_days = fields.Integer(
        "Overlap (Days)",
        default=7,
        required=True,
        help="How long the old key keeps working after the new key is first used.",
    )
    notice_days = fields.Char(
        "Notices (Days Before Replace By)",
        default="30,14,7,3,1,0",
        required=True,
        help="Comma-separated days before the Replace By date. Rotation starts on the first one.",
    )
    rotation_lead_days = fields.Integer(
        "Rotation Starts (Days Before Replace By)",
        compute="_compute_rotation_lead_days",
        store=True,
        help=(
            "How many days before the Replace By date the rotation starts. This is the first"
            " notice."
        ),
    )
    dormant_days = fields.Integer(
        "Unused After (Days)",
        default=45,
        required=True,
        help="Keys unused for this long are reported so you can revoke them.",
    )
    auto_rotate = fields.Boolean(
        "Rotate Automatically", default=True, help=(
            "Start the rotation of a key automatically when it should be replaced."
        )
    )
    delivery = fields.Selection(
        "_selection_delivery",
        default="claim",
        required=True,
    )
    on_deadline = fields.Selection(
        [
            ("extend", "The old key keeps working and reminders continue"),
            ("enforce", "The old key expires"),
        ],
        default="extend",
        required=True,
        help="What happens if the new key is not used by the Replace By date.",
    )
    max_extension_days = fields.Integer(
        "Extension (Days)",
        default=30,
        required=True,
        help="How long a key keeps working after its Replace By date. 0: it expires on that date."
             " An administrator can also extend a key by at most this many days at a time.",
    )
    window_start = fields.Float(
        default=0.0,
        help="Rotation only runs between these hours. It can span midnight, such as 22:00 to 4:00.",
    )
    window_end = fields.Float(default=24.0)
    window_tz = fields.Selection(
        "_selection_timezone", "Window Time Zone", default="UTC", required=True
    )
    rotate_command = fields.Char("Cron Line", compute="_compute_rotate_command")
    integration_ids = fields.One2many("auth.integration", "policy_id", "Integrations")
    integration_count = fields.Integer(compute="_compute_integration_count")

    _name_uniq = models.Constraint("unique (name)", "A policy with this name already exists.")
    _days_positive = models.Constraint(
        "CHECK (max_age_days > 0 AND overlap_days >= 0 AND dormant_days > 0"
        " AND max_extension_days >= 0)",
        "The key lifetime must be positive. The overlap cannot be negative.",
    )

    @api.model
    def _selection_timezone(self):
        return self.env["res.users"]._fields["tz"].selection(self.env["res.users"])

    @api.model
    def _selection_delivery(self):
        """Return the ways to deliver a new key; see :class:`AuthIntegrationDelivery`."""
        methods = self.env["auth.integration.delivery"]._all()
        return [(code, method._label()) for code, method in sorted(methods.items())]

    @api.depends("notice_days")
    def _compute_rotation_lead_days(self):
        for policy in self:
            policy.rotation_lead_days = max(policy._notice_day_list(), default=0)

    def _compute_rotate_command(self):
        url = self.browse().get_base_url().rstrip("/")
        self.rotate_command = rotate_command.cron_line(url, self.env.cr.dbname, "app")

    @api.depends("integration_ids")
    def _compute_integration_count(self):
        counts = dict(
            self.env["auth.integration"]._read_group(
                [("policy_id", "in", self.ids)], ["policy_id"], ["__count"]
            )
        )
        for policy in self:
            policy.integration_count = counts.get(policy, 0)

    def write(self, vals):
        """Extend ``write``: a policy that is widened widens the keys of all its integrations."""
        self.check_access("write")
        integrations = self.env["auth.integration"].sudo().with_context(active_test=False)
        found = integrations.search([("policy_id", "in", self.ids)])
        with found.with_env(self.env)._checking_change():
            return super().write(vals)

    def action_view_integrations(self):
        """Show the integrations with this policy."""
        self.ensure_one()
        self.check_access("read")
        return self.env["auth.integration"]._get_records_action(
            name=self.env._("Integrations"),
            views=[(False, "list"), (False, "kanban"), (False, "form")],
            domain=[("policy_id", "=", self.id)],
        )

    def action_shorten_existing_keys(self):
        """Open the dialog that applies this policy to existing keys."""
        self.ensure_one()
        self.check_access("write")
        return self.env["auth.integration.shorten"]._get_records_action(
            name=self.env._("Shorten Existing Keys"),
            target="new",
            context={"default_policy_id": self.id},
        )

    def _shorten_existing_keys(self):
        """Make the keys of these policies' integrations end no later than the policies allow.

        :return: the keys that were changed
        """
        self.check_access("write")
        integrations = self.env["auth.integration"].with_context(active_test=False).sudo()
        return integrations.search([("policy_id", "in", self.ids)]).key_ids._shorten_to_policy()

    def _lifetime(self):
        """Return the lifetime of keys under this policy."""
        self.ensure_one()
        extends = self.on_deadline == "extend"
        return Lifetime(
            max_age=self.max_age_days,
            extension=self.max_extension_days if extends else 0,
            overlap=self.overlap_days,
        )

    def copy_data(self, default=None):
        """Extend ``copy_data``: give the copy a name that no policy has, archived or not."""
        copies = super().copy_data(default)
        if "name" in (default or {}):
            return copies
        policies = self.with_context(active_test=False)
        for policy, values in zip(self, copies, strict=True):
            values["name"] = policy.name
            while policies.search_count([("name", "=", values["name"])], limit=1):
                values["name"] = self.env._("%s (copy)", values["name"])
        return copies

    def _notice_day_list(self):
        """Return the notices as numbers of days, largest first.

        :raise ValueError: an entry is no whole number that PostgreSQL can read: one bad policy
            would break every query for the notices of all policies
        """
        self.ensure_one()
        parts = [part.strip() for part in (self.notice_days or "").split(",")]
        for part in parts:
            if not re.fullmatch("[0-9]{1,4}", part):
                raise ValueError(f"not a number of days: {part!r}")
        return sorted(set(map(int, parts)), reverse=True)

    def _is_in_window(self, moment):
        """Return whether rotation may run at a moment (naive UTC), by the policy's time zone."""
        self.ensure_one()
        local = pytz.utc.localize(moment).astimezone(pytz.timezone(self.window_tz or "UTC"))
        hour = local.hour + local.minute / 60
        if self.window_start < self.window_end:
            return self.window_start <= hour < self.window_end
        return hour >= self.window_start or hour < self.window_end  # over midnight

    def _next_in_window(self, moment):
        """Return when rotation may run next, from a moment on (naive UTC)."""
        if self._is_in_window(moment):
            return moment
        zone = pytz.timezone(self.window_tz or "UTC")
        local = pytz.utc.localize(moment).astimezone(zone).replace(tzinfo=None)
        start = datetime.combine(local, time()) + timedelta(
            minutes=ceil(round(self.window_start * 60, 3))
        )
        if start <= local:
            start += timedelta(days=1)
        return zone.localize(start).astimezone(pytz.utc).replace(tzinfo=None)

    @api.constrains("notice_days", "max_age_days", "overlap_days")
    def _check_notice_days(self):
        for policy in self:
            try:
                days = policy._notice_day_list()
            except ValueError:
                days = []
            if not days or min(days) < 0:
                raise ValidationError(
                    self.env._(
                        "Enter notices as whole numbers of days separated by commas, such as"
                        " 30,14,7,3,1,0. You entered: %(notices)s",
                        notices=policy.notice_days,
                    )
                )
            if days[0] >= policy.max_age_days:
                raise ValidationError(
                    self.env._(
                        "The first notice (%(notice)s days) must be shorter than the key lifetime"
                        " of %(lifetime)s days.",
                        notice=days[0],
                        lifetime=policy.max_age_days,
                    )
                )

    @api.constrains("window_start", "window_end")
    def _check_window(self):
        for policy in self:
            hours = (policy.window_start, policy.window_end)
            if min(hours) < 0 or max(hours) > 24 or hours[0] == hours[1]:
                raise ValidationError(
                    self.env._("The window must start and end at different hours, between 0:00"
                               " and 24:00.")
                )
