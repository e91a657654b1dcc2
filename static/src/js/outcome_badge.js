import { Component } from "@odoo/owl";
import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

const LOOKS = {
    accepted: { icon: "fa-check", color: "text-bg-success" },
    rejected: { icon: "fa-times", color: "text-bg-danger" },
    diagnostic: { icon: "fa-stethoscope", color: "text-bg-secondary" },
};

/** The outcome of an attempt as an icon, a color and a word. */
class OutcomeBadge extends Component {
    static template = "auth_integration.OutcomeBadge";
    static props = { ...standardFieldProps };

    get look() {
        return LOOKS[this.props.record.data[this.props.name]];
    }

    get label() {
        const { data, fields } = this.props.record;
        const found = fields[this.props.name].selection.find(
            ([code]) => code === data[this.props.name]
        );
        return found?.[1];
    }
}

registry.category("fields").add("auth_integration_outcome", {
    component: OutcomeBadge,
    supportedTypes: ["selection"],
});
