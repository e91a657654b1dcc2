import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { kanbanView } from "@web/views/kanban/kanban_view";
import { KanbanRenderer } from "@web/views/kanban/kanban_renderer";
import { Component, onWillStart, onWillUpdateProps, useState } from "@odoo/owl";
import { STATUS } from "./integration_status";

const LABELS = {
    failing: _t("Failing"),
    rejected: _t("Last Call Rejected"),
    expiring: _t("Expiring"),
    waiting: _t("Waiting for Next Call"),
    to_set_up: _t("To Set Up"),
    working: _t("Working"),
};

/** They pass with the next call. */
const PASSING = new Set(["rejected", "waiting"]);

/** How many integrations have each status, the worst first; a button shows only these. */
export class OverviewTotals extends Component {
    static template = "auth_integration.OverviewTotals";
    static props = { list: Object };

    setup() {
        this.orm = useService("orm");
        this.state = useState({ counts: {} });
        onWillStart(() => this.load());
        onWillUpdateProps(() => this.load());
    }

    async load() {
        const groups = await this.orm.formattedReadGroup(
            "auth.integration", [], ["status"], ["__count"],
        );
        this.state.counts = Object.fromEntries(
            groups.map((group) => [group.status, group.__count]),
        );
    }

    get isEmpty() {
        return !Object.keys(this.state.counts).length;
    }
    get totals() {
        const totals = Object.keys(STATUS).map((name) => ({
            ...STATUS[name],
            name,
            label: LABELS[name],
            count: this.state.counts[name] || 0,
            isActive: this.searchItem(name)?.isActive,
        }));
        return totals.filter(({ name, count, isActive }) => !PASSING.has(name) || count || isActive);
    }

    searchItem(name) {
        const [item] = this.env.searchModel.getSearchItems((one) => one.name === name);
        return item;
    }

    /** Filter by one status; pressed again, by none. Whatever else is searched for stays. */
    toggle(name) {
        const { searchModel } = this.env;
        const item = this.searchItem(name);
        if (!item.isActive) {
            const others = Object.keys(STATUS).map((other) => this.searchItem(other)?.id);
            searchModel.query = searchModel.query.filter(
                (element) => !others.includes(element.searchItemId),
            );
        }
        searchModel.toggleSearchItem(item.id);
    }
}

/** The empty state: a title, one line and one button, for whoever may create an integration. */
export class OverviewHelper extends Component {
    static template = "auth_integration.OverviewHelper";
    static props = { noContentHelp: { type: String, optional: true }, canCreate: Boolean };

    setup() {
        this.action = useService("action");
    }

    create() {
        this.action.switchView("form", { resId: false });
    }
}

export class OverviewKanbanRenderer extends KanbanRenderer {
    static template = "auth_integration.OverviewKanbanRenderer";
    static components = { ...KanbanRenderer.components, OverviewHelper, OverviewTotals };
}

registry.category("views").add("auth_integration_overview_kanban", {
    ...kanbanView,
    Renderer: OverviewKanbanRenderer,
});
