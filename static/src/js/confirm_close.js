import { Component, xml } from "@odoo/owl";
import { ConfirmationDialog } from "@web/core/confirmation_dialog/confirmation_dialog";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

/**
 * Has a dialog ask before Escape or × closes it: what it shows is shown once. Its own button closes
 * it without a question.
 */
class ConfirmClose extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps };

    setup() {
        this.dialog = useService("dialog");
        if (this.env.dialogData) {
            this.env.dialogData.dismiss = () => this.untilConfirmed();
        }
    }

    /** The dialog is closed when the promise is kept, which it is once somebody says so. */
    untilConfirmed() {
        return new Promise((resolve) => {
            this.dialog.add(ConfirmationDialog, {
                title: _t("Close Dialog"),
                body: _t(
                    "Have you copied it? It is shown only once and is lost when you close the dialog.",
                ),
                // First what loses nothing: it has the focus, and Escape means the same.
                confirmLabel: _t("Keep Open"),
                confirm: () => {},
                cancelLabel: _t("Close Dialog"),
                cancel: resolve,
                dismiss: () => {},
            });
        });
    }
}

registry.category("view_widgets").add("auth_integration_confirm_close", {
    component: ConfirmClose,
});
