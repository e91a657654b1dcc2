import { rpc } from "@web/core/network/rpc";
import { registry } from "@web/core/registry";

const tours = registry.category("web_tour.tours");

/** Core asks for the password before anything that hands out a key. */
function confirmIdentity(password) {
    return [
        {
            content: "Core asks who is sitting there",
            trigger: ".modal div:contains(Enter your current password)",
        },
        {
            trigger: ".modal [name=password] input",
            run: `edit ${password}`,
        },
        {
            trigger: ".modal button:contains(Confirm Password)",
            run: "click",
        },
    ];
}

/** The key is shown, and gone from the page once the dialog is closed. */
function storeTheKey() {
    let secret;
    return [
        {
            content: "The key is shown",
            trigger: ".modal [name=key] span:contains(/^[0-9a-f]{40}$/)",
            run() {
                secret = this.anchor.textContent.trim();
            },
        },
        ...["click", "press Escape"].flatMap((run) => [
            {
                content: "Neither × nor Escape throws it away",
                trigger: ".modal:has([name=key]) .btn-close",
                run,
            },
            {
                trigger: ".modal:contains(Have you copied the key?) button:contains(Keep Open)",
                run: "click",
            },
        ]),
        {
            content: "The button to copy it has a name",
            trigger: ".modal [name=key] button[aria-label]",
        },
        {
            content: "Nor does the button while nothing was copied",
            trigger: ".modal:has([name=key]) button:contains(Done)",
            run: "click",
        },
        {
            trigger: ".modal:contains(Have you copied the key?) button:contains(Keep Open)",
            run: "click",
        },
        {
            content: "Who selects the key has copied it",
            trigger: ".modal [name=key] span:contains(/^[0-9a-f]{40}$/)",
            async run() {
                document.getSelection().selectAllChildren(this.anchor);
                await new Promise((resolve) => setTimeout(resolve)); // the browser says so then
            },
        },
        {
            trigger: ".modal button:contains(Done)",
            run: "click",
        },
        {
            content: "The key is gone from the page",
            trigger: "body:not(:has(.modal))",
            run() {
                if (!secret || document.documentElement.innerHTML.includes(secret)) {
                    throw new Error("The key is still on the page");
                }
            },
        },
    ];
}

tours.add("auth_integration_issue", {
    steps: () => [
        {
            content: "An administrator makes an integration",
            trigger: ".o-kanban-button-new",
            run: "click",
        },
        {
            trigger: ".o_form_view [name=name] input",
            run: "edit Tour Shop",
        },
        {
            trigger: ".o_form_view [name=code] input",
            run: "edit tour_shop",
        },
        {
            trigger: ".o_form_button_save",
            run: "click",
        },
        {
            content: "It has its user, and is to be set up: that is no issue",
            trigger:
                ".o_form_view:not(:has(.o_auth_integration_findings .alert)) .badge:contains(To Set Up)",
        },
        {
            content: "The access rights have the form that shows groups",
            trigger: "[name=setup] button.btn-primary[name=action_set_access_rights]",
            run: "click",
        },
        {
            trigger: ".o_form_view [name=group_ids]",
        },
        {
            content: "An integration user has no password to change",
            trigger: ".o_cp_action_menus .dropdown-toggle",
            run: "click",
        },
        {
            trigger:
                ".o-dropdown--menu:has(.o_menu_item:contains(Archive)):not(:contains(Change Password)):not(:contains(Reset Instructions))",
            run: "press Escape",
        },
        {
            trigger: ".o_breadcrumb a:contains(Tour Shop), .o_back_button",
            run: "click",
        },
        {
            trigger: "[name=setup] button[name=action_issue_key]",
            run: "click",
        },
        {
            content: "The dialog says that the key is shown once",
            trigger: ".modal .alert:contains(You will only see this key once)",
        },
        {
            trigger: ".modal button[name=action_issue]",
            run: "click",
        },
        ...confirmIdentity("admin"),
        {
            content: "The command of a first call has the key",
            trigger: ".modal [name=first_call_command]:contains(curl -i):contains(Bearer)",
        },
        ...storeTheKey(),
        {
            content: "The key is in the list, handed over and not used",
            trigger: "[name=key_ids] .o_data_row .badge:contains(Pending)",
        },
        {
            content: "The form waits for the first call",
            trigger: "[name=setup]:contains(Waiting for the first call):contains(ODOO_KEY)",
        },
        {
            content: "Nothing was pressed: the call has come",
            trigger: "[name=set_up]:contains(First call received)",
            timeout: 30000, // the form looks every few seconds
        },
        {
            trigger: ".o_form_view:not(:has([name=setup])) .badge:contains(Working)",
        },
    ],
});

