import { Component, xml } from "@odoo/owl";
import { serializeDateTime } from "@web/core/l10n/dates";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";
import { usePolling } from "./use_polling";

const INTERVAL = 3000; // milliseconds
const WATCHED = ["is_never_called", "last_failure", "live_key_count"];

/**
 * Reads the form of an integration anew once its external system has made a call, unless somebody
 * is changing it. Asks for a few fields only, and not at all while nobody looks at the page.
 */
class FirstCallPoll extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps };

    setup() {
        this.orm = useService("orm");
        usePolling(async () => {
            try {
                await this.lookForCall();
            } catch {
                // The connection is lost, or the session has ended: the next click says so.
            }
        }, INTERVAL);
    }

    get isWaiting() {
        const { resId, data } = this.props.record;
        return resId && data.is_never_called && data.live_key_count && !document.hidden;
    }

    async lookForCall() {
        const { record } = this.props;
        if (!this.isWaiting) {
            return;
        }
        const [now] = await this.orm.silent.read(record.resModel, [record.resId], WATCHED);
        const { last_failure: before } = record.data;
        const isNews =
            !now.is_never_called ||
            now.live_key_count !== record.data.live_key_count ||
            (now.last_failure || "") !== (before ? serializeDateTime(before) : "");
        if (isNews && !(await record.isDirty())) {
            await record.load();
        }
    }
}

registry.category("view_widgets").add("auth_integration_first_call_poll", {
    component: FirstCallPoll,
});
