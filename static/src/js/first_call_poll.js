import { Component, xml } from "@odoo/owl";
import { serializeDateTime } from "@web/core/l10n/dates";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";
import { usePolling } from "./use_polling";

const INTERVAL = 3000; // milliseconds
const FIRST_CALL = ["is_never_called", "last_failure", "live_key_count"];
const NEXT_CALL = ["status", "last_failure"];
const HEALTH = ["status", "finding_count", "last_failure", "open_incident_count"];

/**
 * Reads the form of an integration anew once its external system has made the call that the form
 * waits for, the first one or the next after a fix, once a call is rejected, or once an issue or
 * incident opens or closes, unless somebody is changing it. Asks for a few fields only, and not at all while nobody looks at the page.
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

    /** What a call may change. */
    get watched() {
        const { resId, data } = this.props.record;
        if (!resId || document.hidden) {
            return [];
        }
        if (data.status === "waiting") {
            return NEXT_CALL;
        }
        if (data.is_never_called) {
            return data.live_key_count ? FIRST_CALL : [];
        }
        return data.active ? HEALTH : [];
    }

    async lookForCall() {
        const { record } = this.props;
        const { watched } = this;
        if (!watched.length) {
            return;
        }
        const [now] = await this.orm.silent.read(record.resModel, [record.resId], watched);
        const { last_failure: rejected } = record.data;
        const before = {
            ...record.data,
            last_failure: rejected ? serializeDateTime(rejected) : false,
        };
        const isNews = watched.some((name) => now[name] !== before[name]);
        if (isNews && !(await record.isDirty())) {
            await record.load();
        }
    }
}

registry.category("view_widgets").add("auth_integration_first_call_poll", {
    component: FirstCallPoll,
});