tours.add("auth_integration_overview", {
    steps: () => [
        {
            content: "An owner sees how many integrations have which status, the worst first",
            trigger: ".o_auth_integration_totals button:contains(1):contains(Failing)",
        },
        {
            trigger: ".o_kanban_record:first:contains(Tour Failing) .badge:contains(Failing)",
        },
        {
            content: "The picture has words for those who cannot see it",
            trigger: ".o_kanban_record:contains(Tour Working) svg[role=img][aria-label*='8 accepted, 3 rejected']",
        },
        {
            content: "Each total is a filter",
            trigger: ".o_auth_integration_totals button[name=working]",
            run: "click",
        },
        {
            trigger: ".o_kanban_renderer:not(:contains(Tour Failing)) .o_kanban_record:contains(Tour Working)",
        },
        {
            content: "Another one takes its place, and the totals stay",
            trigger: ".o_auth_integration_totals button[name=failing]:contains(1)",
            run: "click",
        },
        {
            trigger: ".o_kanban_renderer:not(:contains(Tour Working)) .o_kanban_record:contains(Tour Failing)",
        },
        {
            trigger: ".o_auth_integration_totals button[name=failing][aria-pressed=true]",
            run: "click",
        },
        {
            trigger: ".o_kanban_record:contains(Tour Working)",
        },
        {
            content: "Nothing is cut off",
            trigger: ".o_auth_integration_totals",
            run() {
                const content = document.querySelector(".o_content");
                if (content.scrollWidth > content.clientWidth) {
                    throw new Error("The page scrolls sideways");
                }
            },
        },
    ],
});

tours.add("auth_integration_overview_empty", {
    steps: () => [
        {
            content: "Nothing is there: a title, one line and one button",
            trigger: ".o_view_nocontent:contains(No integrations found) button:contains(New Integration)",
            run: "click",
        },
        {
            trigger: ".o_form_view [name=code] input",
        },
    ],
});

tours.add("auth_integration_claim", {
    steps: () => [
        {
            content: "An owner sees the rotation of his integration",
            trigger: ".o_data_row:contains(Tour Shop) button[name=action_claim]",
            run: "click",
        },
        {
            content: "The dialog says what happens to the old key",
            trigger: ".modal .alert:contains(The old key works until)",
        },
        {
            trigger: ".modal button[name=action_claim]",
            run: "click",
        },
        ...confirmIdentity("tour_owner"),
        ...storeTheKey(),
        {
            content: "The rotation goes on",
            trigger: ".o_data_row:contains(Tour Shop) .badge:contains(Delivered)",
        },
    ],
});

tours.add("auth_integration_diagnose", {
    steps: () => [
        {
            content: "An administrator asks what is wrong with an integration",
            trigger: ".o_form_view button[name=action_diagnose]",
            run: "click",
        },
        {
            content: "The page says that it waits for the scheduled action",
            trigger: ".o_form_view .alert:contains(Waiting for the scheduled action)",
            async run() {
                const [job] = await rpc("/web/dataset/call_kw/ir.cron/search", {
                    model: "ir.cron",
                    method: "search",
                    args: [[["model_id.model", "=", "auth.integration.diagnosis"]]],
                    kwargs: {},
                });
                await rpc("/web/dataset/call_kw/ir.cron/method_direct_trigger", {
                    model: "ir.cron",
                    method: "method_direct_trigger",
                    args: [[job]],
                    kwargs: {},
                });
            },
        },
        {
            content: "Nothing was pressed: what was found is there",
            trigger:
                ".o_form_view:has(.o_arrow_button_current:contains(Done)) .o_kanban_record:contains(no key has been created) button:contains(Create Key)",
        },
    ],
});

