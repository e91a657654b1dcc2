import { Component, xml } from "@odoo/owl";
import { evaluateBooleanExpr } from "@web/core/py_js/py";
import { registry } from "@web/core/registry";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";
import { usePolling } from "./use_polling";

const INTERVAL = 1000; // milliseconds, where the widget names no other

/**
 * Reads the record of a form anew while a condition on its fields holds, so that what the server
 * does shows as soon as it is done: `<widget name="auth_integration_refresh" while="is_sending"/>`.
 * Not at all while nobody looks at the page.
 */
class FormRefresh extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps, condition: String, interval: Number };

    setup() {
        usePolling(() => this.refresh(), this.props.interval);
    }

    async refresh() {
        const { record, condition } = this.props;
        if (document.hidden || record.dirty) {
            return;
        }
        if (evaluateBooleanExpr(condition, record.evalContextWithVirtualIds)) {
            await record.load();
        }
    }
}

registry.category("view_widgets").add("auth_integration_refresh", {
    component: FormRefresh,
    extractProps: ({ attrs }) => ({
        condition: attrs.while,
        interval: Number(attrs.interval) || INTERVAL,
    }),
});
