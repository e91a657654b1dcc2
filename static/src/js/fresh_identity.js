import { odooExceptionTitleMap, WarningDialog } from "@web/core/errors/error_dialogs";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { ORM } from "@web/core/orm_service";
import { patch } from "@web/core/utils/patch";

const REQUIRED = "odoo.addons.auth_integration.models.mixins.fresh_identity.IdentityCheckRequired";

/**
 * Some changes are saved only after an identity check: ask for it in core's dialog, then save again.
 */
export const freshIdentityService = {
    dependencies: ["action", "orm"],
    start(env, { action, orm }) {
        const confirmIdentity = async () => {
            const dialog = await orm.call("auth.integration", "confirm_identity");
            return new Promise((resolve) => {
                action.doAction(dialog, { onClose: (infos) => resolve(infos?.identity_confirmed) });
            });
        };
        patch(ORM.prototype, {
            call() {
                const promise = super.call(...arguments);
                const confirmed = promise.catch(async (error) => {
                    if (error.exceptionName === REQUIRED && (await confirmIdentity())) {
                        return super.call(...arguments);
                    }
                    throw error;
                });
                confirmed.abort = promise.abort;
                return confirmed;
            },
        });
    },
};

odooExceptionTitleMap.set(REQUIRED, _t("Identity Check"));
registry.category("error_dialogs").add(REQUIRED, WarningDialog);
registry.category("services").add("auth_integration_fresh_identity", freshIdentityService);