tours.add("auth_integration_ask", {
    steps: () => [
        {
            content: "An owner may not restore the user, and asks those who may",
            trigger:
                ".o_kanban_record:contains(tour_shop):not(:has(button:contains(Restore User))) button:contains(Ask an Administrator)",
            run: "click",
        },
        {
            content: "It is asked once",
            trigger:
                ".o_kanban_record:contains(An administrator was asked today):not(:has(button:contains(Ask an Administrator)))",
        },
        {
            content: "What passed is folded",
            trigger: "details:not([open]) summary:contains(Passed and solved checks)",
            run: "click",
        },
        {
            trigger: "details[open] .o_kanban_record .badge:contains(Passed)",
        },
    ],
});

tours.add("auth_integration_related", {
    steps: () => [
        {
            content: "Diagnostic requests are hidden at first",
            trigger: ".o_searchview_facet:contains(Without Diagnostics)",
        },
        {
            content: "The outcome is a word",
            trigger: ".o_data_row:contains(Unknown key) .badge:contains(Rejected)",
        },
        {
            trigger: ".o_data_row:contains(Unknown key) td[name=cause]",
            run: "click",
        },
        {
            content: "The other attempt with this reference is listed",
            trigger: ".o_form_view [name=same_reference_ids] .o_data_row:contains(missing)",
        },
        {
            content: "The event is there",
            trigger: ".o_form_view summary:contains(Raw event)",
            run: "click",
        },
        {
            trigger: ".o_form_view details[open] [name=event_json]:contains(class_uid)",
        },
        {
            content: "A value leads to the attempts that share it",
            trigger: ".o_form_view button[aria-label='Attempts from this address']",
            run: "click",
        },
        {
            trigger: ".o_list_view .o_data_row:contains(missing)",
        },
    ],
});

tours.add("auth_integration_reference", {
    steps: () => [
        {
            content: "The log opens with what was rejected lately, and an older attempt is not there",
            trigger: ".o_searchview_facet:contains(Since Yesterday)",
        },
        {
            trigger: ".o_view_nocontent:contains(No sign-in attempts found)",
        },
        {
            content: "A login keeps the filters",
            trigger: ".o_searchview_input",
            run: "edit tour_login",
        },
        {
            trigger: ".o_searchview_input",
            run: "press Enter",
        },
        {
            trigger: ".o_searchview:contains(Since Yesterday) .o_searchview_facet:contains(tour_login)",
        },
        {
            content: "A reference does not, and is found as it was read out",
            trigger: ".o_searchview_input",
            run: "edit w8ne95y3gb",
        },
        {
            trigger: ".o_searchview_input",
            run: "press Enter",
        },
        {
            trigger: ".o_data_row:contains(W8NE9-5Y3GB)",
        },
        {
            trigger: ".o_searchview:not(:contains(Since Yesterday)):not(:contains(tour_login))",
        },
    ],
});

tours.add("auth_integration_restore", {
    steps: () => [
        {
            content: "An administrator sees that an archived user holds a live key",
            trigger: ".o_data_row:contains(tour_shop is archived) button[name=action_restore_user]",
            run: "click",
        },
        {
            content: "The finding is gone",
            trigger: ".o_list_view:not(:has(.o_data_row:contains(tour_shop is archived)))",
        },
    ],
});

tours.add("auth_integration_widen", {
    steps: () => [
        {
            content: "An administrator allows every network",
            trigger: ".o_form_view [name=allowed_networks] textarea",
            run: "edit 0.0.0.0/0",
        },
        {
            trigger: ".o_form_button_save",
            run: "click",
        },
        ...confirmIdentity("admin"),
        {
            content: "Then it is saved",
            trigger: ".o_form_saved [name=allowed_networks] textarea:value(0.0.0.0/0)",
        },
        {
            content: "For some minutes nothing is asked again",
            trigger: ".o_form_view [name=allowed_networks] textarea",
            run: "edit 0.0.0.0/0, 2001:db8::/32",
        },
        {
            trigger: ".o_form_button_save",
            run: "click",
        },
        {
            trigger: ".o_form_saved [name=allowed_networks] textarea:value(2001:db8::/32)",
        },
    ],
});

