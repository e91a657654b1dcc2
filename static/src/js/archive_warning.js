import { _t } from "@web/core/l10n/translation";
import { patch } from "@web/core/utils/patch";
import { unique } from "@web/core/utils/arrays";
import { FormController } from "@web/views/form/form_controller";
import { KanbanController } from "@web/views/kanban/kanban_controller";
import { ListController } from "@web/views/list/list_controller";

/**
 * A view that holds the field `archive_warning` says in the question before archiving or deleting
 * which external systems will be refused.
 */
function withWarning(props, warnings, question) {
    return warnings.length ? { ...props, body: [...warnings, question].join("\n\n") } : props;
}

/**
 * The only owners of integrations are archived in a dialog that asks who owns these from then on: a
 * view that holds the field `needs_handover` opens it in place of archiving.
 */
function withHandover(props, model, records) {
    if (!records.some((record) => record.data.needs_handover)) {
        return props;
    }
    const openDialog = () =>
        model.action.doAction("auth_integration.auth_integration_handover_action", {
            additionalContext: {
                default_user_ids: records.map((record) => record.resId),
            },
            onClose: () => model.load(),
        });
    return { ...props, confirm: openDialog };
}

patch(FormController.prototype, {
    _archiveWarnings() {
        const warning = this.model.root.data.archive_warning;
        return warning ? [warning] : [];
    },
    get archiveDialogProps() {
        const props = withHandover(super.archiveDialogProps, this.model, [this.model.root]);
        return withWarning(props, this._archiveWarnings(), props.body);
    },
    get deleteConfirmationDialogProps() {
        const question = _t("Are you sure that you want to delete this record?");
        return withWarning(super.deleteConfirmationDialogProps, this._archiveWarnings(), question);
    },
});

const multiRecordWarnings = () => ({
    _archiveWarnings() {
        const warnings = this.model.root.selection.map((record) => record.data.archive_warning);
        return unique(warnings.filter(Boolean));
    },
    get archiveDialogProps() {
        const question = _t("Are you sure that you want to archive all the selected records?");
        const props = withHandover(
            super.archiveDialogProps,
            this.model,
            this.model.root.selection,
        );
        return withWarning(props, this._archiveWarnings(), question);
    },
    get deleteConfirmationDialogProps() {
        const question = _t("Are you sure that you want to delete the selected records?");
        return withWarning(super.deleteConfirmationDialogProps, this._archiveWarnings(), question);
    },
});
patch(ListController.prototype, multiRecordWarnings());
patch(KanbanController.prototype, multiRecordWarnings());
