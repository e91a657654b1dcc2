import { odooExceptionTitleMap, WarningDialog } from "@web/core/errors/error_dialogs";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";

// Core knows its own exceptions by name only: a subclass would be shown as a crash.
const TOOLS = "odoo.addons.auth_integration.tools.delivery";
const TITLES = {
    [`${TOOLS}.secret_box.NoKeyError`]: _t("Encryption key missing"),
    [`${TOOLS}.secret_box.UnreadableError`]: _t("Secret cannot be read"),
    [`${TOOLS}.signatures.SignatureError`]: _t("Signing secret cannot be used"),
};

for (const [name, title] of Object.entries(TITLES)) {
    odooExceptionTitleMap.set(name, title);
    registry.category("error_dialogs").add(name, WarningDialog);
}
