import { Component, onWillUnmount, xml } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

/**
 * Opens the page that the context of a dialog names once the dialog is closed, however it is: what
 * was made is then on the screen.
 */
class PageAfter extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps };

    setup() {
        const action = useService("action");
        const page = this.props.record.context.auth_integration_page_after;
        onWillUnmount(() => {
            if (page) {
                // Not while the dialog is being removed, which the action service does itself.
                browser.setTimeout(() => action.doAction(page));
            }
        });
    }
}

registry.category("view_widgets").add("auth_integration_page_after", { component: PageAfter });
