import { Component, onMounted, onWillUnmount, xml } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { evaluateBooleanExpr } from "@web/core/py_js/py";
import { registry } from "@web/core/registry";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

const INTERVAL = 1000; // milliseconds

/**
 * Reads the record of a form anew while a condition on its fields holds, so that what the server
 * does shows as soon as it is done: `<widget name="auth_integration_refresh" while="is_sending"/>`.
 */
class FormRefresh extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps, condition: String };

    setup() {
        let timer;
        const poll = async () => {
            const { record, condition } = this.props;
            if (!record.dirty && evaluateBooleanExpr(condition, record.evalContextWithVirtualIds)) {
                await record.load();
            }
            if (timer) {
                timer = browser.setTimeout(poll, INTERVAL);
            }
        };
        onMounted(() => {
            timer = browser.setTimeout(poll, INTERVAL);
        });
        onWillUnmount(() => {
            browser.clearTimeout(timer);
            timer = undefined;
        });
    }
}

registry.category("view_widgets").add("auth_integration_refresh", {
    component: FormRefresh,
    extractProps: ({ attrs }) => ({ condition: attrs.while }),
});
