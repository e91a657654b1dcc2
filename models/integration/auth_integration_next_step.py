from odoo import api, fields, models

from ...tools.integration import networks
from ...tools.key import native_scope


class AuthIntegration(models.Model):
    """The next step for an integration, and what only waits for the next call."""

    _inherit = "auth.integration"

    usable_key_count = fields.Integer(
        "Active Keys",
        compute="_compute_usable_key_count",
        help="Keys that are neither expired, revoked, replaced nor blocked.",
    )
    next_step = fields.Selection(
        [
            ("restore_user", "Restore User"),
            ("claim", "Claim New Key"),
            ("issue_key", "Create Key"),
        ],
        compute="_compute_next_step",
        help="The action that the form offers first.",
    )
    box_fix = fields.Char(
        compute="_compute_box_fix", help="The next step, where the issue on the form offers it."
    )
    claimed_rotation_id = fields.Many2one(
        "auth.integration.rotation", compute="_compute_claimed_rotation_id", compute_sudo=True,
        help="The rotation whose new key was claimed and has not been used yet.",
    )
    claimed_prefix = fields.Char(
        "Prefix", compute="_compute_claimed_rotation_id", compute_sudo=True
    )
    old_key_text = fields.Char(
        compute="_compute_old_key_text", compute_sudo=True,
        help="Until when the key works that an unused key of this integration replaces.",
    )
    networks_warning = fields.Char(compute="_compute_networks_warning", compute_sudo=True)

    @api.depends("key_ids", "user_id.active", "active")
    def _compute_usable_key_count(self):
        """Count the keys that :meth:`auth.integration.key._blocked_reason` does not block.

        One query counts them for many integrations.
        """
        counts = dict.fromkeys(self, 0)
        for integration, scope, count in self.env["auth.integration.key"]._read_group(
            [("integration_id", "in", self.ids), ("is_live", "=", True)],
            ["integration_id", "scope"],
            ["__count"],
        ):
            if scope != native_scope.RESTRICTED:
                counts[integration] = counts.get(integration, 0) + count
        for integration in self:
            works = integration.active and integration.sudo().user_id.active
            integration.usable_key_count = works and counts.get(integration._origin, 0)

    def _usable_keys(self):
        """Return the keys of one integration that can be used now, newest first."""
        keys = self.sudo().key_ids.filtered(lambda key: key.is_live and not key._blocked_reason())
        return keys.sorted("id", reverse=True)

    @api.depends("active", "user_active")
    @api.depends_context("uid")
    def _compute_next_step(self):
        for integration in self:
            integration.next_step = integration._next_step()

    @api.depends("next_step", "main_finding_ids", "is_setting_up", "is_never_called")
    @api.depends_context("uid")
    def _compute_box_fix(self):
        for integration in self:
            has_box = not (integration.is_setting_up and integration.is_never_called)
            boxes = integration.main_finding_ids.filtered("is_next_step")
            integration.box_fix = has_box and boxes.fix

    def _next_step(self):
        if not self._origin.id or not self.active:
            return False
        if not self.user_active:
            return "restore_user"
        if self.has_key_to_claim:
            return "claim"
        # During the setup, the form has buttons of its own.
        if self.is_setting_up or self.usable_key_count:
            return False
        return "issue_key"

    @api.depends("key_ids", "main_finding_ids")
    def _compute_claimed_rotation_id(self):
        """Find the most urgent claimed rotation that no issue on the form mentions already."""
        rotations = self.env["auth.integration.rotation"].search(
            [
                ("integration_id", "in", self.ids),
                ("claimed_by", "!=", False),
                ("cancelled_at", "=", False),
                ("state", "=", "delivered"),
            ]
        ).grouped("integration_id")
        for integration in self:
            of_one = rotations.get(integration._origin, self.env["auth.integration.rotation"])
            said = integration.main_finding_ids.filtered(
                lambda finding: finding.code in ("key_expiring", "rotation_overdue")
            ).key_id
            of_one = of_one.filtered(lambda r, said=said: r.old_key_id not in said)
            integration.claimed_rotation_id = of_one.sorted(
                lambda rotation: rotation.deadline or fields.Datetime.now().max
            )[:1]
            integration.claimed_prefix = integration.claimed_rotation_id.new_key_id.prefix

    @api.depends("key_ids", "policy_id")
    @api.depends_context("lang", "tz")
    def _compute_old_key_text(self):
        for integration in self:
            unused = integration.key_ids.filtered(
                lambda key: key.is_live and not key.first_used_at
            )
            old = unused.replaces_id.filtered("is_live").sorted(
                lambda key: key.effective_end or fields.Datetime.now().max
            )[:1]
            integration.old_key_text = bool(old) and old._replacement_text(integration.policy_id)

    def action_view_claimed_rotation(self):
        """Open the rotation whose new key must be installed."""
        self.ensure_one()
        self.check_access("read")
        return self.claimed_rotation_id._get_records_action()

    @api.depends("allowed_networks")
    @api.depends_context("lang")
    def _compute_networks_warning(self):
        """Warn if the list excludes the last caller's address; that may be intended."""
        for integration in self:
            integration.networks_warning = integration._networks_warning()

    def _networks_warning(self):
        used = self._origin.key_ids.filtered("last_used_at").sorted("last_used_at")[-1:]
        try:
            allowed = networks.parse(self.allowed_networks)
        except ValueError:  # reported when saving
            return False
        if not used.last_used_address or networks.contains(allowed, used.last_used_address):
            return False
        return self.env._(
            "The last successful call came from %(address)s, which this list does not allow.",
            address=used.last_used_address,
        )
