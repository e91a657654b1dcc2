import { Component, useExternalListener, useRef, xml } from "@odoo/owl";
import { ConfirmationDialog } from "@web/core/confirmation_dialog/confirmation_dialog";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

const SHOWN = ".o_field_auth_integration_copy";
const COPY = `${SHOWN} .o_clipboard_button`;
const CLOSE = ".modal-footer button";

/**
 * Has a dialog ask before Escape or × closes it: what it shows is shown once. Its own button asks
 * unless something of it was copied, by the button for that or by selecting it.
 */
class ConfirmClose extends Component {
    static template = xml`<span class="d-none" t-ref="root"/>`;
    static props = { ...standardWidgetProps, isSecret: Boolean };

    setup() {
        this.dialog = useService("dialog");
        this.root = useRef("root");
        this.isCopied = false;
        if (this.env.dialogData) {
            this.env.dialogData.dismiss = () => this.untilConfirmed();
            useExternalListener(window, "click", (ev) => this.onClick(ev), { capture: true });
            useExternalListener(document, "selectionchange", () => this.onSelection());
        }
    }

    /** The closest part of this dialog that a selector names around a node. */
    around(node, selector) {
        const found = (node?.nodeType === Node.TEXT_NODE ? node.parentElement : node)?.closest?.(
            selector
        );
        return this.root.el?.closest(".modal")?.contains(found) ? found : undefined;
    }

    onSelection() {
        const selection = document.getSelection();
        if (!selection.isCollapsed && this.around(selection.anchorNode, SHOWN)) {
            this.isCopied = true;
        }
    }

    async onClick(ev) {
        if (this.around(ev.target, COPY)) {
            this.isCopied = true;
        }
        const button = this.around(ev.target, CLOSE);
        if (button && !this.isCopied) {
            ev.preventDefault();
            ev.stopPropagation();
            await this.untilConfirmed();
            this.isCopied = true; // or so they say
            button.click();
        }
    }

    /** The dialog is closed when the promise is kept, which it is once somebody says so. */
    untilConfirmed() {
        return new Promise((resolve) => {
            this.dialog.add(ConfirmationDialog, {
                title: this.props.isSecret
                    ? _t("Have you copied the secret?")
                    : _t("Have you copied the key?"),
                body: _t("It is shown only once and is lost when you close the dialog."),
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
    extractProps: ({ attrs }) => ({ isSecret: attrs.of === "secret" }),
});
