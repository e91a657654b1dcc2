from odoo import api, fields, models

# Maximum length of a text that a user has entered, or that a receiver has answered.
MAX_TEXT = 80
MAX_ERROR = 200


class AuthIntegrationDigestLine(models.Model):
    """One notice in a digest: replace this key by a date, so many days before or after it."""

    _name = "auth.integration.digest.line"
    _description = "Notice of an API Key to Replace"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "replace_by, id"
    _rec_name = "key_id"
    _allow_sudo_commands = False

    digest_id = fields.Many2one(
        "auth.integration.digest", required=True, readonly=True, ondelete="cascade", index=True
    )
    user_id = fields.Many2one("res.users", required=True, readonly=True, ondelete="cascade")
    key_id = fields.Many2one(
        "auth.integration.key", required=True, readonly=True, ondelete="cascade"
    )
    integration_id = fields.Many2one(related="key_id.integration_id")
    replace_by = fields.Datetime(readonly=True)
    ends_at = fields.Datetime("Expires", required=True, readonly=True)
    days = fields.Integer(
        "Notice (Days)",
        readonly=True,
        help="Days before the Replace By date for this notice. Negative: after it.",
    )
    extended = fields.Boolean(
        readonly=True, help="The Replace By date had passed, but the key still worked."
    )
    advice = fields.Char(compute="_compute_advice")
    integration_title = fields.Char(compute="_compute_titles")
    key_title = fields.Char(compute="_compute_titles")

    _notice_uniq = models.UniqueIndex(
        "(key_id, user_id, replace_by, days)", "Each notice is sent only once."
    )

    @api.depends("key_id")
    def _compute_titles(self):
        """Shorten the names to the space in the mail."""
        for line in self:
            line.integration_title = _shortened(line.integration_id.name, MAX_TEXT)
            label = f"{line.key_id.prefix}…"
            name = _shortened(line.key_id.name, MAX_TEXT)
            line.key_title = f"{name} ({label})" if name else label

    @api.depends("key_id")
    def _compute_advice(self):
        """Compute what the user can do, from the state of the key's rotation."""
        rotations = {
            rotation.old_key_id: rotation
            for rotation in self.env["auth.integration.rotation"].search(
                [("old_key_id", "in", self.key_id.ids), ("cancelled_at", "=", False)]
            )
        }
        for line in self:
            line.advice = line._advice(rotations.get(line.key_id))

    def _advice(self, rotation):
        if not rotation:
            return self.env._("It has no replacement yet. Rotate it, or let it expire.")
        if rotation.state == "delivered":
            return self.env._(
                "Its replacement %s… was delivered but not used yet. Install it.",
                rotation.new_key_id.prefix,
            )
        if rotation.delivery == "claim":
            return self.env._(
                "Claim the new key and install it. The old key keeps working until then."
            )
        if rotation.last_error:
            return self.env._(
                "The new key could not be delivered: %s",
                _shortened(rotation.last_error, MAX_ERROR),
            )
        if rotation.is_sent:
            return self.env._("The new key has not been sent yet.")
        return self.env._("The external system has not fetched its new key yet.")


def _shortened(text, length):
    """Return a text as one line of at most ``length`` characters, ending with "…" if it was cut."""
    text = " ".join((text or "").split())
    return text if len(text) <= length else f"{text[:length - 1]}…"
