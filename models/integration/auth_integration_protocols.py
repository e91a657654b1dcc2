from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ...tools.key.key_policy import KEY_CHANNELS

FLAGS = {f"allowed_channel_{channel}": channel for channel in KEY_CHANNELS}


class AuthIntegration(models.Model):
    """Which protocols the keys of an integration may use, as one field and as check boxes."""

    _inherit = "auth.integration"

    allowed_channels = fields.Char(
        "Allowed Protocols",
        tracking=True,
        help=(
            "Comma-separated protocols: xmlrpc, jsonrpc, json2, http. Leave empty to allow all"
            " protocols."
        ),
    )
    # Writable: create() and write() apply them to ``allowed_channels``.
    allowed_channel_xmlrpc = fields.Boolean(
        "XML-RPC", compute="_compute_allowed_channel_flags", readonly=False
    )
    allowed_channel_jsonrpc = fields.Boolean(
        "JSON-RPC", compute="_compute_allowed_channel_flags", readonly=False
    )
    allowed_channel_json2 = fields.Boolean(
        "JSON-2", compute="_compute_allowed_channel_flags", readonly=False
    )
    allowed_channel_http = fields.Boolean(
        "HTTP Routes", compute="_compute_allowed_channel_flags", readonly=False
    )
    allowed_protocols = fields.Char("Protocols", compute="_compute_allowed_channel_flags")

    @api.depends("allowed_channels")
    def _compute_allowed_channel_flags(self):
        for integration in self:
            allowed = integration._allowed_channel_set()
            for name, channel in FLAGS.items():
                integration[name] = channel in allowed
            # Shown as text to users who cannot change the flags.
            labels = [
                self._fields[name]._description_string(self.env)
                for name, channel in FLAGS.items() if channel in allowed
            ]
            integration.allowed_protocols = ", ".join(labels) or self.env._("All protocols")

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._with_channels(vals) for vals in vals_list])

    def write(self, vals):
        """Extend :meth:`models.BaseModel.write`: flags add or remove their own protocol only.

        An inverse method cannot do this: the ORM shows it False for the flags that are not written.
        """
        if not FLAGS.keys() & vals.keys():
            return super().write(vals)
        self.check_access("write")
        for integration in self:
            super(AuthIntegration, integration).write(integration._with_channels(vals))
        return True

    def _with_channels(self, vals):
        """Return values in which the flags have been applied to ``allowed_channels``."""
        flags = {channel: vals[name] for name, channel in FLAGS.items() if name in vals}
        if not flags:
            return vals
        text = vals.get("allowed_channels", bool(self) and self.allowed_channels)
        before = self._parse_channels(text)
        chosen = [c for c in KEY_CHANNELS if flags.get(c, c in before)]
        rest = {name: value for name, value in vals.items() if name not in FLAGS}
        return rest | {"allowed_channels": ",".join(chosen) or False}

    def _allowed_channel_set(self):
        self.ensure_one()
        return self._parse_channels(self.allowed_channels)

    @staticmethod
    def _parse_channels(text):
        return {channel.strip() for channel in (text or "").split(",")} - {""}

    @api.constrains("allowed_channels")
    def _check_allowed_channels(self):
        for integration in self:
            unknown = integration._allowed_channel_set() - set(KEY_CHANNELS)
            if unknown:
                raise ValidationError(
                    self.env._(
                        "Unknown protocol %(unknown)s. Choose from: %(known)s.",
                        unknown=", ".join(sorted(unknown)),
                        known=", ".join(KEY_CHANNELS),
                    )
                )
