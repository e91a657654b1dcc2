import { _t } from "@web/core/l10n/translation";
import { deserializeDate } from "@web/core/l10n/dates";
import { registry } from "@web/core/registry";
import { formatInteger } from "@web/views/fields/formatters";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component, xml } from "@odoo/owl";

const HEIGHT = 22; // above the axis and below it
const STEP = 20; // from one day to the next
const BAR = 14;
const SMALLEST = 3; // one call among thousands is still seen

/** Height of a bar for a count, where `largest` is as high as can be. */
export function barHeight(count, largest) {
    return count && Math.max(SMALLEST, Math.round((count / largest) * HEIGHT));
}

/** Calls of some days: accepted ones upward, rejected ones downward, both on one scale. */
export class CallSparklineField extends Component {
    static template = xml`
        <div class="o_auth_integration_sparkline">
            <svg role="img" t-att-aria-label="description" t-att-viewBox="viewBox" t-att-height="height"
                 preserveAspectRatio="none" focusable="false">
                <g t-foreach="bars" t-as="bar" t-key="bar.day">
                    <title t-out="bar.title"/>
                    <rect t-att-x="bar.x" y="0" t-att-width="width" t-att-height="height" fill="transparent"/>
                    <rect class="o_accepted" t-att-x="bar.x" t-att-y="axis - bar.up" t-att-width="width" t-att-height="bar.up"/>
                    <rect class="o_rejected" t-att-x="bar.x" t-att-y="axis + 1" t-att-width="width" t-att-height="bar.down"/>
                </g>
                <line x1="0" t-att-x2="length" t-att-y1="axis + 0.5" t-att-y2="axis + 0.5"/>
            </svg>
            <div class="d-flex flex-wrap column-gap-3 small" aria-hidden="true">
                <span><i class="fa fa-arrow-up me-1" t-att-class="total('accepted') ? 'text-success' : 'text-muted'"/><t t-out="accepted"/></span>
                <span><i class="fa fa-arrow-down me-1" t-att-class="total('rejected') ? 'text-danger' : 'text-muted'"/><t t-out="rejected"/></span>
                <span t-out="period"/>
            </div>
        </div>`;
    static props = { ...standardFieldProps };

    setup() {
        this.period = _t("7 days");
        this.width = BAR;
        this.axis = HEIGHT;
        this.height = 2 * HEIGHT + 1;
    }

    get days() {
        return this.props.record.data[this.props.name] || [];
    }
    get length() {
        return this.days.length * STEP;
    }
    get viewBox() {
        return `0 0 ${this.length} ${this.height}`;
    }
    get bars() {
        const largest = Math.max(...this.days.flatMap((day) => [day.accepted, day.rejected]));
        return this.days.map((day, place) => ({
            day: day.day,
            title: this.describe(day),
            x: place * STEP + (STEP - BAR) / 2,
            up: barHeight(day.accepted, largest),
            down: barHeight(day.rejected, largest),
        }));
    }
    get accepted() {
        return _t("%s accepted", formatInteger(this.total("accepted")));
    }
    get rejected() {
        return _t("%s rejected", formatInteger(this.total("rejected")));
    }
    /** What a screen reader says instead of the picture: the sums, then the days with rejections. */
    get description() {
        const rejecting = this.days.filter((day) => day.rejected).map((day) => this.describe(day));
        return [
            _t("Calls in the last 7 days: %(accepted)s, %(rejected)s.", {
                accepted: this.accepted,
                rejected: this.rejected,
            }),
            ...rejecting,
        ].join(" ");
    }

    total(kind) {
        return this.days.reduce((sum, day) => sum + day[kind], 0);
    }
    describe(day) {
        return _t("%(day)s: %(accepted)s accepted, %(rejected)s rejected.", {
            day: deserializeDate(day.day).toLocaleString({ weekday: "long", day: "numeric", month: "short" }),
            accepted: formatInteger(day.accepted),
            rejected: formatInteger(day.rejected),
        });
    }
}

registry.category("fields").add("auth_integration_call_sparkline", {
    component: CallSparklineField,
    displayName: _t("Calls by Day"),
    supportedTypes: ["json"],
});
