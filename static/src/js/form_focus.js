import { Component, onMounted, xml } from "@odoo/owl";
import { registry } from "@web/core/registry";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

/**
 * Has the keyboard begin at the buttons of a form that was opened, or at the box that has them, not
 * at the menus of the page: what is to be done is then a few keys away. Whoever is at another place
 * already stays there.
 */
class FormFocus extends Component {
    static template = xml`<span class="d-none"/>`;
    static props = { ...standardWidgetProps };

    setup() {
        onMounted(() => {
            const bar = document.querySelector(
                ".o_action_manager .o_form_statusbar, .o_action_manager .o_form_sheet .alert"
            );
            if (bar && this.props.record.resId && document.activeElement === document.body) {
                bar.setAttribute("tabindex", "-1");
                bar.style.outline = "none"; // the ring is for what can be pressed
                bar.focus({ preventScroll: true });
            }
        });
    }
}

registry.category("view_widgets").add("auth_integration_form_focus", { component: FormFocus });
