import { Component } from "@odoo/owl";
import { CopyButton } from "@web/core/copy_button/copy_button";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/** Core's button, with a name for those who cannot see its icon. */
class NamedCopyButton extends CopyButton {
    static template = "auth_integration.NamedCopyButton";
    static props = { ...CopyButton.props, label: String };
}

/** A key or a command, whole and in lines that break between words, with a button to copy it. */
class CopyField extends Component {
    static template = "auth_integration.CopyField";
    static components = { NamedCopyButton };
    static props = { ...standardFieldProps };

    setup() {
        this.copied = _t("Copied");
        this.label = _t("Copy %s", this.props.record.fields[this.props.name].string);
    }

    get value() {
        return this.props.record.data[this.props.name];
    }

    /** The words and what is between them, which together are the value. */
    get words() {
        return this.value.split(/(\s+)/);
    }
}

registry.category("fields").add("auth_integration_copy", {
    component: CopyField,
    supportedTypes: ["char", "text"],
});
