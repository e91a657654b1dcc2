import { Component, onMounted, onWillUnmount, xml } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

const INTERVAL = 1000; // milliseconds

/**
 * Reads a diagnosis anew while it waits or runs, so that each check shows as soon as it is made.
 */
class DiagnosisProgress extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps };

    setup() {
        let timer;
        const poll = async () => {
            const { record } = this.props;
            if (["waiting", "running"].includes(record.data.state)) {
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

registry.category("view_widgets").add("auth_integration_diagnosis_progress", {
    component: DiagnosisProgress,
});
