import { registry } from "@web/core/registry";
import { SearchModel } from "@web/search/search_model";
import { kanbanView } from "@web/views/kanban/kanban_view";
import { listView } from "@web/views/list/list_view";

const FIELDS = ["reference", "login"]; // a login and a reference are searched for together
// Ten letters and digits. Without the hyphen, it takes a digit to tell one from a login.
const REFERENCE = /^\s*([0-9a-z]{5}-[0-9a-z]{5}|(?=\D*\d)[0-9a-z]{10})\s*$/i;

/**
 * A reference names one attempt, whenever it was made: whoever searches for one gets it without
 * the filters of the moment, which would hide it.
 */
export class AttemptSearchModel extends SearchModel {
    addAutoCompletionValues(searchItemId, { value }) {
        const { fieldName } = this.searchItems[searchItemId];
        if (FIELDS.includes(fieldName) && REFERENCE.test(value)) {
            this.query = [];
        }
        super.addAutoCompletionValues(...arguments);
    }
}

for (const [name, view] of Object.entries({ list: listView, kanban: kanbanView })) {
    registry.category("views").add(`auth_attempt_${name}`, {
        ...view,
        SearchModel: AttemptSearchModel,
    });
}
