import shlex

from odoo import models

from ...tools.access.access_rules import LISTED
from ...tools.integration import code_samples, rotate_command

# The URL paths of each protocol.
PATHS = {
    "json2": "/json/2/<model>/<method>",
    "xmlrpc": "/xmlrpc/2/common, /xmlrpc/2/object",
    "jsonrpc": "/jsonrpc",
    "http": "",
}


class AuthIntegration(models.Model):
    """The connection sheet: everything needed to connect an external system, except the key."""

    _inherit = "auth.integration"

    def action_connection_sheet(self):
        """Open the printable sheet of this integration."""
        self.ensure_one()
        self.check_access("read")
        return {
            "type": "ir.actions.act_url",
            "url": f"/auth_integration/sheet/{self.id}",
            "target": "new",
        }

    def action_diagnose(self):
        """Diagnose this integration and show the result."""
        self.ensure_one()
        return self.env["auth.integration.diagnosis"]._open_for(self)

    def _connection_sheet_values(self):
        """Return the values for the sheet, without any key or prefix: sheets are passed on.

        :raise AccessError: the current user may not see this integration
        """
        self.ensure_one()
        self.check_access("read")
        url = self.get_base_url().rstrip("/")
        allowed = self._allowed_channel_set()
        labels = dict(self.env["auth.attempt"]._selection_channel())
        sheet = self.sudo()
        return {
            "integration": sheet,
            "url": url,
            "database": self.env.cr.dbname,
            "protocols": [
                (labels[channel], path)
                for channel, path in PATHS.items()
                if not allowed or channel in allowed
            ],
            "networks": [
                line.strip() for line in (sheet.allowed_networks or "").splitlines() if line.strip()
            ],
            "access": self._access_on_sheet(),
            "doctor": self._doctor_line(url, sheet.login, allowed),
            "rotate": sheet.policy_id.delivery == "self_service" and rotate_command.cron_line(
                url, self.env.cr.dbname, sheet.code, bool(sheet.totp_enrolled_at)
            ),
            "examples": code_samples.examples(
                url, self.env.cr.dbname, sheet.login, allowed
            ),
        }

    def _doctor_line(self, url, login, allowed):
        """Return the command that runs doctor.py, with an allowed protocol if restricted."""
        words = ["python3", "doctor.py", url, "--db", self.env.cr.dbname, "--login", login]
        if protocols := [name for name, path in PATHS.items() if path and name in allowed]:
            words += ["--protocol", protocols[0]]
        return shlex.join(words)

    def _access_on_sheet(self):
        """Return what the working keys may do: pairs of a text and the names of its operations."""
        found = {}
        for key in self.sudo().key_ids.filtered("is_live").sorted("id"):
            listed = key.operation_ids.filtered(
                lambda operation, key=key: key.access == LISTED and operation.allowed
            )
            found[key.access_summary] = listed.mapped("display_name")
        return list(found.items())
