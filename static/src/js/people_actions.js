import { patch } from "@web/core/utils/patch";
import { FormController } from "@web/views/form/form_controller";

/** The form of an integration user has no menu entries about passwords and devices. */
patch(FormController.prototype, {
    get actionMenuItems() {
        const items = super.actionMenuItems;
        if (this.model.root.data.is_integration_user) {
            items.action = items.action.filter((item) => !item.is_for_people);
        }
        return items;
    },
});
