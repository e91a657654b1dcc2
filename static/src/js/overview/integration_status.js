import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component, xml } from "@odoo/owl";

/** How each status looks: an icon beside the word, so that no color carries it alone. */
export const STATUS = {
    failing: { icon: "fa-times-circle", color: "bg-danger-subtle text-danger-emphasis", text: "text-danger" },
    rejected: { icon: "fa-exclamation-circle", color: "bg-warning-subtle text-warning-emphasis", text: "text-warning" },
    expiring: { icon: "fa-hourglass-half", color: "bg-warning-subtle text-warning-emphasis", text: "text-warning" },
    waiting: { icon: "fa-clock-o", color: "bg-info-subtle text-info-emphasis", text: "text-info" },
    to_set_up: { icon: "fa-wrench", color: "bg-info-subtle text-info-emphasis", text: "text-info" },
    working: { icon: "fa-check-circle", color: "bg-success-subtle text-success-emphasis", text: "text-success" },
};

export class IntegrationStatusField extends Component {
    static template = xml`
        <span t-if="status" class="badge rounded-pill fw-bold" t-att-class="status.color">
            <i class="fa me-1" t-att-class="status.icon" aria-hidden="true"/>
            <t t-out="label"/>
        </span>`;
    static props = { ...standardFieldProps };

    get value() {
        return this.props.record.data[this.props.name];
    }
    get status() {
        return STATUS[this.value];
    }
    get label() {
        const { selection } = this.props.record.fields[this.props.name];
        return Object.fromEntries(selection)[this.value];
    }
}

registry.category("fields").add("auth_integration_status", {
    component: IntegrationStatusField,
    displayName: _t("Status of an Integration"),
    supportedTypes: ["selection"],
});