tours.add("auth_integration_widen_refused", {
    steps: () => [
        {
            trigger: ".o_form_view [name=allowed_networks] textarea",
            run: "edit 0.0.0.0/0",
        },
        {
            trigger: ".o_form_button_save",
            run: "click",
        },
        {
            content: "Whoever does not know the password closes the dialog",
            trigger: ".modal:contains(Enter your current password) .btn-close",
            run: "click",
        },
        {
            content: "Nothing is saved, and it says why",
            trigger: ".modal:contains(Confirm your identity to save this change) .btn-primary",
            run: "click",
        },
        {
            trigger: ".o_form_button_cancel",
            run: "click",
        },
        {
            trigger: ".o_form_saved [name=allowed_networks] textarea:value(10.0.0.0/8)",
        },
    ],
});

tours.add("auth_integration_archive", {
    steps: () => [
        {
            trigger: ".o_kanban_record:contains(Tour Shop)",
            run: "click",
        },
        {
            trigger: ".o_breadcrumb .active:contains(Tour Shop)",
        },
        {
            trigger: ".o_cp_action_menus .dropdown-toggle",
            run: "click",
        },
        {
            trigger: ".o-dropdown--menu .o_menu_item:contains(Archive)",
            run: "click",
        },
        {
            content: "The question says who will be refused",
            trigger: ".modal:contains(will be rejected immediately):contains(Tour key)",
        },
        {
            trigger: ".modal button:contains(Cancel)",
            run: "click",
        },
        {
            trigger: "body:not(:has(.modal))",
        },
    ],
});

tours.add("auth_integration_handover", {
    steps: () => [
        {
            trigger: ".o_form_view .o_field_widget[name=login]",
        },
        {
            trigger: ".o_cp_action_menus .dropdown-toggle",
            run: "click",
        },
        {
            trigger: ".o-dropdown--menu .o_menu_item:contains(Archive)",
            run: "click",
        },
        {
            trigger: ".modal button:contains(Archive)",
            run: "click",
        },
        {
            content: "The dialog asks who owns the integration from then on",
            trigger: ".modal:contains(Archive Owner):contains(Tour Shop) .o_field_widget[name=owner_id] input",
            run: "edit Mitchell Admin",
        },
        {
            trigger: ".o-autocomplete--dropdown-menu .o-autocomplete--dropdown-item:contains(Mitchell Admin)",
            run: "click",
        },
        {
            trigger: ".modal button[name=action_hand_over]",
            run: "click",
        },
        ...confirmIdentity("admin"),
        {
            trigger: "body:not(:has(.modal)) .o_form_view",
        },
    ],
});

tours.add("auth_integration_change_access", {
    steps: () => [
        {
            content: "A key that has only read may only read from now on",
            trigger: "button[name=action_suggest_access]",
            run: "click",
        },
        {
            trigger: ".modal [name=access] .o_radio_item:contains(Read only) input:checked",
        },
        {
            content: "The dialog says what that would have rejected",
            trigger: ".modal [name=effect]:contains(Nothing that this key did)",
        },
        {
            content: "Less asks for no password",
            trigger: ".modal-footer button:contains(Change Access)",
            run: "click",
        },
        {
            trigger: ".o_form_view:not(:has(.modal)) [name=access_summary]:contains(Read only)",
        },
        {
            content: "More does",
            trigger: "body:not(:has(.modal)) .o_statusbar_buttons button[name=action_change_access]",
            run: "click",
        },
        {
            trigger: ".modal [name=access] .o_radio_item:contains(Selected operations) input",
            run: "click",
        },
        {
            trigger: ".modal [name=line_ids] .o_field_x2many_list_row_add a",
            run: "click",
        },
        {
            trigger: ".modal [name=line_ids] .o_selected_row [name=model] input",
            run: "edit res.partner",
        },
        {
            trigger: ".modal [name=line_ids] .o_selected_row [name=method] input",
            run: "edit create",
        },
        {
            trigger: ".modal [name=reason] input",
            run: "edit It creates contacts now",
        },
        {
            trigger: ".modal [name=effect]:contains(res.partner.search_read)",
        },
        {
            trigger: ".modal-footer button:contains(Change Access)",
            run: "click",
        },
        ...confirmIdentity("tour_owner"),
        {
            trigger: "body:not(:has(.modal)) [name=access_summary]:contains(1 operation)",
        },
    ],
});
